"""What the operating system said, in the hub's words: OSError to HubError, in one table."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from hub.errors import BadRequest, Conflict, Forbidden, HubError, NoSpace, NotFound, TooLarge, Unavailable

_TABLE: dict[int, tuple[type[HubError], str]] = {
    errno.ENOENT: (NotFound, "No such file or folder: {path}"),
    errno.ENOTDIR: (NotFound, "No such file or folder: {path}"),
    errno.EXDEV: (NotFound, "No such file or folder beneath your files: {path}"),
    errno.ELOOP: (NotFound, "{path} is a link that leads nowhere or where it may not lead."),
    errno.ESTALE: (NotFound, "{path} is gone."),
    errno.EACCES: (Forbidden, "Permission denied: {path}"),
    errno.EPERM: (Forbidden, "Permission denied: {path}"),
    errno.EROFS: (Forbidden, "{path} is on a disk that cannot be written."),
    errno.EEXIST: (Conflict, "There is something called {path} already."),
    errno.ENOTEMPTY: (Conflict, "{path} is not empty."),
    errno.ETXTBSY: (Conflict, "{path} is a program that runs just now."),
    errno.EBUSY: (Conflict, "{path} is in use by the system."),
    errno.EISDIR: (BadRequest, "{path} is a folder."),
    errno.ENAMETOOLONG: (BadRequest, "The name is too long: {path}"),
    errno.EINVAL: (BadRequest, "The disk does not allow this for {path}."),
    errno.EILSEQ: (BadRequest, "The disk does not allow this name: {path}"),
    errno.EMLINK: (BadRequest, "There are too many folders beside {path}."),
    errno.ENXIO: (BadRequest, "{path} is not a regular file."),
    errno.ENODEV: (BadRequest, "{path} is not a regular file."),
    errno.EFBIG: (TooLarge, "The file {path} would become larger than is allowed."),
    errno.ENOSPC: (
        NoSpace,
        "The disk is full: {path} was not written, and is as it was before. Perhaps empty your trash.",
    ),
    errno.EDQUOT: (
        NoSpace,
        "Your disk space is used up: {path} was not written, and is as it was before. Perhaps empty your trash.",
    ),
}


def refusal(error: OSError, path: object) -> HubError:
    """The hub's error for what happened to `path`; Unavailable for what has no better name."""
    kind, words = _TABLE.get(error.errno or 0, (Unavailable, "{path} cannot be reached just now; try again."))
    return kind(words.format(path=path))


@contextmanager
def refusing(path: object) -> Iterator[None]:
    """Turn each OSError of the block into the hub's error about `path`, with its cause chained."""
    try:
        yield
    except OSError as error:
        raise refusal(error, path) from error
