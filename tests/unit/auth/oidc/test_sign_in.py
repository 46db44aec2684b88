"""The way to a provider and back, with a provider that is really asked."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote_plus, urlsplit

import pytest
from aiohttp import web
from joserfc.jwk import RSAKey
from joserfc.jwt import decode
from sqlalchemy import select

from hub.auth.oidc.service import Purpose, Return
from hub.config import ConfigError
from hub.domain.ids import SignInId, UserId
from hub.domain.users import SignIn
from hub.errors import LinkExpired, NotAdmitted, NotFound, Unavailable
from hub.store.tables import sign_in_attempts
from tests.harness.openid import CLIENT_ID, CLIENT_SECRET, elliptic_key, other_key
from tests.unit.auth.oidc.conftest import BROWSER, CALLBACK, Relying

MakeRelying = Callable[..., Relying]


async def test_somebody_who_signs_in_is_issuer_and_subject(relying: Relying) -> None:
    relying.fake.person |= {"name": "Ann Lee", "email": "ann@example.edu", "email_verified": True}
    back = await relying.sign_in()
    told = back.assertion
    assert (told.provider, told.issuer, told.subject) == ("idp", relying.fake.issuer, "248289761001")
    assert (told.suggested_name, told.display_name, told.email) == ("Ann", "Ann Lee", "ann@example.edu")
    assert (told.sid, told.groups, told.role) == ("session-1", None, None)


async def test_the_address_asks_for_a_code_with_pkce_state_and_nonce(relying: Relying) -> None:
    query = {name: values[0] for name, values in parse_qs(urlsplit(await relying.start()).query).items()}
    assert (query["response_type"], query["code_challenge_method"], query["scope"]) == (
        *("code", "S256"),
        "openid profile email",
    )
    assert query["redirect_uri"] == CALLBACK
    assert min(len(query[name]) for name in ("state", "nonce", "code_challenge")) >= 43
    assert BROWSER not in query.values()


async def test_every_attempt_has_a_state_and_a_nonce_of_its_own(relying: Relying) -> None:
    queries = [parse_qs(urlsplit(await relying.start()).query) for _ in range(2)]
    for name in ("state", "nonce", "code_challenge"):
        assert queries[0][name] != queries[1][name]


async def test_the_secret_is_sent_as_the_standard_encodes_it(relying: Relying) -> None:
    await relying.sign_in()
    scheme, _, value = relying.fake.authorizations[0].partition(" ")
    name, _, secret = base64.b64decode(value).decode().partition(":")
    assert (scheme, unquote_plus(name), unquote_plus(secret)) == ("Basic", CLIENT_ID, CLIENT_SECRET)
    assert "client_secret" not in relying.fake.forms[0]


async def test_the_secret_is_a_field_where_the_provider_wants_that(relying: Relying) -> None:
    relying.fake.announced = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    await relying.sign_in()
    assert relying.fake.forms[0]["client_secret"] == CLIENT_SECRET
    assert relying.fake.authorizations == [""]


@pytest.mark.parametrize("state", ["", "x", "x" * 4000, "\N{SNOWMAN}"])
async def test_a_state_that_nobody_began_with_ends_nothing(relying: Relying, state: str) -> None:
    answer = relying.fake.agree(await relying.start())
    with pytest.raises(LinkExpired):
        await relying.providers.finish("idp", BROWSER, {**answer, "state": state})
    with pytest.raises(LinkExpired):
        await relying.providers.finish("idp", BROWSER, {"code": answer["code"]})


async def test_an_answer_counts_once(relying: Relying) -> None:
    answer = relying.fake.agree(await relying.start())
    await relying.providers.finish("idp", BROWSER, answer)
    with pytest.raises(LinkExpired):
        await relying.providers.finish("idp", BROWSER, answer)


@pytest.mark.parametrize("browser", [None, "", "another-browsers-secret"])
async def test_an_answer_counts_only_in_the_browser_that_began(relying: Relying, browser: str | None) -> None:
    answer = relying.fake.agree(await relying.start())
    with pytest.raises(LinkExpired):
        await relying.providers.finish("idp", browser, answer)
    await relying.providers.finish("idp", BROWSER, answer)  # still its own to use


async def test_the_database_keeps_no_secret_of_an_attempt(relying: Relying) -> None:
    query = parse_qs(urlsplit(await relying.start()).query)
    async with relying.store.reading() as unit:
        rows = [repr(tuple(row)) for row in await unit.sign_in_attempts._db.rows(select(sign_in_attempts))]
    assert len(rows) == 1
    assert not any(secret in rows[0] for secret in (BROWSER, query["state"][0], query["nonce"][0]))


async def test_an_answer_with_another_issuer_is_refused(relying: Relying) -> None:
    with pytest.raises(NotAdmitted):
        await relying.sign_in(iss="https://elsewhere.example")


async def test_a_missing_issuer_is_refused_where_the_provider_always_names_it(relying: Relying) -> None:
    relying.fake.announced = {"authorization_response_iss_parameter_supported": True}
    with pytest.raises(NotAdmitted):
        await relying.sign_in()
    await relying.sign_in(iss=relying.fake.issuer)


async def test_userinfo_about_somebody_else_is_refused(relying: Relying) -> None:
    relying.fake.bodies["/me"] = web.json_response({"sub": "somebody-else", "preferred_username": "admin"})
    with pytest.raises(NotAdmitted):
        await relying.sign_in()


async def test_userinfo_cannot_say_what_only_the_token_can(relying: Relying) -> None:
    told = {"sub": relying.fake.person["sub"], "sid": "x", "tid": "x", "iss": "x", "name": "From userinfo"}
    relying.fake.bodies["/me"] = web.json_response(told)
    assertion = (await relying.sign_in()).assertion
    assert (assertion.sid, assertion.display_name) == ("session-1", "From userinfo")


@pytest.mark.parametrize(("code", "refusal"), [("access_denied", LinkExpired), ("server_error", Unavailable)])
async def test_an_error_of_the_provider_is_told_in_words(relying: Relying, code: str, refusal: type[Exception]) -> None:
    state = parse_qs(urlsplit(await relying.start()).query)["state"][0]
    with pytest.raises(refusal, match=r"Signing in with|sign-in with") as caught:
        await relying.providers.finish("idp", BROWSER, {"state": state, "error": code})
    assert code not in str(caught.value)


async def test_proof_of_presence_asks_anew_and_checks_that_it_was_asked(relying: Relying) -> None:
    address = await relying.start(Purpose.PRESENCE)
    query = parse_qs(urlsplit(address).query)
    assert (query["prompt"], query["max_age"]) == (["login"], ["0"])
    await relying.providers.finish("idp", BROWSER, relying.fake.agree(address))
    for at in (None, 0, True, "now", 1_500_000_000):
        relying.fake.tweak = lambda claims, at=at: {**claims, "auth_time": at}  # type: ignore[misc]
        answer = relying.fake.agree(await relying.start(Purpose.PRESENCE))
        with pytest.raises(NotAdmitted):
            await relying.providers.finish("idp", BROWSER, answer)


async def test_keys_that_are_new_are_fetched_once(relying: Relying) -> None:
    await relying.sign_in()
    relying.fake.key = elliptic_key()
    relying.fake.header = {"alg": "ES256", "kid": "two"}
    relying.clock.ahead = 31
    await relying.sign_in()
    assert relying.fake.asked.count("/keys") == 2


async def test_keys_that_nobody_has_do_not_make_the_hub_ask_again_and_again(relying: Relying) -> None:
    await relying.sign_in()
    relying.fake.key, published = other_key("made-up"), relying.fake.key
    relying.fake.header = {"alg": "RS256", "kid": "made-up"}
    relying.fake.bodies["/keys"] = lambda: web.json_response({"keys": [published.as_dict(private=False)]})
    relying.clock.ahead = 31
    for _ in range(5):
        with pytest.raises(NotAdmitted):
            await relying.sign_in()
    assert relying.fake.asked.count("/keys") == 2


async def test_a_provider_that_is_down_is_told_so_and_works_again_when_it_is_back(relying: Relying) -> None:
    relying.fake.down = True
    with pytest.raises(Unavailable, match="does not work at the moment"):
        await relying.sign_in()
    relying.fake.down = False
    relying.clock.ahead = 6
    await relying.sign_in()


async def test_what_is_known_keeps_working_while_announcement_and_keys_cannot_be_fetched(relying: Relying) -> None:
    await relying.sign_in()
    for path in ("/keys", "/.well-known/openid-configuration"):
        relying.fake.bodies[path] = lambda: web.Response(status=503)
    relying.clock.ahead = 12 * 3600
    await relying.sign_in()
    relying.clock.ahead = 49 * 3600
    with pytest.raises(Unavailable):
        await relying.sign_in()


async def test_a_key_that_the_provider_withdrew_stops_counting(relying: Relying) -> None:
    await relying.sign_in()
    relying.fake.bodies["/keys"] = lambda: web.json_response({"keys": [elliptic_key().as_dict(private=False)]})
    relying.clock.ahead = 3601
    with pytest.raises(NotAdmitted):
        await relying.sign_in()


@pytest.mark.parametrize(
    "announced",
    [
        {"issuer": "https://elsewhere.example"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": "http://elsewhere.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://idp.example@evil.example/"},
        {"userinfo_endpoint": "https://idp.example\\@evil.example/"},
        {"end_session_endpoint": 7},
    ],
)
async def test_an_announcement_that_leads_elsewhere_is_not_followed(
    relying: Relying, announced: dict[str, object]
) -> None:
    relying.fake.announced = announced
    with pytest.raises(Unavailable):
        await relying.start()


async def test_answers_are_bounded_and_lead_nowhere(relying: Relying) -> None:
    path = "/.well-known/openid-configuration"
    hostile = [
        web.Response(body=b"[" * 100_000),
        web.Response(body=b'{"a":' * 500 + b"1" + b"}" * 500),
        web.Response(body=b" " * 600_000 + b"{}"),
        web.Response(body=b"{}", headers={"Content-Encoding": "gzip"}),
        web.Response(status=302, headers={"Location": f"{relying.fake.issuer}/elsewhere"}),
        web.Response(body=b'{"issuer": "a", "issuer": "b"}'),
        web.Response(body=b"\xff\xfe"),
    ]
    for answer in hostile:
        relying.fake.bodies[path] = answer
        relying.clock.ahead += 6
        with pytest.raises(Unavailable):
            await relying.start()
    assert "/elsewhere" not in relying.fake.asked


async def test_an_unknown_provider_is_not_found(relying: Relying) -> None:
    with pytest.raises(NotFound):
        await relying.providers.start("other", BROWSER, CALLBACK, purpose=Purpose.SIGN_IN)


async def test_people_of_other_domains_are_told_which_may_enter(make_relying: MakeRelying) -> None:
    relying = make_relying(allowed_domains=["example.edu"])
    relying.fake.person |= {"email": "ann@example.edu", "email_verified": True}
    await relying.sign_in()
    for email, verified in [
        ("ann@sub.example.edu", True),
        ("ann@example.edu.evil.example", True),
        ("ann@notexample.edu", True),
        ("ann@example.edu", "true"),
        ("ann@example.edu", 1),
        ("ann@example.edu", None),
        ("ann@evil.example,@example.edu\u200b", True),
        ("@example.edu", True),
        (["ann@example.edu"], True),
    ]:
        relying.fake.person |= {"email": email, "email_verified": verified}
        with pytest.raises(NotAdmitted, match=r"@example\.edu"):
            await relying.sign_in()


async def test_a_refusal_leaves_one_line_in_the_audit_log(make_relying: MakeRelying) -> None:
    relying = make_relying(groups_claim="groups", allowed_groups=["staff"])
    with pytest.raises(NotAdmitted, match="none of the groups"):
        await relying.sign_in()
    async with relying.store.reading() as unit:
        events = await unit.audit.list()
    assert [(event.action, event.actor) for event in events] == [("sign_in.refused", "provider:idp")]


async def test_strangers_do_not_fill_the_audit_log_with_refusals(relying: Relying) -> None:
    for _ in range(40):
        state = parse_qs(urlsplit(await relying.start()).query)["state"][0]
        with pytest.raises(NotAdmitted):
            await relying.providers.finish("idp", BROWSER, {"state": state}, "203.0.113.9")
    async with relying.store.reading() as unit:
        assert 0 < len(await unit.audit.list(limit=100)) <= 30


async def test_groups_and_roles_come_from_claims(make_relying: MakeRelying) -> None:
    relying = make_relying(
        groups_claim="memberships.list",
        groups={"cs-1": "Computer science", "cs-2": "Other"},
        owner_groups={"cs-1-staff": "Computer science"},
        admin_groups=["admins"],
    )
    relying.fake.person["memberships"] = {"list": ["cs-1", "cs-1-staff", "unknown"]}
    told = (await relying.sign_in()).assertion
    assert (told.groups, told.role) == ({"Computer science": "owner"}, "user")
    relying.fake.person["memberships"] = {"list": ["admins", {"a": 1}, 7]}
    told = (await relying.sign_in()).assertion
    assert (told.groups, told.role) == ({}, "admin")


async def test_the_hub_can_prove_itself_by_a_key_in_place_of_a_secret(
    make_relying: MakeRelying, tmp_path: Path
) -> None:
    key = RSAKey.generate_key(2048)
    file = tmp_path / "key.pem"
    file.write_bytes(key.as_pem(private=True))
    file.chmod(0o600)
    relying = make_relying(client_secret=None, private_key_file=str(file))
    await relying.sign_in()
    form = relying.fake.forms[0]
    claims = decode(form["client_assertion"], key, algorithms=["RS256"]).claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT_ID, CLIENT_ID, f"{relying.fake.issuer}/token")
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in form and relying.fake.authorizations == [""]


def test_a_key_that_cannot_be_read_keeps_the_hub_from_starting(make_relying: MakeRelying, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"providers\.idp: .*is no private key"):
        make_relying(client_secret=None, private_key_file=str(file))


def sign_in_of(back: Return) -> SignIn:
    """What is kept of somebody who came by the provider."""
    now = datetime.now(UTC)
    return SignIn(
        *(SignInId("s"), UserId("u"), now, now, "", ""),
        provider=back.assertion.provider,
        provider_data=dict(back.assertion.data),
    )


async def test_signing_out_leads_to_the_provider_where_the_settings_say_so(make_relying: MakeRelying) -> None:
    back_to = "http://127.0.0.1:8000/hub/oauth/idp/logout"
    ways: list[tuple[dict[str, object], bool | None]] = [
        ({}, None),
        ({"logout": "provider"}, False),
        ({"logout": "provider", "keep_id_token": True}, True),
    ]
    for settings, hinted in ways:
        relying = make_relying(**settings)
        back = await relying.sign_in()
        address = await relying.providers.logout_address(sign_in_of(back), back_to)
        if hinted is None:
            assert (address, back.assertion.data) == (None, {})
            continue
        assert address is not None and address.startswith(f"{relying.fake.issuer}/end?")
        query = parse_qs(urlsplit(address).query)
        assert (query["client_id"], query["post_logout_redirect_uri"]) == ([CLIENT_ID], [back_to])
        assert ("id_token_hint" in query) is hinted
        if hinted:
            assert query["id_token_hint"][0].count(".") == 2
            assert query["id_token_hint"][0] not in str(back.assertion.data)  # kept, but sealed


async def test_signing_out_of_the_hub_does_not_need_the_provider(make_relying: MakeRelying) -> None:
    relying = make_relying(logout="provider")
    back = await relying.sign_in()
    relying.fake.down = True
    relying.clock.ahead = 25 * 3600
    assert await relying.providers.logout_address(sign_in_of(back), "http://127.0.0.1/x") is None
    relying.fake.announced = {"end_session_endpoint": None}
    relying.fake.down = False
    relying.clock.ahead += 6
    assert await relying.providers.logout_address(sign_in_of(back), "http://127.0.0.1/x") is None
