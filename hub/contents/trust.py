"""Which notebooks' outputs a user trusts: a list of SHA-256 digests of files, kept where users cannot write.

The rule is Jupyter's: outputs may run scripts in the page only if this user ran the cells or said so. A save in
which every code cell is marked trusted (or has plain text only) makes the file's bytes trusted; anything else
that turns up in the home, by upload, git or a kernel, is not. As the list lies outside the homes it needs no
key; as it holds digests of bytes it needs no parsing. See docs/explanation/decisions/0003-files.md.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

_LINE_BYTES = 65
_MOST = 20_000
_KEPT = 15_000
_trimming = threading.Lock()


class TrustStore:
    """One user's list, a file with a digest a line, the newest last. Blocking; for worker threads.

    Of more than 20,000 digests the oldest are forgotten: those notebooks ask to be trusted again.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, digest: str) -> None:
        """Trust the file whose bytes have this SHA-256 digest, in hexadecimal."""
        if self.has(digest):
            return
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, digest.encode() + b"\n")
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        if size > _MOST * _LINE_BYTES:
            self._trim()

    def has(self, digest: str) -> bool:
        """Whether a file with these bytes is trusted."""
        try:
            return digest.encode() in self._file.read_bytes()
        except FileNotFoundError:
            return False

    def _trim(self) -> None:
        # A digest that another thread adds between reading and replacing is forgotten; its user is asked again.
        with _trimming:
            newest = self._file.read_bytes()[-_KEPT * _LINE_BYTES :]
            draft = self._file.with_suffix(".new")
            draft.write_bytes(newest)
            draft.chmod(0o600)
            draft.replace(self._file)
