"""All jobs of the container: the use cases of the protocol's ``job.*`` operations."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hub.agent import bounds
from hub.agent.child import Reaper
from hub.agent.job import Job
from hub.agent.loop import Loop
from hub.agent.programs import PROGRAMS
from hub.agent.wire import Refusal

END_SECONDS = 2.0
"""How long programs have when the agent ends; kernels need the rest of its time."""

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")


class Jobs:
    """Owns the jobs: those that run, and the last that have ended. `environment` is what programs get."""

    def __init__(self, loop: Loop, reaper: Reaper, *, home: str, environment: dict[str, str]) -> None:
        self._loop = loop
        self._reaper = reaper
        self._home = home
        self._environment = environment
        self._jobs: dict[str, Job] = {}
        self._closed = False

    def get(self, job_id: str) -> Job:
        """One job. Raises Refusal ``not_found``."""
        if (job := self._jobs.get(job_id)) is None:
            raise Refusal("not_found", "there is no such job")
        return job

    def start(self, job_id: str, program: str, arguments: dict[str, Any]) -> Job:
        """Start a program; with the id of a job that is there already: that one. Raises Refusal."""
        if (known := self._jobs.get(job_id)) is not None:
            return known
        if program not in PROGRAMS or not os.path.isfile(f"{_FOLDER}/{program}.py"):
            raise Refusal("unknown_program", f"there is no program {program!r}")
        if self._closed or len(self._running()) >= bounds.MAX_JOBS:
            raise Refusal("too_many", f"{bounds.MAX_JOBS} programs run already")
        try:
            job = Job(
                self._loop,
                self._reaper,
                job_id,
                program,
                arguments,
                home=self._home,
                environment=self._environment,
                ended=self._job_ended,
            )
        except OSError as error:
            raise Refusal("start_failed", f"the program cannot be started: {error}") from error
        self._jobs[job_id] = job
        return job

    def infos(self) -> list[dict[str, Any]]:
        """All jobs in the protocol's form."""
        return [job.info() for job in self._jobs.values()]

    def close(self, then: Callable[[], None]) -> None:
        """End all; call `then` when the last has ended."""
        self._closed = True
        running = self._running()
        remaining = len(running)

        def ended() -> None:
            nonlocal remaining
            remaining -= 1
            if remaining == 0:
                then()

        for job in running:
            job.stop(ended)
            self._loop.later(END_SECONDS, job.kill)
        if not running:
            then()

    def _running(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.running]

    def _job_ended(self, job: Job) -> None:
        """Keep the last that ended: the one that ended now becomes the newest."""
        self._jobs[job.job_id] = self._jobs.pop(job.job_id)
        ended = [job_id for job_id, known in self._jobs.items() if not known.running]
        for job_id in ended[: -bounds.MAX_ENDED_JOBS]:
            del self._jobs[job_id]
