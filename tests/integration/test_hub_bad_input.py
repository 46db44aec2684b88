"""What a whole hub answers to bad input: a clear sentence, and nothing is lost."""

from __future__ import annotations

import html
import http.client
import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from hub.auth.digests import digest_of, new_secret
from hub.auth.invitations import PASSWORD as FOR_A_PASSWORD
from hub.domain.users import Role
from tests.conftest import missing
from tests.harness.accounts import PASSWORD, Account, add_account, services
from tests.harness.client import HubClient
from tests.harness.plain_http import Answer, ask
from tests.harness.running import RunningHub, running_hub

MIB = 1024**2
FOREIGN = b"not for ada's eyes"
WRONG = "The name or the password is wrong."
LONG = "x" * 5000
IMPOSSIBLE_NAMES = {
    "with a slash": "eve/x",
    "with an encoded slash": "eve%2fx",
    "with a Cyrillic letter": "ev\u0435",
    "with an invisible letter": "eve\u200b",
    "of 5,000 characters": LONG,
    "that is a folder": "..",
    "that looks like an option": "-rf",
    "with a line break": "eve\nroot",
    "that the hub uses itself": "hub",
}


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process", {"KERNELHUB_MAX_UPLOAD_BYTES": str(MIB)}) as hub:
        yield hub


@pytest.fixture(scope="module")
def ada(hub: RunningHub) -> Account:
    account = add_account(hub, "ada")
    assert ask(hub.address, "/user/ada/api/contents", token=account.token).status == 200  # which makes the home
    return account


@pytest.fixture(scope="module")
def root(hub: RunningHub) -> Account:
    return add_account(hub, "root1", admin=True)


def problem_of(page: str) -> str:
    """The sentence that a page shows."""
    found = re.search(r'role="alert">([^<]+)<', page)
    assert found is not None, page
    return html.unescape(found[1])


def put(hub: RunningHub, account: Account, path: str, kind: str, content: object) -> Answer:
    body = {"type": kind, "format": "json" if kind == "notebook" else "text", "content": content}
    return ask(hub.address, f"/user/{account.name}/api/contents/{path}", "PUT", token=account.token, body=body)


async def try_to_sign_in(hub: RunningHub, name: str, password: str) -> tuple[int, str]:
    """The status and the whole page that follow; what differs by nature is taken out."""
    async with HubClient(hub.address, name) as client:
        form = {"_xsrf": await client.open_form(), "username": name, "password": password, "next": ""}
        async with client.http.post(f"{hub.address}/hub/login", data=form, allow_redirects=False) as answer:
            page = (await answer.text()).replace(form["_xsrf"], "").replace(f'value="{name}"', "")
            return answer.status, page


# ---- signing in


async def test_a_wrong_password_and_an_unknown_name_get_the_very_same_page_with_one_sentence(
    hub: RunningHub, ada: Account
) -> None:
    wrong = await try_to_sign_in(hub, ada.name, "not the password")
    unknown = await try_to_sign_in(hub, "eve", "not the password")
    assert wrong == unknown
    assert wrong[0] == 403 and problem_of(wrong[1]) == WRONG


@pytest.mark.parametrize("what", IMPOSSIBLE_NAMES)
async def test_signing_in_with_a_name_that_cannot_be_is_a_wrong_password_too(hub: RunningHub, what: str) -> None:
    status, page = await try_to_sign_in(hub, IMPOSSIBLE_NAMES[what], "not the password")
    assert status in (403, 429) and (status == 429 or problem_of(page) == WRONG)


async def test_a_look_alike_of_a_name_that_means_the_same_letters_signs_the_same_user_in(
    hub: RunningHub, ada: Account
) -> None:
    status, _ = await try_to_sign_in(hub, "ＡＤＡ", PASSWORD)
    assert status == 302


@pytest.mark.parametrize("kind", ["setup", "invitation"])
@pytest.mark.parametrize("secret", ["A" * 43, "x", LONG, "%2e%2e", "a%00b"])
def test_a_link_that_never_was_is_refused(hub: RunningHub, kind: str, secret: str) -> None:
    answer = ask(hub.address, f"/hub/{kind}/{secret}", headers={"Accept": "text/html"})
    assert answer.status in (400, 404, 410)
    assert b"Traceback" not in answer.body


async def test_an_expired_link_says_so_and_that_another_one_can_be_asked_for(hub: RunningHub, ada: Account) -> None:
    secret = new_secret()
    async with services(hub) as made, made.store.unit() as unit:
        before = datetime.now(UTC) - timedelta(seconds=1)
        await unit.invitations.add(ada.id, FOR_A_PASSWORD, digest_of(secret), before)
    answer = ask(hub.address, f"/hub/invitation/{secret}", headers={"Accept": "text/html"})
    assert answer.status == 410 and "Ask for a new one" in answer.text


async def test_a_link_works_once(hub: RunningHub) -> None:
    async with services(hub) as made:
        user = await made.auth.users.add("invited", Role.USER, actor="test")
        secret = await made.auth.invitations.create_for(user, actor="test")
    address = f"{hub.address}/hub/invitation/{secret}"
    async with HubClient(hub.address, "invited") as client:
        async with client.http.get(address) as page:
            token = re.search(r'name="_xsrf" value="([^"]+)"', await page.text())
            assert token is not None
        form = {"_xsrf": token[1], "password": PASSWORD, "again": "something else"}
        async with client.http.post(address, data=form, allow_redirects=False) as answer:
            assert answer.status == 400, "a mistake leaves the link usable"
        form["again"] = PASSWORD
        async with client.http.post(address, data=form, allow_redirects=False) as answer:
            assert answer.status == 302
    async with (
        HubClient(hub.address, "invited") as client,
        client.http.post(address, data=form, allow_redirects=False) as answer,
    ):
        assert answer.status in (403, 410)
    assert ask(hub.address, f"/hub/invitation/{secret}", headers={"Accept": "text/html"}).status == 410


# ---- names


@pytest.mark.parametrize("what", IMPOSSIBLE_NAMES)
def test_the_api_adds_no_user_with_a_name(hub: RunningHub, root: Account, what: str) -> None:
    name = IMPOSSIBLE_NAMES[what]
    answer = ask(hub.address, "/hub/api/users", "POST", token=root.token, body={"usernames": [name]})
    assert (answer.status == 400 and "user name" in answer.message) or "used by the hub" in answer.message
    encoded = quote(name, safe="")
    answer = ask(hub.address, f"/hub/api/users/{encoded}", "POST", token=root.token)
    assert answer.status in (400, 404), answer
    assert name.encode()[:200] not in answer.body or len(name) < 200


@pytest.mark.parametrize("what", IMPOSSIBLE_NAMES)
async def test_the_page_adds_no_user_with_a_name(hub: RunningHub, root: Account, what: str) -> None:
    async with HubClient(hub.address, root.name) as client:
        await client.sign_in(PASSWORD)
        token = await client.prove_presence(PASSWORD)
        form = {"_xsrf": token, "name": IMPOSSIBLE_NAMES[what], "password": PASSWORD}
        async with client.http.post(f"{hub.address}/hub/admin/people", data=form, allow_redirects=False) as answer:
            assert answer.status == 400
            assert "name" in problem_of(await answer.text())


def test_a_second_spelling_of_a_name_is_no_second_user(hub: RunningHub, root: Account, ada: Account) -> None:
    answer = ask(hub.address, "/hub/api/users", "POST", token=root.token, body={"usernames": ["ＡＤＡ"]})
    assert answer.status == 409


@pytest.mark.parametrize("what", IMPOSSIBLE_NAMES)
@pytest.mark.parametrize("rest", ["api/contents", "lab", "api/kernels"])
def test_an_address_of_a_user_with_an_impossible_name_gives_nothing(
    hub: RunningHub, ada: Account, what: str, rest: str
) -> None:
    name = quote(IMPOSSIBLE_NAMES[what], safe="")
    answer = ask(hub.address, f"/user/{name}/{rest}", token=ada.token)
    assert answer.status in (400, 403, 404), answer


@pytest.mark.parametrize("target", ["/user//api/contents", "/user", "/user/ada%2fapi%2fcontents", "/user/ada%00/lab"])
def test_an_address_without_a_whole_name_gives_nothing(hub: RunningHub, ada: Account, target: str) -> None:
    assert ask(hub.address, target, token=ada.token).status in (400, 403, 404)


# ---- kernels


@pytest.mark.parametrize("name", ["nope", "../python3", LONG[:300], "pyth\u043en3"])
def test_an_unknown_kernelspec_is_refused_with_a_sentence_and_leaves_no_kernel(
    hub: RunningHub, ada: Account, name: str
) -> None:
    body = {"path": "a.ipynb", "name": "", "type": "notebook", "kernel": {"name": name}}
    answer = ask(hub.address, "/user/ada/api/sessions", "POST", token=ada.token, body=body)
    assert answer.status in (400, 501) and len(answer.message) > 10, answer
    answer = ask(hub.address, "/user/ada/api/kernels", "POST", token=ada.token, body={"name": name})
    assert answer.status in (400, 501)
    assert ask(hub.address, "/user/ada/api/kernels", token=ada.token).json() == []
    assert ask(hub.address, "/user/ada/api/sessions", token=ada.token).json() == []


@pytest.mark.parametrize(
    "body",
    [{}, [], {"path": "a"}, {"path": 1, "type": "notebook"}, {"path": "a", "type": "notebook", "kernel": "x"}, b"{"],
    ids=str,
)
def test_a_session_that_makes_no_sense_is_refused_with_a_sentence(hub: RunningHub, ada: Account, body: Any) -> None:
    answer = ask(hub.address, "/user/ada/api/sessions", "POST", token=ada.token, body=body)
    assert answer.status == 400 and answer.message


@pytest.mark.parametrize("kernel_id", ["x", "../..", "%2e%2e%2fx", "0" * 5000, "' OR 1=1"])
def test_an_impossible_kernel_id_is_not_found(hub: RunningHub, ada: Account, kernel_id: str) -> None:
    target = f"/user/ada/api/kernels/{quote(kernel_id, safe='%.')}"
    assert ask(hub.address, target, token=ada.token).status in (400, 404)


# ---- files

BROKEN_NOTEBOOKS: dict[str, Any] = {
    "no object": [],
    "text": "cells",
    "without its format": {"cells": []},
    "cells that are no list": {"cells": {}, "metadata": {}, "nbformat": 4, "nbformat_minor": 5},
    "a cell without source": {"cells": [{"cell_type": "code"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5},
    "a format of the future": {"cells": [], "metadata": {}, "nbformat": 99, "nbformat_minor": 0},
}
NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.mark.parametrize("what", BROKEN_NOTEBOOKS)
def test_a_broken_notebook_is_not_saved_and_the_old_file_is_intact(hub: RunningHub, ada: Account, what: str) -> None:
    assert put(hub, ada, "kept.ipynb", "notebook", NOTEBOOK).status in (200, 201)
    before = (ada.home / "kept.ipynb").read_bytes()
    answer = put(hub, ada, "kept.ipynb", "notebook", BROKEN_NOTEBOOKS[what])
    assert answer.status == 400 and answer.message
    assert (ada.home / "kept.ipynb").read_bytes() == before
    assert [p.name for p in ada.home.iterdir() if "kept" in p.name] == ["kept.ipynb"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"type": "file", "format": "base64", "content": "!!!"}',
        b'{"type": "file", "format": "text", "content": 5}',
        b"[" * 100_000,
    ],
    ids=["nothing", "half", "no UTF-8", "no base64", "a number", "very deep"],
)
def test_a_save_that_cannot_be_read_changes_nothing(hub: RunningHub, ada: Account, body: bytes) -> None:
    assert put(hub, ada, "kept.txt", "file", "kept").status in (200, 201)
    answer = ask(hub.address, "/user/ada/api/contents/kept.txt", "PUT", token=ada.token, body=body)
    assert answer.status in (400, 200) and (answer.status == 400 or not body)
    if body:
        assert (ada.home / "kept.txt").read_text() == "kept"


@pytest.fixture
def traps(hub: RunningHub, ada: Account) -> None:
    """Links in ada's home that lead out of it."""
    secret = hub.data_dir / "foreign.txt"
    secret.write_bytes(FOREIGN)
    (hub.data_dir / "homes" / "foreign.txt").write_bytes(FOREIGN)
    links = {"absolute": str(secret), "relative": "../../foreign.txt", "folder": str(hub.data_dir), "up": ".."}
    links |= {"proc": "/proc/self/cwd", "hard-to-see": "folder/foreign.txt"}
    for name, target in links.items():
        (ada.home / name).unlink(missing_ok=True)
        (ada.home / name).symlink_to(target)
    if not (ada.home / "pipe").exists():
        os.mkfifo(ada.home / "pipe")


LEAVING = [
    "absolute",
    "relative",
    "folder/foreign.txt",
    "up/foreign.txt",
    "hard-to-see",
    "proc/pyproject.toml",
    "pipe",
    "../foreign.txt",
    "%2e%2e/foreign.txt",
    "..%2fforeign.txt",
    "%2e%2e%2fforeign.txt",
    "x/../../foreign.txt",
    "..%5cforeign.txt",
    "%252e%252e/foreign.txt",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "absolute%00.txt",
]


@pytest.mark.parametrize("path", LEAVING)
@pytest.mark.parametrize("place", ["api/contents", "files", "nbconvert/html"])
def test_no_foreign_byte_is_read_through(hub: RunningHub, ada: Account, traps: None, place: str, path: str) -> None:
    answer = ask(hub.address, f"/user/ada/{place}/{path}", token=ada.token)
    assert answer.status in (400, 403, 404), answer
    assert FOREIGN not in answer.body and b"root:" not in answer.body


@pytest.mark.parametrize("path", LEAVING)
def test_nothing_is_written_or_deleted_through(hub: RunningHub, ada: Account, traps: None, path: str) -> None:
    target = f"/user/ada/api/contents/{path}"
    body = {"type": "file", "format": "text", "content": "mine now"}
    written = ask(hub.address, target, "PUT", token=ada.token, body=body)
    assert written.status in (400, 403, 404, 409), written
    deleted = ask(hub.address, target, "DELETE", token=ada.token)
    assert deleted.status in (204, 400, 403, 404, 409), deleted  # a link itself may be deleted
    for foreign in (hub.data_dir / "foreign.txt", hub.data_dir / "homes" / "foreign.txt"):
        assert foreign.read_bytes() == FOREIGN


@pytest.mark.parametrize("path", ["../stolen.txt", "up/stolen.txt", "folder/stolen.txt", "/../stolen.txt", "a/../../b"])
def test_nothing_is_moved_out_of_the_home(hub: RunningHub, ada: Account, traps: None, path: str) -> None:
    assert put(hub, ada, "mine.txt", "file", "mine").status in (200, 201)
    answer = ask(hub.address, "/user/ada/api/contents/mine.txt", "PATCH", token=ada.token, body={"path": path})
    assert answer.status in (400, 403, 404), answer
    assert (ada.home / "mine.txt").read_text() == "mine"


def test_another_users_file_is_refused_by_whatever_spelling(hub: RunningHub, ada: Account, root: Account) -> None:
    put(hub, ada, "private.txt", "file", "ada's own")
    for name in ("ada", "ADA", "%61da", "ada%20", "root1%2f..%2fada"):
        answer = ask(hub.address, f"/user/{name}/files/private.txt", token=root.token)
        assert answer.status in (400, 403, 404), (name, answer)
        assert b"ada's own" not in answer.body


def test_a_body_that_is_too_large_is_refused_and_the_old_file_is_intact(hub: RunningHub, ada: Account) -> None:
    assert put(hub, ada, "large.txt", "file", "small").status in (200, 201)
    answer = put(hub, ada, "large.txt", "file", "x" * MIB)
    assert answer.status == 413 and "large" in answer.message, answer
    assert (ada.home / "large.txt").read_text() == "small"


def test_a_body_of_unknown_length_that_is_too_large_is_refused_too(hub: RunningHub, ada: Account) -> None:
    assert put(hub, ada, "chunked.txt", "file", "small").status in (200, 201)
    place = urlsplit(hub.address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    start = json.dumps({"type": "file", "format": "text", "content": ""})[:-2].encode()
    pieces = [start, *[b"x" * 65536] * 40, b'"}']
    headers = {"Authorization": f"token {ada.token}", "Content-Type": "application/json"}
    try:
        connection.request(
            "PUT", "/user/ada/api/contents/chunked.txt", iter(pieces), headers=headers, encode_chunked=True
        )
        status = connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        status = 413  # it was refused before all was sent, and hung up
    finally:
        connection.close()
    assert status == 413
    assert (ada.home / "chunked.txt").read_text() == "small"
    assert hub.is_ready()


@pytest.fixture
def full_home(hub: RunningHub, request: pytest.FixtureRequest) -> Iterator[Account]:
    """A user whose home is a disk of 256 KiB."""
    account = add_account(hub, f"full-{request.node.callspec.params['name']}")
    account.home.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(account.home)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        missing("the right to mount a small file system", "run the tests as root")
    yield account
    subprocess.run(["umount", "--lazy", str(account.home)], check=True, capture_output=True)


@pytest.mark.parametrize("name", ["a.txt", "a.ipynb"])
def test_on_a_full_disk_a_save_is_refused_with_507_and_the_old_file_is_intact(
    hub: RunningHub, full_home: Account, name: str
) -> None:
    large = "".join(chr(33 + i % 90) for i in range(600_000))
    kind = "notebook" if name.endswith("ipynb") else "file"
    cell = {"cell_type": "raw", "id": "a", "metadata": {}, "source": large}
    full: Any = large if kind == "file" else {**NOTEBOOK, "cells": [cell]}
    small: Any = "small" if kind == "file" else NOTEBOOK
    assert put(hub, full_home, name, kind, small).status == 201
    before = (full_home.home / name).read_bytes()
    answer = put(hub, full_home, name, kind, full)
    assert answer.status == 507 and answer.json()["code"] == "disk.full", answer
    assert (full_home.home / name).read_bytes() == before
    assert [p.name for p in full_home.home.iterdir() if p.is_file()] == [name], "no draft is left behind"
    assert put(hub, full_home, name, kind, small).status == 200


# ---- what was tried above


def test_nobody_was_added_and_nothing_failed_inside_the_hub(hub: RunningHub, ada: Account, root: Account) -> None:
    names = {user["name"] for user in ask(hub.address, "/hub/api/users", token=root.token).json()}
    assert names <= {"ada", "root1", "invited", "full-a.txt", "full-a.ipynb"}
    assert not re.findall(r"(?:GET|POST|PUT|PATCH|DELETE) \S+ 500 ", hub.log())


def test_no_log_line_was_forged_by_a_name_with_a_line_break(hub: RunningHub) -> None:
    assert not [line for line in hub.log().splitlines() if line.startswith("root")]
