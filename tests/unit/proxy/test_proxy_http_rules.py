"""What is refused at the door, and which headers pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http_rules import (
    Gateways,
    Heads,
    Vouching,
    check_framing,
    check_path,
    encode_target,
    end_to_end,
    request_fields,
    response_fields,
)
from proxy.errors import Refused


def head(*fields: tuple[str, str], version: str = "HTTP/1.1", host: bool = True) -> Heads:
    return Heads("POST", version, "/", [*([("Host", "h")] if host else []), *fields])


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/hub/login",
        "/user/alice/lab/tree/a%20b.ipynb",
        "/user/alice/api/contents/a%2Fb",
        "/user/alice/api/contents//",
        "/user/%C3%A9mile/lab",
        "/user/alice/files/...",
        "/user/alice/files/a..b",
        "/user/alice/api/contents/100%",
        "/user/alice/internal",
    ],
)
def test_ordinary_paths_pass(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize(
    ("status", "path"),
    [
        (400, ""),
        (400, "*"),
        (400, "http://h/x"),
        (400, "//h/x"),
        (400, "/a/../b"),
        (400, "/a/%2e./b"),
        (400, "/a/b/c/d/%2E%2E"),
        (400, "/."),
        (400, "/a%2fb"),
        (400, "/user/a%5cb"),
        (400, "/user/a/b%2Fc"),
        (400, "/a/b/c/d%00"),
        (400, "/a\\b"),
        (400, "/a#b"),
        (400, "/a\x7fb"),
        (404, "/internal"),
        (404, "/internal/"),
        (404, "/internal/route"),
        (404, "/Internal/route"),
        (404, "/%69nternal/x"),
        (404, "/metrics"),
    ],
)
def test_other_paths_are_refused(status: int, path: str) -> None:
    with pytest.raises(Refused) as refused:
        check_path(path)
    assert refused.value.status == status


@given(st.text(alphabet="/.%25eEfFcC\\ab0", max_size=12))
def test_no_path_that_passes_has_dot_segments_once_decoded(path: str) -> None:
    try:
        check_path("/" + path)
    except Refused:
        return
    decoded = [s.lower().replace("%2e", ".") for s in path.split("/")]
    assert not {".", ".."} & set(decoded)


@pytest.mark.parametrize(
    "fields",
    [
        [("Content-Length", "5"), ("Content-Length", "5")],
        [("Content-Length", "5"), ("content-length", "6")],
        [("Content-Length", "5,5")],
        [("Content-Length", "")],
        [("Content-Length", " 5")],
        [("Content-Length", "５")],
        [("Content-Length", "9" * 19)],
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "gzip, chunked")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "")],
        [("Host", "other")],
        [("X Y", "a")],
        [("", "a")],
        [("X", "a\x0bb")],
        [("X", "a\r\nb")],
    ],
)
def test_ambiguous_requests_are_refused(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(Refused) as refused:
        check_framing(head(*fields))
    assert refused.value.status == 400


@pytest.mark.parametrize("host", ["", "a b", "a/b", "a@b", "a,b", "h:99999999", "[::1", "h\x00"])
def test_hosts_that_are_no_hosts_are_refused(host: str) -> None:
    with pytest.raises(Refused):
        check_framing(head(("Host", host), host=False))


@pytest.mark.parametrize("host", ["h", "h:80", "hub.example.edu", "127.0.0.1:8000", "[::1]:8000", "a_b"])
def test_hosts_pass(host: str) -> None:
    check_framing(head(("Host", host), host=False))


def test_http_1_0_has_no_chunks_and_needs_no_host() -> None:
    check_framing(head(("Content-Length", "0"), version="HTTP/1.0", host=False))
    with pytest.raises(Refused):
        check_framing(head(("Transfer-Encoding", "chunked"), version="HTTP/1.0"))


def test_ordinary_framings_pass() -> None:
    check_framing(head(("Content-Length", "10"), ("Cookie", "a=b\t; c=é")))
    check_framing(head(("transfer-encoding", "Chunked")))


def test_fields_named_by_connection_are_dropped_except_those_that_frame_the_message() -> None:
    fields = [("Connection", "close, X-A , Host, content-length"), ("x-a", "1"), ("Host", "h"), ("Content-Length", "3")]
    assert end_to_end(fields) == [("Host", "h"), ("Content-Length", "3")]


def test_what_only_proxies_may_say_is_dropped() -> None:
    names = (
        "X-Forwarded-For X-FORWARDED-anything Forwarded X-Real-IP X-Kernelhub-Internal X-Remote-User "
        "X_Real_IP X-Accel-Redirect X-Original-URL Expect TE Upgrade Keep-Alive Proxy-Authorization"
    )
    fields = [(name, "x") for name in names.split(" ")]
    passing = [("Cookie", "a"), ("X-XSRFToken", "t")]
    assert request_fields([*fields, *passing]) == passing


def test_a_gateways_word_for_who_somebody_is_counts_from_its_addresses_alone() -> None:
    vouching = Vouching(("X-Remote-User", "X-Auth-Groups", ""), ("192.0.2.0/28",))
    sent = [("X-REMOTE-USER", "ada"), ("X-Auth-Groups", "a,b"), ("X-Remote-Name", "x"), ("Cookie", "c")]

    def passed(peer: str, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return request_fields(vouching.without(fields), vouching.said(peer, fields))

    assert passed("192.0.2.7", sent) == [("Cookie", "c"), ("x-remote-user", "ada"), ("x-auth-groups", "a,b")]
    for stranger in ("192.0.2.77", "::1", "nonsense", ""):
        assert passed(stranger, sent) == [("Cookie", "c")]
    twice = [("X-Remote-User", "root"), ("x-remote-user", "ada")]
    assert passed("192.0.2.7", twice) == []
    assert passed("192.0.2.7", [("X_Remote_User", "root")]) == []
    assert request_fields([("X-Remote-User", "ada")]) == Vouching().said("192.0.2.7", sent) == []


@given(st.binary(max_size=30).filter(lambda raw: b"\r" not in raw and b"\n" not in raw))
def test_valid_utf_8_in_a_field_arrives_as_the_same_bytes(raw: bytes) -> None:
    ((_, value),) = request_fields([("X-A", raw.decode("latin-1"))])
    try:
        raw.decode()
    except UnicodeDecodeError:
        return
    assert value.encode() == raw


def test_the_servers_name_is_dropped() -> None:
    assert response_fields([("Server", "x"), ("Connection", "keep-alive"), ("ETag", "1")]) == [("ETag", "1")]


def test_raw_bytes_in_a_target_are_encoded_and_nothing_else() -> None:
    assert encode_target("/a%2Fb?c=\xe9&d=%zz") == "/a%2Fb?c=%E9&d=%zz"


@pytest.mark.parametrize(
    ("peer", "told", "address"),
    [
        ("1.2.3.4", "6.6.6.6", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6", "6.6.6.6"),
        ("10.0.0.1", "6.6.6.6, 7.7.7.7", "7.7.7.7"),
        ("10.0.0.1", "6.6.6.6, 10.0.0.9", "6.6.6.6"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.2"),
        ("::1", "6.6.6.6", "::1"),
    ],
)
def test_the_clients_address_is_the_last_that_no_trusted_gateway_has(peer: str, told: str, address: str) -> None:
    gateways = Gateways(["10.0.0.0/8"])
    assert gateways.client(peer, "http", head(("X-Forwarded-For", told)))[0] == address


def test_the_scheme_is_believed_of_gateways_only() -> None:
    told = head(("X-Forwarded-Proto", "https"))
    assert Gateways(["10.0.0.1"]).client("10.0.0.1", "http", told)[1] == "https"
    assert Gateways(["10.0.0.1"]).client("10.0.0.2", "http", told)[1] == "http"


def test_a_gateway_that_is_no_address_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="gateway"):
        Gateways(["gateway"])
