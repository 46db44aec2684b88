"""API paths: what a client may name. Pure; whether it exists is another question.

A path is relative to the home, with ``/`` between names. Doubled slashes and ``.`` are dropped; ``..`` is
refused even where it would stay inside. Backslashes, line breaks and all other characters are ordinary parts
of names, as they are to Linux.
"""

from __future__ import annotations

from dataclasses import dataclass

from hub.errors import BadRequest, NotFound

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4000  # PATH_MAX is 4096, with the terminating NUL


@dataclass(frozen=True, slots=True)
class ApiPath:
    """A path that follows the rules. `parts` is empty for the home itself."""

    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last name, ``""`` for the home."""
        return self.parts[-1] if self.parts else ""

    @property
    def parent(self) -> ApiPath:
        """The folder it is in; the home is its own parent."""
        return ApiPath(self.parts[:-1])

    def child(self, name: str) -> ApiPath:
        """`name` in this folder."""
        return ApiPath((*self.parts, name))

    @property
    def hidden(self) -> bool:
        """Whether any of its names begins with a dot."""
        return any(part.startswith(".") for part in self.parts)

    @property
    def raw(self) -> bytes:
        """The form for system calls, relative to the home."""
        return "/".join(self.parts).encode() or b"."

    def __str__(self) -> str:
        return "/".join(self.parts)


def parse_path(text: str) -> ApiPath:
    """The path that a client wrote.

    Raises NotFound for a path that could lead out of the home (``..``) or that no file can have (NUL);
    BadRequest for names over 255 bytes, paths over 4,000 bytes, and text that is not Unicode.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise BadRequest("The path is not valid Unicode.") from error
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if "\0" in text or ".." in parts:
        raise NotFound(f"{_shown(text)} is not a path beneath your files.")
    if size > MAX_PATH_BYTES or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        raise BadRequest(
            f"The path {_shown(text)} is too long: a name has at most {MAX_NAME_BYTES} bytes, a path {MAX_PATH_BYTES}."
        )
    return ApiPath(parts)


def refuse_hidden(path: ApiPath, allow_hidden: bool) -> None:
    """For reading: a hidden file is as good as none. Raises NotFound."""
    if path.hidden and not allow_hidden:
        raise NotFound(f"No such file or folder: {path}")


def refuse_hidden_change(path: ApiPath, allow_hidden: bool) -> None:
    """For writing: raises BadRequest for a hidden path, which the hub does not touch."""
    if path.hidden and not allow_hidden:
        raise BadRequest(f"{path} is hidden (a name begins with a dot); hidden files are not changed here.")


def _shown(text: str) -> str:
    """The path as it may stand in a message: one line, not longer than a line."""
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}…'"
