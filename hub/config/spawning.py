"""What the spawner's process allows: the file's word, which the hub cannot change while it runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from hub.config.values import Section

_PATTERN = re.compile(r"[A-Za-z0-9*?\[\]][A-Za-z0-9._/:@*?\[\]-]*\Z")


class Spawning(Section):
    """The spawner: the one process with access to the engine, and what it makes for a hub that it does not trust."""

    folder: Path | None = Field(
        None,
        description="The spawner's own folder, with its socket and what it remembers; without it `spawner` in the data "
        "folder.",
    )
    separate: bool = Field(
        False,
        description="The spawner is a service of its own (`kernelhub spawner`): `serve` starts none.",
    )
    hub_uid: int | None = Field(
        None, ge=0, description="uid of the hub, the only one that the spawner answers; without it the spawner's own."
    )
    confine: bool = Field(
        True,
        description="Whether `serve`, when it runs as root, starts hub and proxy without access to the engine: with "
        "few capabilities, and a file system of their own in which the engine's socket is not there.",
    )
    allowed_images: list[str] = Field(
        [],
        description="Images that administrators may use in profiles they define while the hub runs, as patterns such "
        "as `registry.example.edu/courses/*`; without any, only the profiles of the configuration are started.",
    )
    networks: list[Literal["none", "internet"]] = Field(
        ["none", "internet"], description="Networks that such profiles may use."
    )
    runtimes: list[str] = Field([], description="Runtimes of the engine, such as `runsc`, that such profiles may use.")
    most_memory_bytes: int | None = Field(
        None,
        ge=64 * 1024**2,
        description="Largest memory limit that such profiles, and groups' own limits, may have; without it the "
        "profile's own, or the largest of the configuration's profiles.",
    )
    most_cpus: float | None = Field(None, gt=0, description="The same for CPUs.")
    most_pids: int | None = Field(None, ge=16, description="The same for processes.")
    most_tmp_bytes: int = Field(1024**3, ge=1024**2, description="Largest /tmp of such profiles.")
    most_gpus: int = Field(0, ge=0, description="Most GPUs of such profiles.")

    @field_validator("allowed_images")
    @classmethod
    def _patterns_of_images(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            if not _PATTERN.match(pattern):
                raise ValueError(f"{pattern!r} is not an image's name, nor a pattern of names with * and ?")
        return patterns
