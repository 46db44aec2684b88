"""The secret by which a hub and its proxies know each other: ``<data>/internal-token``, made by who needs it first."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def read_or_make_internal_token(data_dir: Path) -> str:
    """The token, 64 hexadecimal characters. Several processes may call this at once: one file wins.

    Raises PermissionError when others than the owner may read the file: it must not be guessed that nobody did.
    """
    path = data_dir / "internal-token"
    data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = data_dir / f".internal-token.{os.getpid()}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path} can be read by others: run `chmod 600 {path}`, or delete it to have a new one.")
    return path.read_text().strip()
