"""Spare kernels: started ahead, so that opening a notebook does not wait for an interpreter."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NamedTuple

from hub.agent import messages, policy
from hub.agent.cgroup import Cgroup
from hub.agent.incarnation import Incarnation, Listener, Surroundings
from hub.agent.specs import Spec

LOOK_SECONDS = 1.0
MOST_FAILURES = 3
"""Spares that may die in a row before none is started any more."""


class Load(NamedTuple):
    """What the kernels that were asked for are doing; a spare waits until all of it is quiet."""

    starting: int
    busy: int
    quiet_seconds: float


class Spares(Listener):
    """Keeps `wanted` spares of one kernelspec. `spec` gives the kernelspec, or None when it can have no spares.

    While a kernel that was asked for is starting, a spare that is still starting is paused.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        wanted: int,
        *,
        spec: Callable[[], Spec | None],
        load: Callable[[], Load],
        environment: dict[str, str],
        home: str,
        cgroup: Cgroup,
    ) -> None:
        self._around = surroundings
        self._wanted = wanted
        self._spec = spec
        self._load = load
        self._environment = environment
        self._home = home
        self._cgroup = cgroup
        self._kept: list[Incarnation] = []
        self._failures = 0
        self._looking = False
        self._closed = False

    @property
    def kept(self) -> list[Incarnation]:
        """The spares there are, ready or starting."""
        return list(self._kept)

    def start_first(self) -> None:
        """Start a spare at once: the agent has just come up, and nothing else runs."""
        if self._wanted > 0:
            self._start()
            self.look_later()

    def take(self, spec: Spec) -> Incarnation | None:
        """Give away a spare of exactly this kernelspec, the readiest, or None. It belongs to the caller then."""
        fitting = [spare for spare in self._kept if spare.spec == spec and not spare.over]
        if not fitting:
            return None
        spare = max(fitting, key=lambda candidate: candidate.ready)
        self._kept.remove(spare)
        self.look_later()
        return spare

    def yield_to_others(self) -> None:
        """Pause or resume spares that are starting, by whether kernels that were asked for are."""
        others = self._load().starting > 0
        for spare in self._kept:
            if not spare.ready and not spare.over:
                if others:
                    spare.child.pause()
                else:
                    spare.child.resume()

    def close(self) -> list[Incarnation]:
        """Start none any more; give all away."""
        self._closed = True
        kept, self._kept = self._kept, []
        return kept

    def look_later(self) -> None:
        """See in a while whether another spare may be started."""
        if not self._looking and not self._closed:
            self._looking = True
            self._around.loop.later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._looking = False
        self._kept = [spare for spare in self._kept if not spare.over]
        if self._closed or len(self._kept) >= self._wanted or self._failures >= MOST_FAILURES:
            return
        load = self._load()
        if policy.decide_spare(
            wanted=self._wanted,
            kept=len(self._kept),
            starting=load.starting + sum(not spare.ready for spare in self._kept),
            busy=load.busy,
            quiet_seconds=load.quiet_seconds,
            free_bytes=self._cgroup.free_bytes(),
        ):
            self._start()
        self.look_later()

    def _start(self) -> None:
        spec = self._spec()
        if spec is None:
            self._wanted = 0
            return
        name = f"spare-{os.urandom(4).hex()}"
        key = messages.new_key()
        try:
            spare = Incarnation(self._around, spec, name, key, self._home, self._environment, self)
        except (OSError, ValueError) as error:
            print(f"a spare kernel cannot be started: {error}", file=sys.stderr)
            self._failures = MOST_FAILURES
            return
        self._kept.append(spare)

    # ---- what a spare tells

    def became_ready(self) -> None:
        """See Listener."""
        self._failures = 0

    def ended(self, return_code: int) -> None:
        """See Listener."""
        for spare in self._kept:
            if spare.over:
                print(f"a spare kernel ended ({return_code}): {spare.child.tail[-2000:]}", file=sys.stderr)
        self._failures += 1
        self.look_later()
