"""Places at which a hub can be made to die, for tests of what is left then.

A hub with ``HUB_CRASH_AT=<label>`` in its environment kills itself (SIGKILL: nothing is flushed, nothing is tidied up)
when it comes to the place of that name; ``<label>@3`` when it comes there for the third time. With
``HUB_CRASH_ONCE=<file>`` it dies only if there is no such file yet, and makes it, so that a hub which is started again
with the same environment lives on.

There is a place on either side of every side effect: a row that is written, a container that is started, a folder that
is made or removed, a file that takes its name. ``tests/integration/test_crash_points.py`` walks all labels: a hub is
driven to each of them, dies there, and what the next hub finds is put in order. A label that no walk reaches fails
that test, so whoever adds one adds the way to it.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum

VARIABLE = "HUB_CRASH_AT"
ONCE = "HUB_CRASH_ONCE"


class Point(StrEnum):
    """The labels. *Before* and *after* are of the side effect; what is committed or renamed counts as done."""

    COMMIT_BEFORE = "store.commit.before"
    COMMIT_AFTER = "store.commit.after"

    WORKSPACE_ADD_BEFORE = "workspace.add.before"
    WORKSPACE_ADD_AFTER = "workspace.add.after"
    WORKSPACE_STATE_BEFORE = "workspace.state.before"
    WORKSPACE_STATE_AFTER = "workspace.state.after"

    RUN_FOLDER_DRAFT = "folders.run.draft"
    RUN_FOLDER_MADE = "folders.run.made"
    RUN_FOLDER_REMOVE_BEFORE = "folders.run.remove.before"
    RUN_FOLDER_REMOVE_HALF = "folders.run.remove.half"
    RUN_FOLDER_REMOVE_AFTER = "folders.run.remove.after"

    CONTAINER_START_BEFORE = "container.start.before"
    CONTAINER_START_AFTER = "container.start.after"
    CONTAINER_GREETED = "container.greeted"
    CONTAINER_STOP_BEFORE = "container.stop.before"
    CONTAINER_STOP_AFTER = "container.stop.after"
    JOURNALS_TAKEN = "container.journals_taken"

    PAUSE_LISTED = "pause.listed"
    PAUSE_HELD = "pause.held"
    PAUSE_FREEZE_BEFORE = "pause.freeze.before"
    PAUSE_FREEZE_AFTER = "pause.freeze.after"
    THAW_BEFORE = "thaw.before"
    THAW_AFTER = "thaw.after"
    THAW_WRITTEN = "thaw.written"

    KERNEL_ADD_BEFORE = "kernel.add.before"
    KERNEL_ADD_AFTER = "kernel.add.after"
    KERNEL_START_AFTER = "kernel.start.after"
    KERNEL_SHUT_BEFORE = "kernel.shut.before"
    KERNEL_SHUT_AFTER = "kernel.shut.after"
    KERNEL_FORGET_AFTER = "kernel.forget.after"
    KERNEL_RESTART_AFTER = "kernel.restart.after"

    SESSION_ADD_BEFORE = "session.add.before"
    SESSION_ADD_AFTER = "session.add.after"
    SESSION_CHANGE_AFTER = "session.change.after"

    DRAFT_MADE = "contents.draft.made"
    DRAFT_WRITTEN = "contents.draft.written"
    DRAFT_SYNCED = "contents.draft.synced"
    DRAFT_RENAMED = "contents.draft.renamed"
    DRAFT_PUBLISHED = "contents.draft.published"
    PAIR_HALF = "contents.pair.half"
    CHUNK_WRITTEN = "contents.chunk.written"
    CHUNK_COUNTED = "contents.chunk.counted"
    MOVED = "contents.moved"
    TRASH_NOTED = "contents.trash.noted"
    TRASH_MOVED = "contents.trash.moved"

    USER_STOPPED = "people.stopped"
    USER_DELETED = "people.deleted"
    USER_FOLDERS_GONE = "people.folders_gone"

    RECONCILED_NEWS = "reconcile.news.after"
    RECONCILE_END_BEFORE = "reconcile.end.before"
    RECONCILE_END_AFTER = "reconcile.end.after"
    RECONCILE_KERNEL_AFTER = "reconcile.kernel.after"


_times = 0


def reached(point: Point) -> None:
    """Die here, if that was asked for; else nothing. It costs one look into the environment."""
    asked = os.environ.get(VARIABLE)
    if asked is not None and asked.partition("@")[0] == point:
        _reached(asked)


def _reached(asked: str) -> None:
    global _times
    _times += 1
    number = asked.partition("@")[2]
    if _times >= (int(number) if number.isdigit() else 1) and _is_first(os.environ.get(ONCE)):
        os.kill(os.getpid(), signal.SIGKILL)


def _is_first(mark: str | None) -> bool:
    if not mark:
        return True
    try:
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    return True
