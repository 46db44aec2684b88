"""The child process that puts parameters into a notebook, with papermill. See `hub.runs.notebooks`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import nbformat
from papermill.exceptions import PapermillException
from papermill.parameterize import parameterize_notebook

from hub.runs.child import Refused, answer

# nbformat has few annotations.
_from_dict: Callable[[Any], Any] = nbformat.from_dict


def inject(given: bytes) -> bytes:
    """`given`: eight bytes with the length of a JSON head, the head, the notebook. Gives the notebook."""
    start = 8 + int.from_bytes(given[:8], "big")
    head: dict[str, Any] = json.loads(given[8:start])
    notebook = _from_dict(json.loads(given[start:]))
    # papermill takes these for granted.
    notebook.metadata.setdefault("papermill", _from_dict({}))
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
    try:
        done = parameterize_notebook(
            notebook, head["parameters"], kernel_name=head["kernel"], language=head["language"]
        )
    except PapermillException as error:
        raise Refused(
            f"Parameters cannot be written in {head['language'] or 'an unknown language'} (kernel {head['kernel']}): "
            f"{error}"
        ) from error
    for cell in done.cells:
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
    return json.dumps(done).encode()


def main() -> None:
    """One job from the standard input, its outcome to the standard output."""
    logging.disable()
    answer(inject)


if __name__ == "__main__":
    main()
