"""The agent: the program that runs as PID 1 in containers, and all that kernelhub puts into them.

It starts, interrupts, restarts and watches kernels, keeps spare ones ready, serves terminals, runs small programs of
its own for the hub (`hub.agent.programs`), and answers hub and proxies on a ZeroMQ socket
(docs/reference/agent-protocol.md). It is self-contained: standard library and pyzmq, Python 3.9 or later, pyzmq 22 or
later, one thread, no asyncio (memory). It imports nothing else of the hub.

How spawners start it: `hub.agent.install.program()` gives its files; they are written to
``<data>/agent/<version>/`` (version: `hub.agent.install.version()`), which is mounted read-only at
``/opt/kernelhub/agent``; `hub.agent.install.command(python, folder)` is the command line. Environment:

KERNELHUB_RUN
    The folder of the sockets; ``/run/kernelhub`` if not set. Writable, private to the user.
KERNELHUB_HOME
    The user's home: HOME and starting folder of kernels and terminals; ``HOME`` if not set.
KERNELHUB_SPARE_KERNELS
    How many kernels of the default kernelspec to keep started ahead: 0 to 4; 1 if not set.
KERNELHUB_JOURNAL_BYTES
    How much of what a kernel publishes is kept in its journal; 64 MiB if not set, 0 for no journals.
KERNELHUB_RESTARTS, KERNELHUB_RESTARTS_WITHIN
    A kernel that dies is started again by itself at most so many times within so many seconds; 3 and 60 if not
    set. With 0 it never is.

Everything else in the environment is handed on to kernels and terminals.
"""
