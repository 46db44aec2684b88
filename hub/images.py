"""Building the kernel images of deploy/images: what `kernelhub image build` does.

The base is python:3.12-slim where a registry gives it. Where none answers, a base is made from Debian packages
(deploy/images/debian-base.sh). Images trust the certificate authorities that the builder's environment names,
and pip in them asks the indexes that the builder's environment names.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound

from hub.config import Settings
from hub.errors import EngineSilent
from hub.image_names import IMAGES, USUAL, tag_of
from hub.spawn.engine import Engine, explanation

DEFAULT_BASE = "python:3.12-slim"
CONDA_BASE = "condaforge/miniforge3:latest"
DEBIAN_BASE = "kernelhub/debian-base:latest"
SOURCES = Path(__file__).parents[1] / "deploy" / "images"
SOURCES_LABEL = "kernelhub.sources"
"""The label of an image whose value is the digest of what it was built from."""
BUILD_SECONDS = 3600
PULL_SECONDS = 900

_CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_BUILD_ARGUMENTS = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)

Report = Callable[[str], None]
"""Takes one line of progress; called from a thread."""


class BuildFailed(Exception):
    """An image could not be built; the message says which and why."""


async def image_present(settings: Settings, image: str) -> bool:
    """Whether the engine has the image. Raises EngineSilent."""
    engine = Engine(settings.docker_url)
    try:
        return await _present(engine, image)
    finally:
        await engine.close()


async def up_to_date(settings: Settings, name: str | None) -> bool:
    """Whether one of IMAGES, None for the usual ones, is there, built from these very sources. Raises EngineSilent."""
    engine = Engine(settings.docker_url)
    try:
        wanted = [name] if name is not None else USUAL
        return all([await _sources_of(engine, tag_of(image)) == sources_digest(image) for image in wanted])
    finally:
        await engine.close()


async def build(settings: Settings, name: str | None, base: str | None, report: Report) -> list[str]:
    """Build one of IMAGES, None for the usual ones, and what it builds on if that is missing; give the tags.

    `base` is an image to build on instead of python:3.12-slim (or, where that is not to be had, one made from
    Debian packages), or of conda's. Raises BuildFailed; EngineSilent when no engine answers.
    """
    if name is not None and name not in IMAGES:
        raise BuildFailed(f"There is no image {name!r}; there are {', '.join(IMAGES)}.")
    engine = Engine(settings.docker_url)
    try:
        await engine.call(lambda client: client.ping())
        wanted = [name] if name is not None else list(USUAL)
        beneath = IMAGES[wanted[0]]
        if beneath is not None and (base is not None or not await _present(engine, tag_of(beneath))):
            wanted.insert(0, beneath)
        for image in wanted:
            parent = IMAGES[image]
            source = tag_of(parent) if parent is not None else await _decide_base(engine, image, base, report)
            await _build_one(engine, image, source, report)
        return [tag_of(image) for image in wanted]
    finally:
        await engine.close()


def sources_digest(name: str) -> str:
    """What an image and those beneath it are built from, without the base: 16 hexadecimal characters."""
    digest = hashlib.sha256()
    parent = IMAGES[name]
    for image in [parent, name] if parent is not None else [name]:
        for path in _sources(image):
            content = path.read_bytes()
            digest.update(f"{image}/{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def build_arguments(environment: Mapping[str, str], base: str) -> dict[str, str]:
    """The build's arguments: the base, and where pip finds packages according to the environment."""
    return {"BASE": base} | {name: environment[name] for name in _BUILD_ARGUMENTS if name in environment}


def ca_bundle(environment: Mapping[str, str]) -> Path | None:
    """The file of certificate authorities that the environment names; None if it names none that exists."""
    named = (Path(environment[name]) for name in _CA_VARIABLES if environment.get(name))
    return next((path for path in named if path.is_file()), None)


def build_context(name: str, bundle: Path | None) -> bytes:
    """The folder of an image, and the bundle of authorities as ca-bundle.crt, as a tar archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in _sources(name):
            tar.add(path, arcname=path.name, filter=_owned_by_root)
        if bundle is not None:
            tar.add(bundle.resolve(), arcname="ca-bundle.crt", filter=_owned_by_root)
    return archive.getvalue()


def _sources(name: str) -> list[Path]:
    return sorted(path for path in (SOURCES / name).iterdir() if path.is_file())


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o644
    return entry


async def _present(engine: Engine, image: str) -> bool:
    try:
        await engine.call(lambda client: client.inspect_image(image))
    except NotFound:
        return False
    return True


async def _sources_of(engine: Engine, image: str) -> str | None:
    """The digest of what an image says it was built from; None where it says nothing or is not there."""
    try:
        found = await engine.call(lambda client: client.inspect_image(image))
    except NotFound:
        return None
    label = (found["Config"].get("Labels") or {}).get(SOURCES_LABEL)
    return str(label) if label else None


async def _decide_base(engine: Engine, image: str, base: str | None, report: Report) -> str:
    wanted = base or (CONDA_BASE if image == "conda" else DEFAULT_BASE)
    if await _present(engine, wanted):
        return wanted
    report(f"Fetching the base image {wanted}")
    try:
        await engine.call(lambda client: _follow(client.pull(wanted, stream=True, decode=True)), PULL_SECONDS)
    except (APIError, BuildFailed, EngineSilent) as error:
        words = explanation(error) if isinstance(error, APIError) else str(error)
        if wanted != DEFAULT_BASE:
            raise BuildFailed(f"The base image {wanted} cannot be had: {words}.") from error
        report(f"No registry gives {wanted} ({words}): using a base of Debian packages")
    else:
        return wanted
    if not await _present(engine, DEBIAN_BASE):
        report(f"Making {DEBIAN_BASE} with mmdebstrap; this takes about half a minute")
        await asyncio.to_thread(_make_debian_base)
    return DEBIAN_BASE


def _make_debian_base() -> None:
    script = SOURCES / "debian-base.sh"
    try:
        made = subprocess.run(
            ["/bin/sh", str(script), DEBIAN_BASE], capture_output=True, text=True, timeout=BUILD_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise BuildFailed(f"{script} did not end within {BUILD_SECONDS} s.") from error
    if made.returncode != 0:
        last = "\n".join(made.stderr.strip().splitlines()[-5:])
        raise BuildFailed(
            f"No registry answers, and no base could be made from Debian packages either ({script}):\n{last}"
        )


async def _build_one(engine: Engine, name: str, base: str, report: Report) -> None:
    tag = tag_of(name)
    report(f"Building {tag} on {base}")
    context = build_context(name, ca_bundle(os.environ))
    arguments = build_arguments(os.environ, base)

    def work(client: Any) -> None:
        steps = client.build(
            fileobj=io.BytesIO(context),
            custom_context=True,
            tag=tag,
            buildargs=arguments,
            labels={SOURCES_LABEL: sources_digest(name)},
            network_mode="host",
            rm=True,
            forcerm=True,
            decode=True,
            timeout=BUILD_SECONDS,
        )
        _follow(steps, report)

    try:
        await engine.call(work, BUILD_SECONDS)
    except APIError as error:
        raise BuildFailed(f"{tag} could not be built: {explanation(error)}.") from error
    except BuildFailed as error:
        raise BuildFailed(f"{tag} could not be built: {error}") from error


def _follow(progress: Iterable[Mapping[str, Any]], report: Report = lambda _line: None) -> None:
    """Read the engine's progress to its end and report the steps that take time. Raises BuildFailed."""
    said: list[str] = []
    for entry in progress:
        if "error" in entry:
            raise BuildFailed("\n".join([*said[-10:], str(entry["error"]).strip()]))
        line = str(entry.get("stream", "")).strip()
        if line.startswith("Step "):
            if " : RUN " in line:
                report("  " + line.partition(" : ")[0].lower())
        elif line:
            said.append(line)
