"""Kernels, kernelspecs, sessions and terminals as Jupyter's clients know them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hub.domain.kernels import KernelState
from hub.errors import AgentSilent, ImageMissing
from hub.workspaces.image_kernelspecs import KernelspecList

NOBODYS = "0f7e8d3e-0000-4000-8000-000000000000"


async def test_a_kernel_is_started_listed_interrupted_restarted_and_shut(hub: Any) -> None:
    started = await hub.fetch("POST", "/user/alice/api/kernels", {"name": "python3"})
    kernel_id = (await hub.json("GET", "api/kernels"))[0]["id"]
    assert (started.code, started.headers["Location"]) == (201, f"/user/alice/api/kernels/{kernel_id}")
    model = await hub.json("GET", f"api/kernels/{kernel_id}")
    assert model == {
        "id": kernel_id,
        "name": "python3",
        "last_activity": "2026-01-02T03:04:05.678901Z",
        "execution_state": "starting",
        "connections": 0,
    }
    assert await hub.json("POST", f"api/kernels/{kernel_id}/interrupt", status=204) is None
    assert (await hub.json("POST", f"api/kernels/{kernel_id}/restart"))["id"] == kernel_id
    assert [what for what, _ in hub.kernels.done] == ["interrupt", "restart"]
    await hub.json("DELETE", f"api/kernels/{kernel_id}", status=204)
    await hub.json("GET", f"api/kernels/{kernel_id}", status=404)


async def test_a_client_may_choose_the_kernels_id_but_only_a_uuid(hub: Any) -> None:
    chosen = await hub.json("POST", "api/kernels", {"kernel_id": NOBODYS}, status=201)
    assert chosen["id"] == NOBODYS
    await hub.json("POST", "api/kernels", {"kernel_id": NOBODYS}, status=409)
    for wrong in ("../../x", 5, "", "x-y-z-a-b"):
        await hub.json("POST", "api/kernels", {"kernel_id": wrong}, status=400)


async def test_a_kernel_of_another_user_does_not_exist(hub: Any) -> None:
    await hub.json("POST", "api/kernels", {"kernel_id": NOBODYS}, status=201)
    assert (await hub.fetch("GET", f"/user/bob/api/kernels/{NOBODYS}", who="bob")).code == 404
    assert (await hub.fetch("DELETE", f"/user/bob/api/kernels/{NOBODYS}", who="bob")).code == 404


async def test_an_agent_that_does_not_answer_is_503_and_never_404(hub: Any) -> None:
    hub.kernels.refusal = AgentSilent("Your container did not answer.")
    told = await hub.json("GET", f"api/kernels/{NOBODYS}", status=503)
    assert told["message"] == "Your container did not answer."


async def test_a_dead_kernel_says_why(hub: Any) -> None:
    await hub.json("POST", "api/kernels", {"kernel_id": NOBODYS}, status=201)
    model = hub.kernels.models[NOBODYS]
    dead = replace(model.kernel, state=KernelState.DEAD, reason="out of memory (limit 2 GB)")
    hub.kernels.models[NOBODYS] = replace(model, kernel=dead)
    shown = await hub.json("GET", f"api/kernels/{NOBODYS}")
    assert (shown["execution_state"], shown["reason"]) == ("dead", "out of memory (limit 2 GB)")


async def test_a_session_is_found_by_path_renamed_given_another_kernel_and_ended(hub: Any) -> None:
    asked = {"path": "8f0c", "type": "notebook", "name": "", "kernel": {"name": "python3"}}
    made = await hub.json("POST", "api/sessions", asked, status=201)
    assert (await hub.json("POST", "api/sessions", asked, status=201))["id"] == made["id"]
    assert made["notebook"] == {"path": "8f0c", "name": ""}
    renamed = await hub.json("PATCH", f"api/sessions/{made['id']}", {"path": "a.ipynb", "name": "a.ipynb"})
    assert renamed["path"] == "a.ipynb" and renamed["kernel"]["id"] == made["kernel"]["id"]
    other = await hub.json("PATCH", f"api/sessions/{made['id']}", {"kernel": {"name": "python3"}})
    assert other["kernel"]["id"] != made["kernel"]["id"]
    await hub.json("PATCH", f"api/sessions/{made['id']}", {"kernel": {"id": NOBODYS}}, status=400)
    assert [s["id"] for s in await hub.json("GET", "api/sessions")] == [made["id"]]
    await hub.json("DELETE", f"api/sessions/{made['id']}", status=204)
    for method in ("GET", "PATCH", "DELETE"):
        body = {"path": "x"} if method == "PATCH" else None
        await hub.json(method, f"api/sessions/{made['id']}", body, status=404)


async def test_only_notebooks_have_a_notebook_in_their_session(hub: Any) -> None:
    made = await hub.json("POST", "api/sessions", {"path": "c", "type": "console"}, status=201)
    assert "notebook" not in made
    old_form = {"notebook": {"path": "o.ipynb"}, "kernel": {"id": made["kernel"]["id"]}}
    assert (await hub.json("POST", "api/sessions", old_form, status=201))["path"] == "o.ipynb"


async def test_wrong_session_requests_are_refused(hub: Any) -> None:
    for body in (None, {}, {"path": "x"}, {"type": "notebook"}, {"path": 1, "type": "x"}, {"path": "x", "type": 1}):
        await hub.json("POST", "api/sessions", body, status=400)
    await hub.json("POST", "api/sessions", {"path": "x", "type": "n", "kernel": "python3"}, status=400)
    await hub.json("POST", "api/sessions", {"path": "x" * 5000, "type": "n"}, status=400)


async def test_an_unknown_kernelspec_is_501_with_a_message_for_the_dialog(hub: Any) -> None:
    asked = {"path": "x", "type": "notebook", "kernel": {"name": "julia"}}
    told = await hub.json("POST", "api/sessions", asked, status=501)
    assert "julia" in told["message"] and told["short_message"]


async def test_a_missing_image_is_told_in_the_dialog(hub: Any) -> None:
    hub.kernels.refusal = ImageMissing("The image kernelhub/x is not on this engine.")
    asked = {"path": "x", "type": "notebook", "kernel": {"name": "python3"}}
    told = await hub.json("POST", "api/sessions", asked, status=500)
    assert told["message"] == "The image kernelhub/x is not on this engine." and told["traceback"] == ""


async def test_kernelspecs_have_addresses_of_their_files(hub: Any) -> None:
    listed = await hub.json("GET", "api/kernelspecs")
    spec = listed["kernelspecs"][listed["default"]]
    assert spec["resources"] == {"logo-64x64": "/user/alice/kernelspecs/python3/logo-64x64.png"}
    assert await hub.json("GET", "api/kernelspecs/python3") == spec
    await hub.json("GET", "api/kernelspecs/julia", status=404)
    logo = await hub.fetch("GET", spec["resources"]["logo-64x64"])
    assert (logo.headers["Content-Type"], logo.body) == ("image/png", b"\x89PNG")
    assert "sandbox" in logo.headers["Content-Security-Policy"]
    await hub.json("GET", "kernelspecs/python3/kernel.json", status=404)


async def test_where_there_are_no_kernels_the_launcher_says_why(hub: Any) -> None:
    hub.kernelspecs.refusal = ImageMissing("The image kernelhub/x is not on this engine.")
    listed = await hub.json("GET", "api/kernelspecs")
    shown = listed["kernelspecs"][listed["default"]]["spec"]["display_name"]
    assert shown == "The image kernelhub/x is not on this engine."
    hub.kernelspecs.refusal = None
    hub.kernelspecs.listed = KernelspecList("", [])
    listed = await hub.json("GET", "api/kernelspecs")
    assert "no kernels" in listed["kernelspecs"][listed["default"]]["spec"]["display_name"]


async def test_terminals_are_opened_listed_and_ended(hub: Any) -> None:
    opened = await hub.json("POST", "api/terminals", {"cwd": "/home/jovyan/work"})
    assert opened == {"name": "1", "last_activity": "2026-01-02T03:04:05.678901Z"}
    await hub.json("POST", "api/terminals", {"cwd": "sub"})
    await hub.json("POST", "api/terminals")
    assert hub.terminals.folders == ["work", "sub", ""]
    assert len(await hub.json("GET", "api/terminals")) == 3
    await hub.json("DELETE", "api/terminals/1", status=204)
    await hub.json("GET", "api/terminals/1", status=404)


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_an_address_with_an_id_that_no_kernel_can_have_is_not_found(hub: Any, method: str) -> None:
    action = "/interrupt" if method == "POST" else ""
    refused = await hub.json(method, f"api/kernels/1-2-3-4-5{action}", status=404)
    assert refused["message"] == "Kernel does not exist: 1-2-3-4-5"
