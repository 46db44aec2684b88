"""The program that makes a PDF of a page: ``python -m hub.jupyter.print_pdf``.

A line of JSON (`Printing`) and the page come on the standard input, the PDF goes to the standard output. The page
may do what it likes: the browser runs as the user, in its own sandbox, in a network that holds nothing but this
program, which gives it the page and MathJax. That also makes the page a stranger to the machine's files: no browser
lets a page from the web look into them.
"""

from __future__ import annotations

import contextlib
import io
import json
import mimetypes
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path

from hub.jupyter import lockdown

PAGE = "/notebook.html"
MATHJAX = "/mathjax/"
SECONDS = 50.0
PREFIX = "kernelhub-pdf-"
LEFT_AFTER_SECONDS = 180.0
"""A folder this old was left by a process that was killed: its browser was too long writing to end in time."""
_CPU_SECONDS = 60
_DATA_BYTES = 4 * 1024**3
_PDF_BYTES = 256 * 1024**2
_SCRIPT_MILLISECONDS = 15_000  # of the page's own clock, which stands still while something is loading
_FLAGS = (
    *("--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions"),
    *("--disable-background-networking", "--disable-sync", "--disable-crash-reporter", "--no-pdf-header-footer"),
    f"--virtual-time-budget={_SCRIPT_MILLISECONDS}",
)


class Pages:
    """A web server of two things: the page, and MathJax's files out of an open folder (None: there is none)."""

    def __init__(self, page: bytes, mathjax_fd: int | None) -> None:
        self._page = page
        self._mathjax_fd = mathjax_fd
        self._socket = socket.create_server(("127.0.0.1", 0))

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}{PAGE}"

    def run(self) -> None:
        """Serve for ever."""
        while True:
            connection, _ = self._socket.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(SECONDS)
            request = b""
            while b"\r\n\r\n" not in request and len(request) < 65536:
                received = connection.recv(65536)
                if not received:
                    return
                request += received
            words = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            kind, data = self._find(words[1] if len(words) > 1 else "")
            head = f"HTTP/1.1 {200 if kind else 404} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}"
            connection.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode("latin-1") + data)

    def _find(self, target: str) -> tuple[str, bytes]:
        path = target.partition("?")[0]
        if path == PAGE:
            return "text/html; charset=utf-8", self._page
        parts = path.removeprefix(MATHJAX).split("/")
        if self._mathjax_fd is None or not path.startswith(MATHJAX) or ".." in parts or "" in parts:
            return "", b""
        try:
            fd = os.open("/".join(parts), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._mathjax_fd)
            with io.FileIO(fd) as file:
                return mimetypes.guess_type(path)[0] or "application/octet-stream", file.read()
        except OSError:
            return "", b""


def print_page(browser: str, address: str, folder: Path) -> bytes:
    """Let the browser print the page. Exits with a message when it does not."""
    pdf = folder / "page.pdf"
    command = [browser, *_FLAGS, f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={pdf}", address]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"HOME": str(folder), "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        cwd=folder,
        preexec_fn=lockdown.die_with_parent,
    ) as process:
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            sys.exit("the browser took too long")
    if process.returncode != 0 or not pdf.is_file() or pdf.is_symlink():
        sys.exit(f"the browser {browser} ended with status {process.returncode} and made no PDF")
    return pdf.read_bytes()


def mathjax_folder() -> Path | None:
    """MathJax 2, which the classic Notebook brings along; None where there is none."""
    spec = find_spec("nbclassic")
    for place in spec.submodule_search_locations or [] if spec else []:
        folder = Path(place) / "static" / "components" / "MathJax"
        if folder.is_dir():
            return folder
    return None


def main() -> None:
    """Print one page, then exit. Any error ends the process with a message."""
    asked = json.loads(sys.stdin.buffer.readline())
    page = sys.stdin.buffer.read()
    found = mathjax_folder()
    mathjax_fd = os.open(found, os.O_PATH | os.O_DIRECTORY) if found else None
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        _leave(folder, asked["uid"], asked["gid"])
    except OSError as error:
        remove(folder)
        sys.exit(f"the browser cannot be kept from the network here ({error.strerror}), so it is not started")
    pages = Pages(page, mathjax_fd)
    mimetypes.init()
    lockdown.limit(cpu_seconds=_CPU_SECONDS, data_bytes=_DATA_BYTES, file_bytes=_PDF_BYTES)
    remove_leftovers(folder.parent)
    threading.Thread(target=pages.run, daemon=True).start()
    try:
        sys.stdout.buffer.write(print_page(asked["browser"], pages.address, folder))
    finally:
        remove(folder)


def _leave(folder: Path, uid: int | None, gid: int | None) -> None:
    """Leave the network and be the user who prints, if one is named. Raises OSError.

    A root without the right to leave (`hub.spawner.confine`) leaves as that user, which needs user namespaces.
    """
    try:
        lockdown.leave_network()
        left = True
    except PermissionError:
        if uid is None:
            raise
        left = False
    if uid is not None and gid is not None:
        os.chown(folder, uid, gid)
        lockdown.become(uid, gid)
    if not left:
        lockdown.leave_network()


def remove_leftovers(place: Path) -> None:
    """Remove what earlier processes of this very user left: a page can fill a disk with what is left of it."""
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > LEFT_AFTER_SECONDS:
                remove(folder)


def remove(folder: Path) -> None:
    """Remove the folder with all that is in it, as far as that can be done."""
    for place, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            path = Path(place, name)
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


if __name__ == "__main__":
    main()
