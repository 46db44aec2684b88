"""hub.contents.refusals: what the operating system says, in the hub's words."""

from __future__ import annotations

import errno

import pytest

from hub.contents.refusals import refusal, refusing
from hub.errors import BadRequest, Conflict, Forbidden, HubError, NoSpace, NotFound, TooLarge, Unavailable


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOENT, NotFound),
        (errno.EXDEV, NotFound),
        (errno.ELOOP, NotFound),
        (errno.EACCES, Forbidden),
        (errno.EROFS, Forbidden),
        (errno.EEXIST, Conflict),
        (errno.EISDIR, BadRequest),
        (errno.ENAMETOOLONG, BadRequest),
        (errno.ENXIO, BadRequest),
        (errno.EFBIG, TooLarge),
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EIO, Unavailable),
        (errno.EMFILE, Unavailable),
    ],
)
def test_each_error_number_has_its_hub_error(code: int, kind: type[HubError]) -> None:
    error = refusal(OSError(code, "x"), "a/b.txt")
    assert type(error) is kind
    assert "a/b.txt" in error.message


def test_the_cause_is_chained_and_the_path_of_the_host_is_not_shown() -> None:
    with pytest.raises(NotFound) as caught, refusing("a.txt"):
        raise FileNotFoundError(errno.ENOENT, "x", "/srv/homes/u1/a.txt")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert "/srv" not in caught.value.message
