"""Bringing a folder's files to upstream's state without losing what its user did: a decision for each file.

Three states are compared, byte by byte: `base` (upstream when the folder was last brought up to date), upstream now,
and what is there. git's own merge is not used: it leaves conflicts behind, it cannot go on when history was rewritten
or is missing (shallow clones), and it wants commits of its user.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple

from hub.agent.programs.git_command import Failed, Git

LINK, PROGRAM, SUBMODULE = "120000", "100755", "160000"
MAX_MERGED_BYTES = 32 * 1024 * 1024
"""A file that is larger is not merged line by line: its user's stays."""
COPY_BYTES = 1024 * 1024


class Entry(NamedTuple):
    """A file of a commit: git's mode and the id of its content."""

    mode: str
    blob: str


class Kind(Enum):
    """What is at a path in the folder."""

    ABSENT = "nothing"
    FILE = "a file, or a link to somewhere"
    FOLDER = "a folder"
    BLOCKED = "something else stands where one of its folders should be"


class Found(NamedTuple):
    """What is at a path; `blob` is the id that its content would have, `place` where what is in the way stands."""

    kind: Kind
    blob: str = ""
    is_link: bool = False
    place: bytes = b""

    def equals(self, entry: Entry) -> bool:
        """Whether it is a file's content as of a commit."""
        return self.kind is Kind.FILE and self.blob == entry.blob and self.is_link is (entry.mode == LINK)


class Do(Enum):
    """What becomes of a file."""

    NOTHING = "it is as upstream has it, or only its user changed it"
    TAKE = "upstream's is written"
    REMOVE = "upstream removed it and its user did not touch it"
    KEEP = "upstream removed or replaced it, and its user's stays"
    MERGE = "both changed it"
    MOVE = "its user's is renamed, and upstream's is written"


def decide(base: Entry | None, upstream: Entry | None, found: Found) -> Do:
    """What becomes of one file; pure. Changes of its user are never given up."""
    if upstream is not None and upstream.mode == SUBMODULE:
        return Do.NOTHING
    if found.kind is Kind.ABSENT:
        return Do.NOTHING if upstream is None else Do.TAKE
    if upstream is None:
        return Do.REMOVE if base is not None and found.equals(base) else Do.KEEP
    if found.kind is not Kind.FILE:
        return Do.MOVE
    if found.equals(upstream):
        return Do.NOTHING
    if base is None:
        return Do.MOVE
    if found.equals(base):
        return Do.TAKE
    return Do.NOTHING if upstream.blob == base.blob else Do.MERGE


def set_aside(path: bytes, stamp: str) -> bytes:
    """The name under which a file is kept: ``notes_20260131120000.ipynb``."""
    folder, _, name = path.rpartition(b"/")
    stem, dot, suffix = name.rpartition(b".")
    new = stem + b"_" + stamp.encode() + dot + suffix if stem else name + b"_" + stamp.encode()
    return folder + b"/" + new if folder else new


def read_tree(git: Git, commit: str) -> dict[bytes, Entry]:
    """All files of a commit by path. Raises Failed when a path would lead out of the folder, or into ``.git``."""
    entries = {}
    for record in git.run("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")[:-1]:
        head, _, path = record.partition(b"\t")
        mode, _, blob = head.decode("ascii").split(" ")
        if any(part in (b"", b".", b"..") or part.lower() == b".git" for part in path.split(b"/")):
            raise Failed("hostile", "The repository contains a file name that git forbids, and was not taken.")
        entries[path] = Entry(mode, blob)
    return entries


class Changes:
    """What was done, by names: for the page, and for what follows."""

    def __init__(self) -> None:
        self.taken = 0
        self.removed = 0
        self.merged: list[str] = []
        self.kept: list[str] = []
        self.moved: list[tuple[str, str]] = []


class Folder:
    """The working folder of a clone. `tell` gets the number of files done and the number of all."""

    def __init__(self, git: Git, tell: Callable[[int, int], None]) -> None:
        self._git = git
        self._root = os.fsencode(git.folder)
        self._tell = tell
        self._hash = git.ask("rev-parse", "--show-object-format") or "sha1"
        self._stamp = time.strftime("%Y%m%d%H%M%S")
        self._folders: set[bytes] = {b""}
        self._blobs: subprocess.Popen[bytes] | None = None
        self.changes = Changes()

    def bring_to(self, base: dict[bytes, Entry], upstream: dict[bytes, Entry]) -> None:
        """Do what is decided for every file. What is broken off is gone on with the next time. Raises Failed."""
        # Removals first: a folder upstream may stand where a file was.
        paths = sorted(base.keys() - upstream.keys(), reverse=True) + sorted(upstream)
        try:
            for number, path in enumerate(paths):
                self._one(path, base.get(path), upstream.get(path))
                if number % 200 == 0:
                    self._tell(number, len(paths))
            self._tell(len(paths), len(paths))
        except OSError as error:
            full = error.errno in (28, 122)  # ENOSPC, EDQUOT
            words = "Your disk is full. Delete something, then follow the link again."
            raise Failed(
                "disk_full" if full else "files",
                words if full else f"A file cannot be written: {error.strerror}: {shown(path)}.",
            ) from error
        finally:
            self.close()

    def close(self) -> None:
        """End the process that reads contents."""
        blobs, self._blobs = self._blobs, None
        if blobs is not None and blobs.stdin is not None and blobs.stdout is not None:
            blobs.stdin.close()
            blobs.stdout.close()
            blobs.wait()

    def _one(self, path: bytes, base: Entry | None, upstream: Entry | None) -> None:
        found = self._look(path)
        match = decide(base, upstream, found)
        if match is Do.MOVE:
            self._move(found.place or path)
            match = Do.TAKE
        if match is Do.TAKE and upstream is not None:
            self._write(path, upstream)
            self.changes.taken += 1
        elif match is Do.REMOVE:
            os.unlink(self._at(path))
            self._remove_empty_folders(path)
            self.changes.removed += 1
        elif match is Do.NOTHING and base and upstream and base.mode != upstream.mode and found.equals(upstream):
            if upstream.mode != LINK:
                os.chmod(self._at(path), (0o777 if upstream.mode == PROGRAM else 0o666) & ~_umask())
        elif match is Do.KEEP and found.kind is Kind.FILE:
            self.changes.kept.append(shown(path))
        elif match is Do.MERGE and base is not None and upstream is not None:
            self._merge(path, base, upstream)

    def _at(self, path: bytes) -> bytes:
        return self._root + b"/" + path

    def _look(self, path: bytes) -> Found:
        folder = path.rpartition(b"/")[0]
        if (blocked := self._blocked(folder)) is not None:
            return blocked
        try:
            info = os.lstat(self._at(path))
        except (FileNotFoundError, NotADirectoryError):
            return Found(Kind.ABSENT)
        if stat.S_ISDIR(info.st_mode):
            return Found(Kind.FOLDER)
        is_link = stat.S_ISLNK(info.st_mode)
        if not is_link and not stat.S_ISREG(info.st_mode):
            return Found(Kind.FOLDER)  # a pipe, a socket: in the way as well, and not to be read
        digest = hashlib.new(self._hash, usedforsecurity=False)
        if is_link:
            target = os.readlink(self._at(path))
            digest.update(b"blob %d\0" % len(target) + target)
        else:
            digest.update(b"blob %d\0" % info.st_size)
            with open(self._at(path), "rb") as file:
                while data := file.read(COPY_BYTES):
                    digest.update(data)
        return Found(Kind.FILE, digest.hexdigest(), is_link)

    def _blocked(self, folder: bytes) -> Found | None:
        """What stands in the way of a folder: a file, or a link that would lead elsewhere; None: it is free."""
        parts = folder.split(b"/") if folder else []
        for depth in range(len(parts)):
            place = b"/".join(parts[: depth + 1])
            if place in self._folders:
                continue
            try:
                mode = os.lstat(self._at(place)).st_mode
            except FileNotFoundError:
                return None
            if not stat.S_ISDIR(mode):
                return Found(Kind.BLOCKED, place=place)
            self._folders.add(place)
        return None

    def _move(self, path: bytes) -> None:
        aside = set_aside(path, self._stamp)
        while os.path.lexists(self._at(aside)):
            aside += b"_"
        os.rename(self._at(path), self._at(aside))
        self.changes.moved.append((shown(path), shown(aside)))

    def _write(self, path: bytes, entry: Entry) -> None:
        """Write upstream's content in one step: what is broken off leaves the old file."""
        place = self._at(path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        draft = self._draft()
        try:
            if entry.mode == LINK:
                with open(draft, "rb") as file:
                    self._copy(entry.blob, draft)
                    target = file.read()
                os.unlink(draft)
                os.symlink(target, draft)
            else:
                self._copy(entry.blob, draft)
                os.chmod(draft, (0o777 if entry.mode == PROGRAM else 0o666) & ~_umask())
            os.replace(draft, place)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise

    def _draft(self) -> bytes:
        """A new empty file beside git's own, on the same disk."""
        descriptor, draft = tempfile.mkstemp(prefix=b"kernelhub-", dir=self._at(b".git"))
        os.close(descriptor)
        return draft

    def _copy(self, blob: str, place: bytes) -> None:
        """Copy a content to a file. Raises Failed when the repository lacks it."""
        if self._blobs is None:
            self._blobs = self._git.start("cat-file", "--batch")
        reading, writing = self._blobs.stdout, self._blobs.stdin
        assert reading is not None and writing is not None  # noqa: S101 - both were asked for
        writing.write(blob.encode() + b"\n")
        writing.flush()
        head = reading.readline().split(b" ")
        if len(head) != 3:
            raise Failed(
                "incomplete", "The clone is damaged: a file's content is missing. Rename its folder and try again."
            )
        left = int(head[2])
        with open(place, "wb") as file:
            while left:
                data = reading.read(min(left, COPY_BYTES))
                if not data:
                    raise Failed("incomplete", "git ended in the middle of a file. Follow the link again.")
                file.write(data)
                left -= len(data)
        reading.read(1)

    def _merge(self, path: bytes, base: Entry, upstream: Entry) -> None:
        """Take upstream's changes where its user changed nothing; the user's stay where both changed the same."""
        place = self._at(path)
        mergeable = LINK not in (base.mode, upstream.mode) and not os.path.islink(place)
        if not mergeable or os.path.getsize(place) > MAX_MERGED_BYTES:
            self.changes.kept.append(shown(path))
            return
        drafts = [self._draft(), self._draft()]
        try:
            for draft, entry in zip(drafts, (base, upstream)):
                self._copy(entry.blob, draft)
            names = [os.fsdecode(name) for name in (place, *drafts)]
            merged = None
            if max(os.path.getsize(draft) for draft in drafts) <= MAX_MERGED_BYTES:
                merged = self._merged(names)
            with open(place, "rb") as file:
                mine = file.read()
            if merged is None or merged == mine or (path.endswith(b".ipynb") and not is_notebook(merged)):
                self.changes.kept.append(shown(path))
                return
            with open(drafts[0], "wb") as file:
                file.write(merged)
            os.chmod(drafts[0], stat.S_IMODE(os.stat(place).st_mode))
            os.replace(drafts[0], place)
            self.changes.merged.append(shown(path))
        finally:
            for draft in drafts:
                with contextlib.suppress(OSError):
                    os.unlink(draft)

    def _merged(self, names: list[str]) -> bytes | None:
        """The merged text, None for contents that are no text."""
        try:
            return self._git.run("merge-file", "-p", "-q", "--ours", *names)
        except Failed:
            return None

    def _remove_empty_folders(self, path: bytes) -> None:
        folder = path.rpartition(b"/")[0]
        while folder:
            try:
                os.rmdir(self._at(folder))
            except OSError:
                return
            self._folders.discard(folder)
            folder = folder.rpartition(b"/")[0]


def is_notebook(content: bytes) -> bool:
    """Whether a merged notebook still is one: lines put together need not be JSON."""
    try:
        return isinstance(json.loads(content).get("cells"), list)
    except (ValueError, AttributeError, RecursionError):
        return False


def shown(path: bytes) -> str:
    """A path for people."""
    return path.decode("utf-8", "replace")[:300]


def names(paths: Iterable[str], most: int = 20) -> list[str]:
    """The first of many names."""
    return list(paths)[:most]


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
