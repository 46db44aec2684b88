"""``kernelhub kernelspec``: the kernels of an image, as Jupyter's own command inside it prints them."""

from __future__ import annotations

import json
from typing import Any

import click

from hub.cli.options import Settings, run_async, with_settings
from hub.config import Profile
from hub.spawn.direct import select_direct
from hub.spawn.folders import Folders
from hub.workspaces.image_kernelspecs import ImageKernelspecs, Record
from hub.workspaces.probes import Probes
from proxy.contract.agent import Kernelspec
from proxy.kit.clock import SystemClock

_DEFAULTS: dict[str, Any] = {
    "argv": [],
    "env": {},
    "display_name": "",
    "language": "",
    "interrupt_mode": "signal",
    "metadata": {},
    "kernel_protocol_version": "",
}
"""What Jupyter shows of a kernel.json, in its order, and for what is absent."""


@click.group("kernelspec")
def command() -> None:
    """Kernelspecs: which kernels an image has."""


@command.command("list")
@click.option("--image", help="Image of the engine; without it the default profile's.")
@click.option("--json", "as_json", is_flag=True, help="The kernelspecs as JSON.")
@with_settings
@run_async
async def list_(settings: Settings, image: str | None, as_json: bool) -> None:
    """Print what `jupyter kernelspec list` prints inside the image.

    An image that the hub does not know yet is started once without network and without anybody's files, and asked.
    """
    record = await _learn(settings, _profile(settings, image))
    if as_json:
        specs = {spec.name: {"resource_dir": spec.folder, "spec": _content(spec)} for spec in record.specs}
        click.echo(json.dumps({"kernelspecs": specs}, indent=2))
        return
    width = max((len(spec.name) for spec in record.specs), default=0)
    click.echo("Available kernels:" if record.specs else "No kernels available")
    for spec in record.specs:
        folder = spec.folder if spec.folder.isprintable() else ascii(spec.folder)
        click.echo(f"  {spec.name.ljust(width)}    {folder}")


def _profile(settings: Settings, image: str | None) -> Profile:
    """The profile whose image it is, asked as its containers will be; else the default one with this image."""
    default = settings.profiles[settings.default_profile]
    if image is None:
        return default
    for profile in (default, *settings.profiles.values()):
        if profile.image == image:
            return profile
    return default.model_copy(update={"image": image})


async def _learn(settings: Settings, profile: Profile) -> Record:
    selected = await select_direct(settings, Folders(settings.data_dir, settings.base_uid, settings.base_gid))
    if selected.spawner.name == "process":
        click.echo("no container engine is used: these are the kernels of this machine", err=True)
    clock = SystemClock()
    images = ImageKernelspecs(selected.folders.images, clock)
    probes = Probes(settings, selected.spawner, selected.folders, images, clock)
    try:
        return await probes.learn(profile)
    finally:
        await probes.close()
        await selected.spawner.close()


def _content(spec: Kernelspec) -> dict[str, Any]:
    """A kernel.json with the defaults of what it leaves out. It comes from the image, so it is shown as it is."""
    return {name: spec.spec.get(name, default) for name, default in _DEFAULTS.items()}
