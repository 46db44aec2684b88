"""Brings a repository into the home, or a clone that is there up to date: what links of courses ask for.

Arguments: `repo` (http or https), `branch` ("": the repository's own), `target` (a folder, relative to the home),
`depth` (how many commits a new clone gets; 0: all). What it tells: ``{"text", "percent"}`` as it goes on, and at the
end ``{"done"}`` with what was done, or ``{"failed", "message"}``.

The branch is moved to upstream's commit, and the user's changes stay as changes that are not committed. Only who made
commits gets one more, which merges. `SYNCED` remembers up to where upstream was taken.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import time
from typing import Any
from urllib.parse import urlsplit

from hub.agent.programs.git_command import Failed, Git, without_credentials
from hub.agent.programs.git_files import Changes, Folder, names, read_tree
from hub.agent.programs.output import tell

SYNCED = "refs/kernelhub/synced"
LOCKS = ("index.lock", "HEAD.lock", "config.lock", "shallow.lock", "packed-refs.lock")
LOCK_SECONDS = 600.0
"""A lock that is older was left behind by a git that died."""
ASK_SECONDS = 60.0
"""How long a server has for its first answer: git itself waits for minutes for one that is not there."""
LONGEST_SECONDS = 3600
UNFINISHED = ("MERGE_HEAD", "rebase-merge", "rebase-apply", "CHERRY_PICK_HEAD", "REVERT_HEAD")
BOT = ("-c", "user.name=kernelhub", "-c", "user.email=kernelhub@localhost")
_BRANCH = re.compile(r"(?!-)(?!/)(?!.*(\.\.|//|@\{))[^\x00-\x20\x7f~^:?*\[\\]{1,255}(?<![/.])\Z")


def main(arguments: dict[str, Any]) -> int:
    """Do it; 0 when it is done, 1 when it failed, which was told."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LONGEST_SECONDS)
    try:
        tell(Pull(arguments, os.path.realpath(os.environ.get("HOME") or os.getcwd())).run())
        return 0
    except Failed as failed:
        tell({"failed": failed.code, "message": failed.sentence})
    except OSError as error:
        full = error.errno in (28, 122)  # ENOSPC, EDQUOT
        sentence = (
            "Your disk is full. Delete something, then follow the link again." if full else f"It failed: {error}."
        )
        tell({"failed": "disk_full" if full else "files", "message": sentence})
    return 1


def _too_long(number: int, frame: object) -> None:
    raise Failed("too_long", "It took longer than an hour and was given up.")


class Pull:
    """One link, followed. Raises Failed when it asks for what may not be."""

    def __init__(self, arguments: dict[str, Any], home: str) -> None:
        self._repo = str(arguments.get("repo", ""))
        self._branch = str(arguments.get("branch", ""))
        self._depth = max(0, int(arguments.get("depth") or 0))
        self._target = os.path.normpath(str(arguments.get("target", "")))
        self._folder = os.path.join(home, self._target)
        parts = urlsplit(self._repo)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failed("not_allowed", "Only repositories at http and https addresses can be fetched by a link.")
        if self._branch and not _BRANCH.match(self._branch):
            raise Failed("no_branch", "The branch in the link is not a branch's name.")
        # Hidden folders hold what programs run by themselves: a link must not reach ~/.ipython or ~/.local.
        if os.path.isabs(self._target) or any(part.startswith(".") for part in self._target.split("/")):
            raise Failed("not_allowed", "The folder in the link is not one in your home, or a hidden one.")
        parent = os.path.dirname(self._folder)
        while not os.path.lexists(parent):
            parent = os.path.dirname(parent)
        if os.path.commonpath([home, os.path.realpath(parent)]) != home or os.path.islink(self._folder):
            raise Failed("not_allowed", f"The folder {self._target} leads out of your home by a link.")
        self._host = parts.hostname

    def run(self) -> dict[str, Any]:
        """Fetch, bring the files up to date, and say what was done."""
        is_new = not os.path.isdir(os.path.join(self._folder, ".git"))
        if is_new and os.path.lexists(self._folder) and not _is_empty(self._folder):
            words = f"In your home there is a {self._target} already, which is not a clone of this repository."
            raise Failed("in_the_way", f"{words} Rename it, then follow the link again.")
        git = Git(self._folder, self._host, self._branch)
        os.makedirs(self._folder, exist_ok=True)
        try:
            if is_new:
                git.run("init", "-q")
                git.run("remote", "add", "origin", self._repo)
            with open(os.path.join(self._folder, ".git", "kernelhub.lock"), "wb") as lock:
                self._wait_for(lock.fileno())
                self._check_clone(git)
                return self._update(git, is_new)
        except BaseException:
            if is_new and git.ask("rev-parse", "--verify", "-q", SYNCED) is None and self._holds_nothing():
                shutil.rmtree(self._folder, ignore_errors=True)  # a clone that never came about
            raise

    def _holds_nothing(self) -> bool:
        return os.listdir(self._folder) == [".git"]

    def _wait_for(self, lock: int) -> None:
        """Let another run of the same link end first."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell({"text": "Waiting for another tab that fetches the same repository", "percent": None})
            fcntl.flock(lock, fcntl.LOCK_EX)

    def _check_clone(self, git: Git) -> None:
        """Whether the folder is a clone of this repository with which nobody is busy. Raises Failed."""
        origin = git.ask("config", "--get", "remote.origin.url") or ""
        if _same(origin) != _same(self._repo):
            other = without_credentials(origin)[:200] or "of none"
            words = f"The folder {self._target} in your home is a clone of another repository ({other})."
            raise Failed("in_the_way", f"{words} Rename it, then follow the link again.")
        if _address(origin) == _address(self._repo) and "@" in urlsplit(self._repo).netloc and origin != self._repo:
            git.run("remote", "set-url", "origin", self._repo)  # the link has another password
        for name in UNFINISHED:
            if os.path.lexists(os.path.join(self._folder, ".git", name)):
                words = f"In {self._target} a merge or rebase was begun and not finished."
                raise Failed("unfinished", f"{words} Finish or abort it in a terminal, then follow the link again.")
        for name in LOCKS:
            self._remove_stale(os.path.join(self._folder, ".git", name))

    def _remove_stale(self, lock: str) -> None:
        try:
            age = time.time() - os.lstat(lock).st_mtime
        except FileNotFoundError:
            return
        if age < LOCK_SECONDS:
            words = f"Another git command is at work in {self._target}, or ended in the midst of it."
            raise Failed("locked", f"{words} Wait ten minutes, then follow the link again.")
        os.unlink(lock)

    def _update(self, git: Git, is_new: bool) -> dict[str, Any]:
        tell({"text": f"Asking {self._host}", "percent": None})
        branch = self._ask_for_branch(git)
        remote = f"refs/remotes/origin/{branch}"
        known = git.ask("rev-parse", "-q", "--verify", remote)
        self._fetch(git, branch, remote, is_new)
        upstream = git.run("rev-parse", "--verify", f"{remote}^{{commit}}").decode().strip()
        head = git.ask("rev-parse", "-q", "--verify", "HEAD^{commit}")
        synced = git.ask("rev-parse", "-q", "--verify", f"{SYNCED}^{{commit}}") or known
        base = self._base(git, head, synced, upstream)
        tree = read_tree(git, upstream)
        folder = Folder(
            git, lambda done, of: tell({"text": f"Files: {done} of {of}", "percent": 100 * done // (of or 1)})
        )
        folder.bring_to(read_tree(git, base) if base else {}, tree)
        self._move_branch(git, branch, head, synced, upstream)
        git.run("update-ref", SYNCED, upstream)
        return _told(self._target, branch, upstream, is_new, folder.changes)

    def _ask_for_branch(self, git: Git) -> str:
        """The branch of the link, or the one that the repository names; first of all whether anybody answers."""
        wanted = f"refs/heads/{self._branch}" if self._branch else "HEAD"
        said = git.run("ls-remote", "--symref", "origin", wanted, seconds=ASK_SECONDS).decode("utf-8", "replace")
        if self._branch:
            if not said.strip():
                git.complain("couldn't find remote ref")
            return self._branch
        found = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", said, re.MULTILINE)
        if found is None or not _BRANCH.match(found[1]):
            raise Failed("no_branch", "The repository is empty, or does not say which branch is its own.")
        return found[1]

    def _fetch(self, git: Git, branch: str, remote: str, is_new: bool) -> None:
        shallow = self._depth and (is_new or os.path.exists(os.path.join(self._folder, ".git", "shallow")))
        depth = [f"--depth={self._depth}"] if shallow else []
        last_at, last_step = 0.0, ""

        def progress(text: str, percent: int | None) -> None:
            nonlocal last_at, last_step
            step, now = text.partition(":")[0], time.monotonic()
            if percent is None or step != last_step or now - last_at > 0.2 or percent == 100:
                last_at, last_step = now, step
                tell({"text": text, "percent": percent})

        refspec = f"+refs/heads/{branch}:{remote}"
        git.follow(progress, "fetch", "--progress", "--no-tags", *depth, "origin", refspec)

    def _base(self, git: Git, head: str | None, synced: str | None, upstream: str) -> str | None:
        """The state of upstream that the folder's files come from; None: they come from nowhere."""
        if head is None or head == synced:
            return synced
        common = git.ask("merge-base", head, upstream)
        if synced is None or (common and git.ask("merge-base", "--is-ancestor", synced, common) is not None):
            return common
        return synced

    def _move_branch(self, git: Git, branch: str, head: str | None, synced: str | None, upstream: str) -> None:
        """Put branch, HEAD and index where the files are now; no commit of the user's is left without a name."""
        commit = upstream
        if head not in (None, synced) and not self._within(git, head, upstream):
            commit = self._merge_commit(git, str(head), upstream)
        local = f"refs/heads/{branch}"
        before = git.ask("rev-parse", "-q", "--verify", local)
        if before not in (None, head, synced) and not self._within(git, before, commit):
            git.run("update-ref", f"{local}-{time.strftime('%Y%m%d%H%M%S')}", str(before))
        git.run("update-ref", local, commit)
        git.run("symbolic-ref", "HEAD", local)
        git.run("read-tree", commit)
        git.ask("update-index", "-q", "--refresh")
        git.run("config", f"branch.{branch}.remote", "origin")
        git.run("config", f"branch.{branch}.merge", local)

    def _within(self, git: Git, commit: str | None, upstream: str) -> bool:
        return git.ask("merge-base", "--is-ancestor", str(commit), upstream) is not None

    def _merge_commit(self, git: Git, head: str, upstream: str) -> str:
        """A commit of the files as they are now, whose parents are the user's last commit and upstream's."""
        theirs = read_tree(git, upstream)
        own = [path for path in read_tree(git, head) if path not in theirs]
        there = [path for path in own if os.path.lexists(os.path.join(os.fsencode(self._folder), path))]
        git.run("read-tree", upstream)
        git.run("add", "-u", ".")
        git.run("update-index", "--add", "-z", "--stdin", stdin=b"".join(path + b"\0" for path in there))
        tree = git.run("write-tree").decode().strip()
        words = ("-p", head, "-p", upstream, "-m", "Merged by a link to the repository")
        return git.run(*BOT, "commit-tree", tree, *words).decode().strip()


def _is_empty(folder: str) -> bool:
    return os.path.isdir(folder) and not os.listdir(folder)


def _same(address: str) -> tuple[str, str]:
    """What two addresses of one repository have in common."""
    parts = urlsplit(address)
    return (parts.hostname or "").lower(), parts.path.rstrip("/").removesuffix(".git").lower()


def _address(address: str) -> tuple[str, str, str]:
    """An address without its name and password."""
    parts = urlsplit(address)
    return parts.scheme, parts.netloc.rpartition("@")[2], parts.path


def _told(target: str, branch: str, commit: str, is_new: bool, changes: Changes) -> dict[str, Any]:
    return {
        "done": True,
        "target": target,
        "branch": branch,
        "commit": commit[:12],
        "is_new": is_new,
        "taken": changes.taken,
        "removed": changes.removed,
        "merged": names(changes.merged),
        "kept": names(changes.kept),
        "moved": [f"{before} → {after}" for before, after in changes.moved[:20]],
    }
