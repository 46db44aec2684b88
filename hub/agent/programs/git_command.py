"""Running the image's git without surprises, and what its complaints mean, in sentences.

No prompts, no hooks, no other protocol than http and https, no submodules, no filters that fetch (Git LFS), no
background work; the user's own configuration (proxies, credential helpers) counts otherwise.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import NoReturn

KEPT_VARIABLES = ("GIT_SSL_", "GIT_CONFIG_NOSYSTEM")
OPTIONS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "credential.interactive=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "safe.directory=*",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
)
_CREDENTIALS = re.compile(r"(https?://)[^/@\s]*@")
_PERCENT = re.compile(r"^(?:remote: )?([A-Z][a-z]+ [a-z]+): +(\d{1,3})%")

_ASK_GIVER = "Check the link with whoever gave it to you."
_FULL = "Your disk is full. Delete something, then follow the link again."
_PRIVATE = "The repository does not exist, or it is not public. Ask whoever gave you the link."
_SILENT = "{host} cannot be reached. Try again later; if it stays so, your container may have no network: ask whoever "
_SILENT += "runs this hub."
_BROKEN = "The connection to {host} broke off. Follow the link again."

COMPLAINTS = (
    # What git says, in lower case; a code; what it means and what to do. The first that fits.
    ("no space left on device", "disk_full", _FULL),
    ("disk quota exceeded", "disk_full", _FULL),
    ("could not resolve host", "no_network", "The server {host} cannot be found from here: the address is wrong, or "
     "your container has no network. Ask whoever runs this hub."),
    ("couldn't find remote ref", "no_branch", "The repository has no branch {branch}. " + _ASK_GIVER),
    ("error: 404", "no_repository", "There is no repository at this address. " + _ASK_GIVER),
    ("not found", "no_repository", "There is no repository at this address, or it is not public. " + _ASK_GIVER),
    ("not valid: is this a git repository", "no_repository", "There is no repository at this address. " + _ASK_GIVER),
    ("could not read username", "needs_sign_in", _PRIVATE),
    ("could not read password", "needs_sign_in", _PRIVATE),
    ("authentication failed", "needs_sign_in", "{host} did not accept the name and password. " + _ASK_GIVER),
    ("error: 401", "needs_sign_in", _PRIVATE),
    ("error: 403", "needs_sign_in", _PRIVATE),
    ("certificate", "no_trust", "The certificate of {host} cannot be verified, so nothing was fetched. Ask whoever "
     "runs this hub."),
    ("too slow", "no_network", "{host} sent next to nothing for a minute, and was given up. Try again later."),
    ("failed to connect", "no_network", _SILENT),
    ("timed out", "no_network", _SILENT),
    ("early eof", "broken_off", _BROKEN),
    ("remote end hung up", "broken_off", _BROKEN),
    ("rpc failed", "broken_off", _BROKEN),
    ("' not allowed", "not_allowed", "The address leads to another protocol than http and https, which links "
     "may not do."),
    ("unable to access", "no_network", _SILENT),
)  # fmt: skip


class Failed(Exception):
    """It cannot be done. `code` is for programs, the text a sentence for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Git:
    """The image's git in one working folder. `host` and `branch` are for sentences. Raises Failed without git."""

    def __init__(self, folder: str, host: str, branch: str) -> None:
        self.folder = folder
        self._words = {"host": host, "branch": branch or "of that name"}
        program = shutil.which("git")
        if program is None:
            raise Failed(
                "no_git", "This image has no git, which links to repositories need. Ask whoever runs this hub."
            )
        self._command = [program, *(part for option in OPTIONS for part in ("-c", option))]
        self._environment = _environment()

    def run(self, *arguments: str, stdin: bytes = b"", seconds: float | None = None) -> bytes:
        """What the command prints. Raises Failed with what went wrong, or when it takes longer than `seconds`."""
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                cwd=self.folder,
                env=self._environment,
                input=stdin,
                capture_output=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            self.complain("timed out")
        if done.returncode != 0:
            self.complain(done.stderr.decode("utf-8", "replace"))
        return done.stdout

    def ask(self, *arguments: str) -> str | None:
        """What the command prints, without the line's end; None when it fails."""
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The command as a process that is written to and read from."""
        return subprocess.Popen(
            [*self._command, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def follow(self, tell: Callable[[str, int | None], None], *arguments: str) -> None:
        """Run a command that reports progress: `tell` gets each line and its percentage. Raises Failed."""
        process = subprocess.Popen(
            [*self._command, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        said: list[str] = []
        rest = b""
        assert process.stderr is not None  # noqa: S101 - it was asked for
        while data := process.stderr.read1(65536):  # type: ignore[attr-defined]
            *lines, rest = re.split(rb"[\r\n]+", rest + data)
            for line in lines:
                text = without_credentials(line.decode("utf-8", "replace").strip())[:500]
                found = _PERCENT.match(text)
                if found is None and text:
                    said = [*said[-50:], text]
                if text:
                    tell(text, min(int(found[2]), 100) if found else None)
        if process.wait() != 0:
            self.complain("\n".join([*said, rest.decode("utf-8", "replace")]))

    def complain(self, said: str) -> NoReturn:
        """Raise Failed with what a complaint of git's means."""
        lower = said.lower()
        for words, code, sentence in COMPLAINTS:
            if words in lower:
                raise Failed(code, sentence.format(**self._words))
        lines = [line for line in without_credentials(said).splitlines() if line.strip()] or ["no reason given"]
        fatal = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
        raise Failed("git", f"git could not do it: {fatal[0].strip()[:500]}")


def without_credentials(text: str) -> str:
    """A text whose web addresses hold no name and password."""
    return _CREDENTIALS.sub(r"\1", text)


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(KEPT_VARIABLES)
        or not name.startswith(("GIT_", "KERNELHUB_", "SSH_ASKPASS", "LC_", "LANGUAGE"))
    }
    return {
        **kept,
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "http:https",
        "GIT_LFS_SKIP_SMUDGE": "1",
    }
