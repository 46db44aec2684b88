"""A teacher's repository, published over HTTP on loopback, and a student's home that follows links to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

from hub.agent import install

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Teacher",
    "GIT_AUTHOR_EMAIL": "teacher@example.org",
    "GIT_COMMITTER_NAME": "Teacher",
    "GIT_COMMITTER_EMAIL": "teacher@example.org",
}
LESSON = "".join(f"line {number}\n" for number in range(1, 21))


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, env=ENVIRONMENT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class CourseServer(ThreadingHTTPServer):
    """Answers while `gate` is set."""

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.gate = Event()
        self.gate.set()


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder; below ``/private/`` nothing without a password; below ``/smart/`` git's own server."""

    server: CourseServer

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.gate.wait(60)
        if self.path.startswith("/private/"):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()
        elif self.path.startswith("/smart/"):
            self.smart()
        else:
            super().do_GET()

    def do_POST(self) -> None:
        self.smart()

    def smart(self) -> None:
        """The server that belongs to git, by CGI."""
        path, _, query = self.path.removeprefix("/smart").partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        variables = {
            "GIT_PROJECT_ROOT": self.directory,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], env={**ENVIRONMENT, **variables}, input=body, capture_output=True
        )
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class Course:
    """A teacher's repository, published over HTTP while `gate` is set, and a student's home."""

    def __init__(self, base: Path, address: str, gate: Event) -> None:
        self.gate = gate
        self.work, self.bare, self.home = base / "work", base / "www" / "course.git", base / "home"
        self.address = address
        self.agent = base / "agent"
        install.install(self.agent)
        for folder in (self.work, self.bare, self.home):
            folder.mkdir(parents=True)
        git(self.bare, "init", "-q", "--bare", "-b", "main")
        git(self.work, "init", "-q", "-b", "main")
        git(self.work, "remote", "add", "origin", str(self.bare))
        self.publish({"lesson.txt": LESSON, "data/table.csv": "a,b\n1,2\n", "notes.md": "# Notes\n"})

    @property
    def url(self) -> str:
        return f"{self.address}/course.git"

    @property
    def clone(self) -> Path:
        return self.home / "course"

    def publish(self, files: dict[str, str | None], *flags: str) -> None:
        """Commit files (None: removed) and push."""
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(content)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "-m", "a change")
        self.push(*flags)

    def push(self, *flags: str) -> None:
        git(self.work, "push", "-q", *flags, "origin", "HEAD")
        git(self.bare, "update-server-info")

    def follow(self, **arguments: object) -> dict[str, Any]:
        """Follow the link; what was told last."""
        return self.told(**arguments)[-1]

    def told(self, **arguments: object) -> list[dict[str, Any]]:
        given = {"repo": self.url, "branch": "", "target": "course", "depth": 0, **arguments}
        done = subprocess.run(
            [sys.executable, "-I", "-B", str(self.agent), "git_pull"],
            input=json.dumps(given).encode(),
            cwd=self.home,
            env={**ENVIRONMENT, "HOME": str(self.home)},
            capture_output=True,
            timeout=60,
        )
        assert done.stderr == b"", done.stderr.decode()
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == (0 if "done" in events[-1] else 1), events
        return events

    def read(self, name: str) -> str:
        return (self.clone / name).read_text()

    def changed(self) -> list[str]:
        """What git finds changed in the student's clone."""
        return git(self.clone, "status", "--porcelain").splitlines()


@contextmanager
def published(base: Path) -> Iterator[Course]:
    """A course whose repository is served for a block."""
    (base / "www").mkdir(parents=True)
    server = CourseServer(("127.0.0.1", 0), partial(Quiet, directory=str(base / "www")))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Course(base, f"http://127.0.0.1:{server.server_address[1]}", server.gate)
    finally:
        server.gate.set()
        server.shutdown()
        server.server_close()
