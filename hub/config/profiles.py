"""Profiles: what containers are made of."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from hub.config.culling import CullingRules
from hub.config.values import Section, Span

GIB = 1024**3


class Profile(Section):
    """What a workspace is made of: image, limits and network."""

    display_name: str = Field("Python", description="What users see.")
    image: str = Field(
        "kernelhub/datascience:latest",
        description="Image that the engine has; it is never pulled by itself.",
    )
    memory_bytes: int | None = Field(2 * GIB, ge=64 * 1024**2, description="Memory limit, swap included.")
    cpus: float | None = Field(2.0, gt=0, description="CPU limit, in cores.")
    pids: int | None = Field(512, ge=16, description="Most processes and threads at once.")
    tmp_bytes: int = Field(512 * 1024**2, ge=1024**2, description="Size of the container's /tmp, in memory.")
    network: Literal["none", "internet"] = Field(
        "internet", description="`none`, or `internet`: a bridge on which containers cannot reach each other."
    )
    home: str = Field("/home/jovyan", description="Where the user's home is inside the container.")
    environment: dict[str, str] = Field({}, description="Additional environment variables.")
    gpus: int | list[str] = Field(
        0, description="GPUs of each container: how many, or which, by the engine's ids; `-1` is all of them."
    )
    runtime: str | None = Field(
        None, description="One of the engine's runtimes, such as `runsc` (gVisor); without it the engine's default."
    )
    spare_kernels: int = Field(1, ge=0, le=4, description="Kernels started ahead of the first notebook.")
    restarts: int = Field(
        3, ge=0, le=1000, description="How often a kernel that died is started again within `restarts_within`."
    )
    restarts_within: Span = Field(
        timedelta(minutes=1),
        ge=timedelta(seconds=1),
        le=timedelta(days=1),
        description="The time in which `restarts` are counted; after the last one the kernel stays dead.",
    )
    journal_bytes: int = Field(
        64 * 1024**2,
        ge=0,
        le=256 * 1024**2,
        description="How much of what a kernel publishes is kept for those who were not there; 0 keeps nothing.",
    )
    kernels: list[str] = Field(
        [], description="Kernelspecs of the image that are offered, the first as the default; empty: all."
    )
    groups: list[str] = Field([], description="Groups whose members may use it; empty, and no roles: everybody.")
    roles: list[str] = Field([], description="Roles whose people may use it, besides the members of `groups`.")
    culling: CullingRules = Field(
        CullingRules(), description="When idle things of it end, where it differs from `[culling]`."
    )

    @property
    def is_for_everybody(self) -> bool:
        """Whether nobody is left out."""
        return not self.groups and not self.roles
