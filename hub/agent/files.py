"""A kernel's files in the run folder: its connection file, and its five sockets ``<prefix>-1`` to ``<prefix>-5``."""

from __future__ import annotations

import contextlib
import json
import os

from hub.agent import bounds, messages

SHELL, IOPUB, STDIN, CONTROL, HB = 1, 2, 3, 4, 5
NUMBERS = (SHELL, IOPUB, STDIN, CONTROL, HB)


class KernelFiles:
    """The files of one kernel process. `prefix` is a name that the agent made: a kernel's id, or a spare's name.

    With `settles`, the kernel is told a shorter name, and `settle` gives its sockets the one that everybody expects:
    kernels built on xeus end where an address has more than 31 characters, and some (IRkernel, tslab, IJulia) join
    name and number by a colon where Jupyter's own libraries write a dash.
    Raises ValueError when the paths would be too long for sockets.
    """

    def __init__(self, folder: str, prefix: str, key: bytes, *, settles: bool = False) -> None:
        self._folder = folder
        self.prefix = prefix
        self.key = key
        self.connection_file = f"{folder}/{prefix}.json"
        self._told = f"k{os.urandom(3).hex()}" if settles else prefix
        if len(os.fsencode(self.path(SHELL))) > bounds.SOCKET_PATH_BYTES:
            raise ValueError(f"the path {self.path(SHELL)} is longer than a socket's may be")

    def path(self, number: int) -> str:
        """The path of one socket."""
        return f"{self._folder}/{self.prefix}-{number}"

    def write_connection_file(self) -> None:
        """Write the connection file anew, readable by nobody else; sockets left over are removed."""
        self.remove()
        self._write(self._told)

    def settle(self) -> bool:
        """Give the sockets that are there by now their name; whether all five have it.

        What is connected stays connected. The connection file leads to the sockets afterwards.
        """
        for number in NUMBERS:
            for path in self._paths_as_told(number):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(path, self.path(number))
        if not all(os.path.lexists(self.path(number)) for number in NUMBERS):
            return False
        with contextlib.suppress(OSError):
            os.unlink(self.connection_file)
            self._write(self.prefix)
        return True

    def rename(self, prefix: str) -> None:
        """Give the sockets another prefix. What is connected stays connected. Raises OSError if one is missing."""
        for number in NUMBERS:
            os.rename(self.path(number), f"{self._folder}/{prefix}-{number}")
        self.prefix = prefix

    def remove(self) -> None:
        """Remove sockets and connection file, as far as they are there."""
        sockets = (path for number in NUMBERS for path in (self.path(number), *self._paths_as_told(number)))
        for path in (self.connection_file, *sockets):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _paths_as_told(self, number: int) -> tuple[str, str]:
        """Where the kernel may bind a socket, joining name and number its own way."""
        return f"{self._folder}/{self._told}-{number}", f"{self._folder}/{self._told}:{number}"

    def _write(self, prefix: str) -> None:
        content = {
            "transport": "ipc",
            "ip": f"{self._folder}/{prefix}",
            "shell_port": SHELL,
            "iopub_port": IOPUB,
            "stdin_port": STDIN,
            "control_port": CONTROL,
            "hb_port": HB,
            "key": self.key.decode(),
            "signature_scheme": messages.SIGNATURE_SCHEME,
        }
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self.connection_file, flags, 0o600), "w", encoding="ascii") as file:
            json.dump(content, file)
