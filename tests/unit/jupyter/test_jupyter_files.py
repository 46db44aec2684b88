"""Downloads: bytes, parts, names, and who may not embed them."""

from __future__ import annotations

from typing import Any

import pytest

from hub.jupyter.files import Span, Unsatisfiable, attachment, parse_range


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=2-", Span(2, 10)),
        ("bytes=2-99", Span(2, 10)),
        ("bytes=-3", Span(7, 10)),
        ("bytes=-99", Span(0, 10)),
        ("bytes=5-2", None),
        ("bytes=0-1,3-4", None),
        ("lines=1-2", None),
        ("bytes=-", None),
        ("", None),
    ],
)
def test_a_range_header_means_a_part_or_the_whole(header: str, span: Span | None) -> None:
    assert parse_range(header, 10) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=-0", "bytes=99-100"])
def test_a_range_behind_the_end_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, 10)


def test_the_name_of_an_attachment_cannot_end_its_header() -> None:
    assert attachment('ä"\r\n;.txt') == "attachment; filename*=utf-8''%C3%A4%22%0D%0A%3B.txt"


async def test_a_file_is_streamed_with_its_type_and_cannot_act(hub: Any) -> None:
    (hub.home / "page.html").write_text("<script>alert(1)</script>")
    answer = await hub.fetch("GET", "/user/alice/files/page.html", Sec_Fetch_Site="same-origin")
    assert (answer.code, answer.body) == (200, b"<script>alert(1)</script>")
    assert answer.headers["Content-Type"] == "text/html"
    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox" in policy and "allow-same-origin" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Content-Disposition" not in answer.headers


async def test_a_part_is_206_and_what_the_browser_has_is_304(hub: Any) -> None:
    (hub.home / "f.bin").write_bytes(b"0123456789")
    part = await hub.fetch("GET", "/user/alice/files/f.bin", Range="bytes=2-4")
    assert (part.code, part.body, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    again = await hub.fetch("GET", "/user/alice/files/f.bin", If_None_Match=part.headers["Etag"])
    assert (again.code, again.body) == (304, b"")
    beyond = await hub.fetch("GET", "/user/alice/files/f.bin", Range="bytes=99-")
    assert (beyond.code, beyond.headers["Content-Range"]) == (416, "bytes */10")


async def test_head_has_the_length_and_no_body(hub: Any) -> None:
    (hub.home / "f.txt").write_bytes(b"12345")
    answer = await hub.fetch("HEAD", "/user/alice/files/f.txt")
    assert (answer.code, answer.headers["Content-Length"], answer.body) == (200, "5", b"")


async def test_downloads_have_a_name(hub: Any) -> None:
    (hub.home / "ä b.txt").write_bytes(b"x")
    (hub.home / "n.ipynb").write_bytes(b"{}")
    named = await hub.fetch("GET", "/user/alice/files/%C3%A4%20b.txt?download=1")
    assert named.headers["Content-Disposition"] == "attachment; filename*=utf-8''%C3%A4%20b.txt"
    notebook = await hub.fetch("GET", "/user/alice/files/n.ipynb")
    assert notebook.headers["Content-Type"] == "application/x-ipynb+json"
    assert "attachment" in notebook.headers["Content-Disposition"]


async def test_other_sites_cannot_read_files(hub: Any) -> None:
    (hub.home / "f.txt").write_bytes(b"x")
    path = "/user/alice/files/f.txt"

    async def status(**headers: str) -> int:
        return (await hub.fetch("GET", path, **{"X_XSRFToken": "", **headers})).code

    assert await status(Sec_Fetch_Site="cross-site") == 403
    assert await status(Sec_Fetch_Site="same-site") == 403
    assert await status(Sec_Fetch_Site="cross-site", X_XSRFToken="form-token-of-alice") == 403
    assert await status(Sec_Fetch_Site="none") == 200
    # A browser without Fetch Metadata, or no browser:
    assert await status() == 403
    assert await status(Referer="http://evil.example/") == 403
    assert await status(Referer=f"http://127.0.0.1:{hub.port}/user/alice/lab") == 200
    by_parameter = await hub.fetch("GET", path + "?_xsrf=form-token-of-alice", X_XSRFToken="")
    assert by_parameter.code == 200
    by_token = await hub.fetch("GET", path, who=None, Authorization="token alice")
    assert by_token.code == 200


async def test_hidden_files_and_folders_are_not_given(hub: Any) -> None:
    (hub.home / ".ssh").mkdir()
    (hub.home / ".ssh" / "id").write_text("x")
    for path in (".ssh/id", ".ssh", "", "nothing"):
        assert (await hub.fetch("GET", f"/user/alice/files/{path}")).code in {400, 404}
