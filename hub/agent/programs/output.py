"""What a program says: JSON objects, a line each, at once."""

from __future__ import annotations

import json
import sys
from typing import Any

from hub.agent import bounds


def tell(event: dict[str, Any]) -> None:
    """Write one event. Raises ValueError when it is longer than a line may be: the agent would drop it."""
    line = json.dumps(event, separators=(",", ":"), allow_nan=False)
    if len(line) >= bounds.MAX_JOB_LINE_BYTES:  # it is ASCII
        raise ValueError(f"an event of {len(line)} bytes is longer than a line may be")
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
