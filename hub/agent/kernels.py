"""All kernels of the container: the use cases of the protocol's ``kernel.*`` operations."""

from __future__ import annotations

import functools
import signal
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from hub.agent import bounds, policy, procfs, specs
from hub.agent.cgroup import Cgroup
from hub.agent.incarnation import Surroundings
from hub.agent.kernel import NOTHING, Kernel
from hub.agent.places import resolve_cwd
from hub.agent.procfs import Usage
from hub.agent.spares import Load, Spares
from hub.agent.specs import Spec
from hub.agent.wire import Args, Refusal


class Kernels:
    """Owns kernels and spares. `announce` is called with every kernel whose state changed.

    `environment` is what kernels inherit; `folders` is where kernelspecs are looked for.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        home: str,
        environment: dict[str, str],
        folders: list[str],
        spares: int,
        cgroup: Cgroup,
        announce: Callable[[Kernel], None],
        journal_bytes: int = bounds.JOURNAL_BYTES,
        restarts: policy.Restarts = policy.DEFAULT_RESTARTS,
    ) -> None:
        self._around = surroundings
        self._home = home
        self._environment = environment
        self._folders = folders
        self._cgroup = cgroup
        self._announce = announce
        self._kernels: dict[str, Kernel] = {}
        self._specs = specs.find_specs(folders)
        self._journal_bytes = journal_bytes
        self._restarts = restarts
        self._oom_kills = deque([cgroup.oom_kills()], maxlen=2)
        """Seen at the last two beats: a process that was killed may take a while to be gone."""
        self._busy_at = surroundings.loop.now()
        self._spares = Spares(
            surroundings,
            spares,
            spec=self._spec_for_spares,
            load=self._load,
            environment=environment,
            home=home,
            cgroup=cgroup,
        )
        surroundings.loop.every(bounds.HEARTBEAT_SECONDS, self._beat)

    @property
    def session(self) -> str:
        """The session that the agent's own requests carry."""
        return self._around.session

    # ---- kernelspecs

    def read_specs(self) -> dict[str, Spec]:
        """The kernelspecs, read anew: a user may have installed one."""
        self._specs = specs.find_specs(self._folders)
        return self._specs

    def spec(self, name: str) -> Spec:
        """One kernelspec. Raises Refusal ``unknown_kernelspec``."""
        found = self._specs.get(name) or self.read_specs().get(name)
        if found is None:
            raise Refusal("unknown_kernelspec", f"the image has no kernelspec {name!r}")
        return found

    def _spec_for_spares(self) -> Spec | None:
        name = specs.default_name(self._specs)
        spec = self._specs[name] if name is not None else None
        return spec if spec is not None and spec.is_ipykernel else None

    # ---- kernels

    def __iter__(self) -> Iterator[Kernel]:
        return iter(list(self._kernels.values()))

    def get(self, kernel_id: str) -> Kernel:
        """One kernel. Raises Refusal ``not_found``."""
        if (kernel := self._kernels.get(kernel_id)) is None:
            raise Refusal("not_found", "there is no such kernel")
        return kernel

    def start(self, args: Args) -> Kernel:
        """Start a kernel, from a spare where one fits. Raises Refusal."""
        kernel_id: str = args["kernel_id"]
        if kernel_id in self._kernels:
            raise Refusal("exists", "there is a kernel of this id")
        if len(self._kernels) >= bounds.MAX_KERNELS:
            raise Refusal("too_many", f"there are {bounds.MAX_KERNELS} kernels already")
        spec = self.spec(args["name"])
        kernel = Kernel(
            self._around,
            kernel_id,
            spec,
            resolve_cwd(self._home, args["cwd"]),
            args["env"],
            changed=self._changed,
            explain=self._explain,
            journal_bytes=self._journal_bytes,
            restarts=self._restarts,
        )
        if (spare := self._spares.take(spec)) is not None:
            self._kernels[kernel_id] = kernel
            kernel.adopt(spare, self._environment)
        else:
            kernel.start(self._environment)
            self._kernels[kernel_id] = kernel
            self._spares.yield_to_others()
        return kernel

    def shut_down(self, kernel_id: str, then: Callable[[], None]) -> None:
        """End a kernel and forget it; then call `then`. Raises Refusal ``not_found``."""

        def ended() -> None:
            if (kernel := self._kernels.pop(kernel_id, None)) is not None:
                kernel.close()
            then()

        self.get(kernel_id).shut_down(ended)

    def close(self, then: Callable[[], None]) -> None:
        """End all kernels and spares; call `then` when the last has ended."""
        remaining = {"all of them"}

        def ended(name: str) -> None:
            remaining.discard(name)
            if not remaining:
                then()

        for spare in self._spares.close():
            spare.child.signal(signal.SIGKILL)  # nobody ever ran anything in it
            spare.files.remove()
        for kernel in self:
            remaining.add(kernel.kernel_id)
            kernel.shut_down(functools.partial(ended, kernel.kernel_id))
        ended("all of them")

    # ---- what happens

    def _changed(self, kernel: Kernel) -> None:
        self._busy_at = self._around.loop.now()
        self._spares.yield_to_others()
        self._announce(kernel)

    def _beat(self) -> None:
        usage = procfs.usage_by_session() if self._kernels else {}
        for kernel in self:
            kernel.beat(usage.get(kernel.pid or 0, NOTHING))
        self._oom_kills.append(self._cgroup.oom_kills())

    def _explain(self, return_code: int) -> str:
        """Why a kernel died. Only a kill for want of memory in the last seconds can have been this one's."""
        kills = self._cgroup.oom_kills()
        out_of_memory = return_code == -signal.SIGKILL and kills > self._oom_kills[0]
        if out_of_memory:  # the kill explains one death, not the next one's too
            self._oom_kills = deque([min(kills, self._oom_kills[0] + 1)], maxlen=2)
        return policy.words_for_death(return_code, out_of_memory, self._cgroup.memory_limit_bytes())

    def _load(self) -> Load:
        kernels = list(self._kernels.values())
        return Load(
            sum(kernel.starting for kernel in kernels),
            sum(kernel.state == "busy" for kernel in kernels),
            self._around.loop.now() - self._busy_at,
        )

    def start_first_spare(self) -> None:
        """Start a spare now, if any are wanted."""
        self._spares.start_first()

    def infos(self, usage: dict[int, Usage]) -> list[dict[str, Any]]:
        """All kernels in the protocol's form, with what the processes of each one's session use."""
        return [kernel.info(usage.get(kernel.pid or 0, NOTHING)) for kernel in self]
