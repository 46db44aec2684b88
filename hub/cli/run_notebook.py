"""``kernelhub run``: a notebook from top to bottom on a fresh kernel of a hub, without a browser."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import secrets
import sys
from pathlib import Path
from typing import Any

import click
import yaml

from hub.cli.options import run_async
from hub.cli.remote_options import url_option, with_token
from hub.cli.run_screen import Screen, printable, report
from hub.errors import HubError, NotFound, Unavailable
from hub.remote.connection import RemoteHub, connect

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 120.0
"""So long is a hub that does not answer asked again: it may be restarting, and the run goes on meanwhile."""
DETACHED = 130
"""Exit status after Ctrl-C, as shells have it."""
UPLOADS = "kernelhub-run"
"""The folder of the home where ``--local`` puts notebooks while they run."""
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@click.command("run")
@click.argument("path", required=False, metavar="NOTEBOOK")
@url_option
@click.option("-p", "--parameter", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter.")
@click.option("-r", "--raw", nargs=2, multiple=True, metavar="NAME VALUE", help="Set a parameter to a text.")
@click.option("-y", "--yaml", multiple=True, help="Parameters as YAML, such as '{rates: [1, 2]}'.")
@click.option("-f", "--parameters-file", type=click.Path(path_type=Path), help="Parameters from a YAML file.")
@click.option("-o", "--output", help="File for the outputs; without, the notebook itself gets them.")
@click.option("-k", "--kernel", help="Kernel to use instead of the one that the notebook names.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Most seconds that a cell may take.")
@click.option("--local", is_flag=True, help="NOTEBOOK and --output are files here, not in the home on the hub.")
@click.option("--detach", is_flag=True, help="Do not wait for the end; print the run's id.")
@click.option("--follow", metavar="RUN", help="Wait for a run that was started before.")
@click.option("--stop", metavar="RUN", help="Stop a run.")
@with_token
@run_async
async def command(url: str, token: str | None, path: str | None, follow: str | None, stop: str | None,
                  **options: Any) -> None:  # fmt: skip
    """Run NOTEBOOK, a path in your home on the hub, from top to bottom on a fresh kernel, and wait for its end.

    Exit status 0 when all cells ran, 1 when one failed, 2 for a mistake in the call. Ctrl-C leaves the run alone: it
    goes on at the hub, and --follow finds it again.
    """
    if sum(given is not None for given in (path, follow, stop)) != 1:
        raise click.UsageError("Give either a notebook, or --follow RUN, or --stop RUN.")
    for run_id in (follow, stop):
        if run_id is not None and not _RUN_ID.fullmatch(run_id):
            raise click.UsageError(f"{printable(run_id)} is no run's id; --detach and Ctrl-C print it.")
    async with connect(url, token) as hub:
        if stop is not None:
            run = await hub.request("DELETE", f"api/kernelhub/runs/{stop}")
            click.echo(f"{run['path']}: {run['state']}")
            return
        if path is None:
            sys.exit(await _wait(hub, await hub.get(f"api/kernelhub/runs/{follow}")))
        sys.exit(await _run(hub, path, options))


async def _run(hub: RemoteHub, path: str, options: dict[str, Any]) -> int:
    """Start a run as the options say; the exit status."""
    body: dict[str, Any] = {"path": path, "output": options["output"]}
    body |= {"parameters": _parameters(options)}
    body |= {"kernel": options["kernel"], "timeout": options["timeout"]}
    if options["local"]:
        if options["detach"]:
            raise click.UsageError("--local fetches the outputs at the end, so it cannot --detach.")
        return await _run_local(hub, Path(path), Path(options["output"] or path), body)
    if body["parameters"] and not body["output"]:
        raise click.UsageError("Name an output file by -o: with parameters, the notebook itself would be changed.")
    try:
        run = await hub.post("api/kernelhub/runs", body)
    except NotFound as error:
        raise NotFound(error.message.removesuffix(".") + _hint(Path(path))) from error
    if options["detach"]:
        click.echo(run["id"])
        return 0
    return await _wait(hub, run)


async def _run_local(hub: RemoteHub, file: Path, output: Path, body: dict[str, Any]) -> int:
    """Send a file, run it, fetch the outputs, and leave nothing at the hub."""
    text = _read(file)
    await hub.request("PUT", f"api/contents/{UPLOADS}", {"type": "directory"})
    sent = result = f"{UPLOADS}/{file.stem.lstrip('.')}-{secrets.token_hex(3)}.ipynb"
    if body["parameters"]:
        result = sent.removesuffix(".ipynb") + "-out.ipynb"
    status = 1
    try:
        content = {"type": "file", "format": "text", "content": text}
        await hub.request("PUT", f"api/contents/{sent}", content)
        run = await hub.post("api/kernelhub/runs", {**body, "path": sent, "output": result})
        status = await _wait(hub, run, shown=str(file), output=str(output))
        if status == DETACHED:
            return status
        model = await hub.get(f"api/contents/{result}", {"type": "file", "format": "text"})
        _write(output, model["content"])
    finally:
        if status != DETACHED:
            for path in {sent, result}:
                with contextlib.suppress(HubError):
                    await hub.delete(f"api/contents/{path}")
            with contextlib.suppress(HubError):
                await _delete_from_trash(hub, {sent, result})
    return status


async def _delete_from_trash(hub: RemoteHub, paths: set[str]) -> None:
    """What was sent was nobody's file, so it need not come back: what is deleted goes to the user's trash."""
    for item in (await hub.get("api/kernelhub/trash"))["items"]:
        if f"{item['folder']}/{item['name']}" in paths:
            await hub.request("DELETE", "api/kernelhub/trash", query={"id": item["id"]})


async def _wait(hub: RemoteHub, run: dict[str, Any], shown: str | None = None, output: str | None = None) -> int:
    """Show how far a run is until its end; the exit status. `shown` and `output` as for `report`."""
    try:
        with Screen(shown or run["path"]) as screen:
            while run["ended_at"] is None:
                screen.show(run)
                await asyncio.sleep(POLL_SECONDS)
                run = await _ask_again(hub, run["id"])
            screen.show(run)
    except asyncio.CancelledError:
        click.echo(f"The run goes on at the hub. See it with: kernelhub run --follow {run['id']}", err=True)
        click.echo(f"Stop it with: kernelhub run --stop {run['id']}", err=True)
        return DETACHED
    return report(run, shown, output)


async def _ask_again(hub: RemoteHub, run_id: str) -> dict[str, Any]:
    """How a run is. A hub that does not answer for a while is waited for. Raises Unavailable when it stays away."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        try:
            run: dict[str, Any] = await hub.get(f"api/kernelhub/runs/{run_id}")
        except Unavailable as error:
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(f"{error.message} The run goes on: kernelhub run --follow {run_id}") from error
            await asyncio.sleep(2 * POLL_SECONDS)
        else:
            return run


def _hint(file: Path) -> str:
    return "; to run the file of this name that is here, add --local." if file.is_file() else ""


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file} cannot be read: {error}") from error


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error}") from error


def _parameters(options: dict[str, Any]) -> dict[str, Any]:
    """The parameters, as papermill takes them: a file's, then those given as YAML, then those by name."""
    found: dict[str, Any] = {}
    for text in ([_read(options["parameters_file"])] if options["parameters_file"] else []) + list(options["yaml"]):
        try:
            values = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise click.UsageError(f"The parameters are not YAML: {error}") from error
        if not isinstance(values, dict):
            raise click.UsageError("YAML parameters must be names with values, such as '{rate: 0.5}'.")
        found |= values
    found |= {name: _value(text) for name, text in options["parameter"]} | dict(options["raw"])
    return {str(name): _plain(value) for name, value in found.items()}


def _value(text: str) -> Any:
    """As papermill reads a value: True, False and None as Python has them, then numbers, else the text itself."""
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _plain(value: Any) -> Any:
    """A value as JSON has it: YAML's dates become text."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise click.UsageError(f"The parameter value {value} cannot be sent; set it in the notebook.")
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
