"""File access as the user: a thread takes on the user's uid for a moment, with no capability at all.

Why not as the hub: a file that the user may not read must stay unread, what is written must belong to the
user, and quotas must bind. Capabilities go too, since CAP_SYS_RESOURCE would write beyond a quota.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hub.contents import syscalls


@contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """Within the block, the calling thread accesses files as `uid` and `gid` and is nobody's superuser.

    For threads of the worker pool only, which have no supplementary groups. Raises IdentityRefused when
    the identity cannot be taken on; the block is not entered then.
    """
    if threading.current_thread() is threading.main_thread():
        raise RuntimeError("the main thread never takes on a user's identity")
    own = syscalls.file_identity()
    saved = syscalls.capabilities()
    try:
        syscalls.set_file_identity(uid, gid)
        syscalls.set_capabilities(syscalls.without_effect(saved))
        yield
    finally:
        syscalls.set_capabilities(saved)
        syscalls.set_file_identity(*own)
