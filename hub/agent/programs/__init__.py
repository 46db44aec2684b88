"""Programs that the agent runs for the hub, each a process of its own: jobs (docs/reference/agent-protocol.md).

A program is a module with ``main(arguments) -> int``: `arguments` is the JSON object that the hub gave, what is
returned is the exit status. It tells how far it is with `hub.agent.programs.output.tell`, a JSON object a line. The
last that it writes to stderr is kept as the reason of a failure. It runs as the user, in the home, in a session of its
own; processes of its group that it leaves behind are killed. KERNELHUB_RUN in its environment is the run folder, with
the kernels' sockets.

Python 3.9, standard library and pyzmq only, and nothing of the hub outside `hub.agent`.
"""

from __future__ import annotations

PROGRAMS = ("git_pull", "run_notebook")
"""The programs that the hub may ask for; those whose module is not there are refused."""
