"""Links that bring a repository into the home, as courses hand them out: what they ask for, checked; pure.

The form is that of nbgitpuller, whose links exist by the thousand: ``git-pull?repo=…&branch=…&urlpath=…&depth=…``
and ``&targetPath=…``. Everything in one may come from somebody who means ill.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

from hub.errors import BadRequest
from hub.http.redirect import is_local

MAX_ADDRESS_CHARS = 2048
MAX_PATH_CHARS = 1024
MAX_DEPTH = 1_000_000
FIELDS = ("repo", "branch", "targetPath", "urlpath", "depth", "subPath", "app")
_BRANCH = re.compile(r"(?!-)(?!/)(?!.*(\.\.|//|@\{))[^\x00-\x20\x7f~^:?*\[\\]{1,255}(?<![/.])\Z")
_PLACES = frozenset({"lab", "doc", "tree", "notebooks", "edit", "view", "nbclassic", "retro", "consoles", "files"})
"""What a link may end at: addresses that show something and change nothing."""


@dataclass(frozen=True, slots=True)
class GitLink:
    """What a link asks for. `repo` may hold a password: it is for git, `shown_repo` for people.

    `branch` is "" for the repository's own; `target` is a folder, relative to the home; `depth` 0: all commits;
    `place` is an address relative to the user's base.
    """

    repo: str
    branch: str
    target: str
    depth: int
    place: str

    @property
    def shown_repo(self) -> str:
        """The repository's address without a name and password."""
        parts = urlsplit(self.repo)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))

    def arguments(self) -> dict[str, object]:
        """What the program ``git_pull`` is given."""
        return {"repo": self.repo, "branch": self.branch, "target": self.target, "depth": self.depth}

    def without_secrets(self) -> str:
        """The link's query for addresses that are kept in histories and logs."""
        fields = {"repo": self.shown_repo, "branch": self.branch, "targetPath": self.target, "urlpath": self.place}
        fields["depth"] = str(self.depth) if self.depth else ""
        return urlencode({name: value for name, value in fields.items() if value})


def read_link(field: Callable[[str], str], allowed_hosts: Sequence[str]) -> GitLink:
    """The link whose fields `field` gives by name, "" for those it lacks. An empty `allowed_hosts` allows all.

    Raises BadRequest, with a sentence for whoever followed it, when it asks for what links may not.
    """
    repo = _read_repo(field("repo").strip(), allowed_hosts)
    branch = field("branch").strip()
    if branch and not _BRANCH.match(branch):
        raise BadRequest("The link names a branch that cannot be one. Check it with whoever gave it to you.")
    target = _read_target(field("targetPath"), repo)
    depth = field("depth").strip() or "0"
    if not depth.isdecimal() or len(depth) > 7 or int(depth) > MAX_DEPTH:
        raise BadRequest("The link's depth is not a whole number. Check it with whoever gave it to you.")
    return GitLink(repo, branch, target, int(depth), _read_place(field, target))


def _read_repo(repo: str, allowed_hosts: Sequence[str]) -> str:
    if not repo:
        raise BadRequest("The link does not say which repository to fetch: it has no repo=… in it.")
    try:
        parts = urlsplit(repo)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    plain = len(repo) <= MAX_ADDRESS_CHARS and repo.isascii() and not re.search(r"[\x00-\x20\x7f\\\"<>^`{|}]", repo)
    if host is None or not plain or parts.scheme not in {"http", "https"} or len(parts.path.strip("/")) == 0:
        raise BadRequest(
            "The link's repository is not at an http or https address, and others cannot be fetched by a link. "
            "Check it with whoever gave it to you."
        )
    if allowed_hosts and host.lower() not in allowed_hosts:
        raise BadRequest(
            f"This hub fetches repositories only from {', '.join(allowed_hosts)}, not from {host}. "
            "Its administrators decide that (git_pull_hosts)."
        )
    return repo


def _read_target(wanted: str, repo: str) -> str:
    """A folder in the home: the one that is asked for, or one of the repository's name."""
    last = unquote(urlsplit(repo).path.rstrip("/").rpartition("/")[2]).removesuffix(".git")
    target = wanted.strip().strip("/") or last
    parts = target.split("/")
    # Hidden folders hold what programs run by themselves: a link must not reach ~/.ipython or ~/.local.
    wrong = any(part == "" or part.startswith(".") or len(part.encode()) > 255 for part in parts)
    if wrong or len(target) > MAX_PATH_CHARS or not target.isprintable() or "\\" in target:
        raise BadRequest(
            "The link's folder is not one in your home, or a hidden one. Check it with whoever gave it to you."
        )
    return target


def _read_place(field: Callable[[str], str], target: str) -> str:
    """Where it ends: at `urlpath` if that is one of the hub's front ends, else at the folder in JupyterLab."""
    fallback = "lab/tree/" + quote(target, safe="/")
    inner = field("subPath").strip("/")
    wanted = field("urlpath").strip().lstrip("/")
    if not wanted and inner:
        wanted = ("tree/" if field("app") == "notebook" else "lab/tree/") + quote(f"{target}/{inner}", safe="/")
    place = quote(wanted, safe="/?#[]@!$&'()*+,;=:%-._~")
    if place.partition("?")[0].partition("/")[0] not in _PLACES or not is_local("/" + place):
        return fallback
    return place
