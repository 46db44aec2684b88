"""Stands in for the agent in the spawners' contract: makes its socket, ends at SIGTERM, or fails as it is told."""

import os
import signal
import socket
import sys

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # PID 1 is not sent what it does not handle

if words := os.environ.get("STUB_FAILS"):
    sys.exit(words)

listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["KERNELHUB_RUN"] + "/agent.sock")
listener.listen()
signal.sigwait({signal.SIGTERM})
