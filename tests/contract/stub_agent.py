"""Stands in for the agent in the spawners' contract: makes its socket, ends at SIGTERM, or fails as it is told.

Who connects is told what it has in memory since its start. At its end it leaves a file, ``ended``, in the run folder.
"""

import contextlib
import os
import pathlib
import signal
import socket
import sys
import threading

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # PID 1 is not sent what it does not handle

if words := os.environ.get("STUB_FAILS"):
    sys.exit(words)

listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["KERNELHUB_RUN"] + "/agent.sock")
listener.listen()
variable = os.urandom(8).hex()


def answer() -> None:
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):  # who asked a frozen stub may not have waited
            connection.sendall(variable.encode())


threading.Thread(target=answer, daemon=True).start()
signal.sigwait({signal.SIGTERM})
pathlib.Path(os.environ["KERNELHUB_RUN"], "ended").touch()
