"""What a platform says when it registers itself, and which addresses the hub asks."""

from __future__ import annotations

from typing import Any

import pytest

from hub.auth.lti.fetching import Answer, origin_of
from hub.auth.lti.public_addresses import is_public
from hub.auth.lti.registration import check_configuration_url, read_configuration, read_registration
from hub.errors import BadRequest


def document(issuer: str, host: str, **more: Any) -> dict[str, Any]:
    base = f"https://{host}"
    found = {"authorization_endpoint": base + "/a", "token_endpoint": base + "/t", "jwks_uri": base + "/k"}
    return {"issuer": issuer, "registration_endpoint": base + "/r", **found, **more}


@pytest.mark.parametrize(
    ("issuer", "host"),
    [
        ("https://moodle.example.edu", "moodle.example.edu"),
        ("https://canvas.instructure.com", "school.instructure.com"),
        ("https://blackboard.com", "developer.blackboard.com"),
    ],
)
def test_a_platform_may_call_itself_like_its_host_or_its_service(issuer: str, host: str) -> None:
    assert read_configuration(document(issuer, host), host)["issuer"] == issuer


@pytest.mark.parametrize(
    ("issuer", "host"),
    [
        ("https://moodle.example.edu", "evil.example"),
        ("https://canvas.instructure.com", "evilinstructure.com"),
        ("https://canvas.instructure.com", "instructure.com.evil.example"),
        ("https://accounts.google.com", "evil.example"),
        ("http://moodle.example.edu", "moodle.example.edu"),
    ],
)
def test_a_platform_may_not_call_itself_like_another(issuer: str, host: str) -> None:
    with pytest.raises(BadRequest):
        read_configuration(document(issuer, host), host)


def test_a_configuration_that_lacks_something_or_is_elsewhere_is_refused() -> None:
    with pytest.raises(BadRequest):
        read_configuration({**document("https://m.example", "m.example"), "jwks_uri": 7}, "m.example")
    for address in ("javascript:alert(1)", "https://other.example/c", "", "https://m.example@evil.example/"):
        with pytest.raises(BadRequest):
            check_configuration_url(address, "m.example")


def test_a_registration_without_client_id_is_refused_and_without_deployment_waits() -> None:
    found = read_configuration(document("https://m.example", "m.example"), "m.example")
    with pytest.raises(BadRequest):
        read_registration(found, {"client_id": ""})
    assert read_registration(found, {"client_id": "c"}).deployments == []


def test_only_public_numbers_are_public() -> None:
    assert is_public("9.9.9.9")
    private = [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "169.254.169.254",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "0.0.0.0",
        "x",
    ]
    assert [number for number in private if is_public(number)] == []
    assert not is_public("::ffff:127.0.0.1")


def test_the_next_page_is_only_asked_at_the_same_origin_because_the_token_goes_there() -> None:
    asked = "https://m.example/members"
    link = '<https://m.example/members?page=1>; rel="first", <{}>; rel="next"'
    assert Answer(200, b"", link.format("/members?page=2")).next_page(asked) == "https://m.example/members?page=2"
    assert Answer(200, b"", link.format("https://evil.example/2")).next_page(asked) is None
    assert Answer(200, b"", "").next_page(asked) is None
    assert origin_of("https://m.example@evil.example/") == ""
