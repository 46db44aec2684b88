"""The protocol's operations: each a method that answers, or says that the answer comes later."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hub.agent import messages, procfs, specs
from hub.agent.cgroup import Cgroup
from hub.agent.jobs import Jobs
from hub.agent.kernel import Kernel
from hub.agent.kernels import Kernels
from hub.agent.peers import Peer
from hub.agent.terminals import Terminals
from hub.agent.wire import Args, Request

Result = dict[str, Any]
Answer = Callable[[Result], None]

PROTOCOL_VERSION = 1
VERSION = "0.1.0"


class Service:
    """Answers requests. `in_container` says whether the control group is the container's own."""

    def __init__(
        self, kernels: Kernels, terminals: Terminals, jobs: Jobs, cgroup: Cgroup, *, in_container: bool
    ) -> None:
        self._kernels = kernels
        self._terminals = terminals
        self._jobs = jobs
        self._cgroup = cgroup
        self._in_container = in_container
        self._started_at = time.time()
        self._began = time.monotonic()
        self._operations: dict[str, Callable[[Peer, Args, Answer], Result | None]] = {
            "hello": self._hello,
            "ping": lambda peer, args, answer: {},
            "status": self._status,
            "watch": self._watch,
            "kernelspec.resource": self._resource,
            "kernel.start": self._start,
            "kernel.attach": self._attach,
            "kernel.detach": self._detach,
            "kernel.executions": self._executions,
            "kernel.farewell": self._farewell,
            "kernel.interrupt": self._interrupt,
            "kernel.restart": self._restart,
            "kernel.shutdown": self._shutdown,
            "journal.sync": self._journal_sync,
            "journal.note": self._journal_note,
            "terminal.create": self._terminal_create,
            "terminal.delete": self._terminal_delete,
            "terminal.attach": self._terminal_attach,
            "terminal.detach": self._terminal_detach,
            "terminal.input": self._terminal_input,
            "terminal.resize": self._terminal_resize,
            "job.start": self._job_start,
            "job.read": self._job_read,
            "job.stop": self._job_stop,
        }

    def perform(self, peer: Peer, request: Request, answer: Answer) -> Result | None:
        """Do what `request` asks. The result, or None when `answer` will be called with it. Raises Refusal."""
        return self._operations[request.op](peer, request.args, answer)

    # ---- the container

    def _hello(self, peer: Peer, args: Args, answer: Answer) -> Result:
        found = self._kernels.read_specs()
        return {
            "protocol": PROTOCOL_VERSION,
            "version": VERSION,
            "started_at": self._started_at,
            "default_kernel": specs.default_name(found),
            "kernelspecs": [
                {"name": s.name, "spec": s.content, "resources": list(s.resources), "folder": s.folder}
                for s in found.values()
            ],
        }

    def _status(self, peer: Peer, args: Args, answer: Answer) -> Result:
        usage = procfs.usage_by_session()
        kernels = self._kernels.infos(usage)
        own_rss = procfs.own_rss_bytes()
        container: Result = {
            "oom_kills": self._cgroup.oom_kills(),
            "agent_rss_bytes": own_rss,
            "uptime_seconds": time.monotonic() - self._began,
        }
        if self._in_container:
            container["memory_bytes"] = self._cgroup.memory_bytes()
            container["memory_limit_bytes"] = self._cgroup.memory_limit_bytes()
            container["cpu_seconds"] = self._cgroup.cpu_seconds()
        else:
            container["memory_bytes"] = own_rss + sum(kernel["rss_bytes"] for kernel in kernels)
            container["cpu_seconds"] = sum(kernel["cpu_seconds"] for kernel in kernels)
        return {
            "kernels": kernels,
            "terminals": self._terminals.infos(),
            "jobs": self._jobs.infos(),
            "container": container,
        }

    def _watch(self, peer: Peer, args: Args, answer: Answer) -> Result:
        peer.watches = True
        return {}

    def _resource(self, peer: Peer, args: Args, answer: Answer) -> Result:
        return {"data": specs.read_resource(self._kernels.spec(args["name"]), args["file"])}

    # ---- kernels

    def _info(self, kernel: Kernel) -> Result:
        return kernel.info()

    def _start(self, peer: Peer, args: Args, answer: Answer) -> Result:
        return self._info(self._kernels.start(args))

    def _attach(self, peer: Peer, args: Args, answer: Answer) -> Result:
        kernel = self._kernels.get(args["kernel_id"])
        peer.kernels.add(kernel.kernel_id)
        return {
            "kernel": self._info(kernel),
            "key": kernel.key.decode(),
            "signature_scheme": messages.SIGNATURE_SCHEME,
            "session": self._kernels.session,
        }

    def _detach(self, peer: Peer, args: Args, answer: Answer) -> Result:
        peer.kernels.discard(args["kernel_id"])
        return {}

    def _executions(self, peer: Peer, args: Args, answer: Answer) -> Result:
        return self._kernels.get(args["kernel_id"]).executions_after(args["after"])

    def _farewell(self, peer: Peer, args: Args, answer: Answer) -> Result:
        self._kernels.get(args["kernel_id"]).farewell(args["reason"])
        return {}

    def _interrupt(self, peer: Peer, args: Args, answer: Answer) -> Result:
        self._kernels.get(args["kernel_id"]).interrupt()
        return {}

    def _restart(self, peer: Peer, args: Args, answer: Answer) -> None:
        kernel = self._kernels.get(args["kernel_id"])
        kernel.restart(lambda: answer(self._info(kernel)))

    def _shutdown(self, peer: Peer, args: Args, answer: Answer) -> None:
        self._kernels.shut_down(args["kernel_id"], lambda: answer({}))

    # ---- journals

    def _journal_sync(self, peer: Peer, args: Args, answer: Answer) -> Result:
        return self._kernels.get(args["kernel_id"]).sync_journal()

    def _journal_note(self, peer: Peer, args: Args, answer: Answer) -> Result:
        kernel = self._kernels.get(args["kernel_id"])
        kernel.note({name: args[name] for name in ("msg_id", "session", "msg_type", "cell_id")})
        return {}

    # ---- terminals

    def _terminal_create(self, peer: Peer, args: Args, answer: Answer) -> Result:
        return self._terminals.create(args["cwd"], args["name"]).info()

    def _terminal_delete(self, peer: Peer, args: Args, answer: Answer) -> Result:
        self._terminals.get(args["name"]).hang_up()
        return {}

    def _terminal_attach(self, peer: Peer, args: Args, answer: Answer) -> Result:
        terminal = self._terminals.get(args["name"])
        peer.terminals.add(terminal.name)
        return {"name": terminal.name, "scrollback": terminal.scrollback()}

    def _terminal_detach(self, peer: Peer, args: Args, answer: Answer) -> Result:
        peer.terminals.discard(args["name"])
        peer.missed.pop(args["name"], None)
        return {}

    def _terminal_input(self, peer: Peer, args: Args, answer: Answer) -> Result:
        self._terminals.get(args["name"]).type(args["data"])
        return {}

    def _terminal_resize(self, peer: Peer, args: Args, answer: Answer) -> Result:
        self._terminals.get(args["name"]).resize(args["rows"], args["cols"])
        return {}

    # ---- jobs

    def _job_start(self, peer: Peer, args: Args, answer: Answer) -> Result:
        return self._jobs.start(args["job_id"], args["program"], args["arguments"]).info()

    def _job_read(self, peer: Peer, args: Args, answer: Answer) -> Result:
        return self._jobs.get(args["job_id"]).read(args["offset"])

    def _job_stop(self, peer: Peer, args: Args, answer: Answer) -> None:
        self._jobs.get(args["job_id"]).stop(lambda: answer({}))
