"""Google, Microsoft and GitHub, as far as they differ from what the standard says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from hub.auth.oidc.service import Purpose
from hub.config.providers import Provider
from hub.errors import NotAdmitted, Unavailable
from tests.harness.openid import FakeOpenId
from tests.unit.auth.oidc.conftest import BROWSER, CALLBACK, Relying

MakeRelying = Callable[..., Relying]
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
OTHER_TENANT = "11111111-86f1-41af-91ab-2d7cd011db47"


# -- Google ---------------------------------------------------------------------------------------------


async def test_google_lets_in_the_accounts_of_exactly_one_domain(make_relying: MakeRelying) -> None:
    relying = make_relying(kind="google", allowed_domains=["example.edu"])
    relying.fake.person |= {"email": "ann@example.edu", "email_verified": True, "hd": "example.edu"}
    assert "hd=example.edu" in await relying.start()
    assert (await relying.sign_in()).assertion.suggested_name == "ann"
    for hd, verified in [
        ("example.edu.evil.example", True),
        ("xample.edu", True),
        (["example.edu"], True),
        (None, True),
        ("example.edu", "true"),
        ("example.edu", None),
    ]:
        relying.fake.person |= {"hd": hd, "email_verified": verified}
        with pytest.raises(NotAdmitted):
            await relying.sign_in()


# -- Microsoft ------------------------------------------------------------------------------------------


async def microsoft(make_relying: MakeRelying, fake: FakeOpenId, tenant: str, **settings: Any) -> Relying:
    """Entra: the announcement is below the tenant's name, and names the issuer of the tenant or of all."""
    base = fake.issuer
    fake.issuer = f"{base}/{tenant if tenant == TENANT else '{tenantid}'}/v2.0"
    fake.announced = {
        "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/auth",
        "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
        "jwks_uri": f"{base}/{tenant}/discovery/v2.0/keys",
        "userinfo_endpoint": None,
    }
    return make_relying(kind="microsoft", issuer=None, url=base, tenant=tenant, **settings)


async def test_microsoft_with_one_tenant_believes_its_issuer_only(make_relying: MakeRelying, fake: FakeOpenId) -> None:
    relying = await microsoft(make_relying, fake, TENANT)
    fake.person["tid"] = TENANT
    assert (await relying.sign_in()).assertion.issuer == fake.issuer
    fake.tweak = lambda claims: {**claims, "iss": claims["iss"].replace(TENANT, OTHER_TENANT), "tid": OTHER_TENANT}
    with pytest.raises(NotAdmitted):
        await relying.sign_in()


async def test_microsoft_with_several_tenants_checks_the_issuer_of_each(
    make_relying: MakeRelying, fake: FakeOpenId
) -> None:
    relying = await microsoft(make_relying, fake, "organizations", allowed_tenants=[TENANT])
    template = fake.issuer

    def of(issuer_tenant: object, tid: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
        issuer = template.replace("{tenantid}", str(issuer_tenant))
        return lambda claims: {**claims, "iss": issuer, "tid": tid}

    fake.tweak = of(TENANT, TENANT)
    assert (await relying.sign_in()).assertion.issuer == template.replace("{tenantid}", TENANT)
    for issuer_tenant, tid in [
        (OTHER_TENANT, OTHER_TENANT),
        (OTHER_TENANT, TENANT),
        (TENANT, OTHER_TENANT),
        ("{tenantid}", "{tenantid}"),
        (TENANT, None),
        (f"x/{TENANT}", f"x/{TENANT}"),
    ]:
        fake.tweak = of(issuer_tenant, tid)
        with pytest.raises(NotAdmitted):
            await relying.sign_in()


async def test_a_key_of_microsoft_signs_only_for_its_own_issuer(make_relying: MakeRelying, fake: FakeOpenId) -> None:
    relying = await microsoft(make_relying, fake, "organizations", allowed_tenants=[TENANT])
    template = fake.issuer
    fake.tweak = lambda claims: {**claims, "iss": template.replace("{tenantid}", TENANT), "tid": TENANT}
    path = "/organizations/discovery/v2.0/keys"
    for issuer, believed in ((template, True), (template.replace("{tenantid}", OTHER_TENANT), False)):
        key = {**fake.key.as_dict(private=False), "issuer": issuer}
        fake.bodies[path] = lambda key=key: web.json_response({"keys": [key]})  # type: ignore[misc]
        relying.clock.ahead += 3601
        if believed:
            await relying.sign_in()
        else:
            with pytest.raises(NotAdmitted):
                await relying.sign_in()


async def test_too_many_groups_for_microsoft_to_name_refuse(make_relying: MakeRelying, fake: FakeOpenId) -> None:
    relying = await microsoft(make_relying, fake, TENANT, allowed_groups=["a-group"])
    fake.person |= {"tid": TENANT, "_claim_names": {"groups": "src1"}}
    with pytest.raises(NotAdmitted, match="too many groups"):
        await relying.sign_in()


# -- GitHub ---------------------------------------------------------------------------------------------

API = "/api/v3"


@pytest.fixture
def github(make_relying: MakeRelying, fake: FakeOpenId) -> Relying:
    relying = make_relying(
        kind="github",
        issuer=None,
        url=fake.issuer,
        allowed_groups=["example-lab", "other/teachers"],
        groups={"example-lab": "Lab"},
        owner_groups={"example-lab/teachers": "Lab"},
    )
    fake.bodies |= {
        "/login/oauth/access_token": web.json_response({}),
        f"{API}/user": lambda: web.json_response({"id": 583231, "login": "Octo-Cat", "name": "Mona"}),
        f"{API}/user/emails": lambda: web.json_response(
            [
                {"email": "old@example.edu", "primary": False, "verified": True},
                {"email": "mona@example.edu", "primary": True, "verified": True},
            ]
        ),
        f"{API}/user/orgs": lambda: web.json_response([{"login": "Example-Lab"}]),
        f"{API}/user/teams": lambda: web.json_response(
            [{"slug": "teachers", "organization": {"login": "Example-Lab"}}, {"slug": "stray"}, "nonsense"]
        ),
    }
    answer = {"access_token": "gho_x", "token_type": "bearer", "scope": "read:org"}
    fake.bodies["/login/oauth/access_token"] = lambda: web.json_response(answer)
    return relying


async def test_github_is_the_number_of_the_account(github: Relying) -> None:
    told = (await github.sign_in()).assertion
    assert (told.issuer, told.subject) == (github.fake.issuer, "583231")
    assert (told.suggested_name, told.display_name, told.email) == ("Octo-Cat", "Mona", "mona@example.edu")
    assert told.groups == {"Lab": "owner"}


async def test_github_is_asked_with_pkce_too(github: Relying) -> None:
    assert "code_challenge_method=S256" in await github.start()
    assert "scope=read%3Auser+user%3Aemail+read%3Aorg" in await github.start()


@pytest.mark.parametrize(
    "user", [{"login": "a"}, {"id": "1", "login": "a"}, {"id": True, "login": "a"}, {"id": 0, "login": "a"}]
)
async def test_github_without_a_number_is_nobody(github: Relying, user: dict[str, Any]) -> None:
    github.fake.bodies[f"{API}/user"] = lambda: web.json_response(user)
    with pytest.raises(NotAdmitted):
        await github.sign_in()


async def test_github_lets_in_only_who_is_in_the_organisations(github: Relying) -> None:
    github.fake.bodies[f"{API}/user/orgs"] = lambda: web.json_response([{"login": "example-lab-2"}])
    github.fake.bodies[f"{API}/user/teams"] = lambda: web.json_response([])
    with pytest.raises(NotAdmitted):
        await github.sign_in()


async def test_github_that_answers_errors_lets_nobody_in(github: Relying) -> None:
    for path, answer in [
        ("/login/oauth/access_token", {"error": "bad_verification_code"}),
        ("/login/oauth/access_token", {"access_token": "x\ny", "token_type": "bearer"}),
        (f"{API}/user/orgs", {"message": "no"}),
    ]:
        before = github.fake.bodies[path]
        github.fake.bodies[path] = lambda answer=answer: web.json_response(answer)  # type: ignore[misc]
        with pytest.raises((Unavailable, NotAdmitted)):
            await github.sign_in()
        github.fake.bodies[path] = before


async def test_github_cannot_prove_presence(github: Relying) -> None:
    assert not github.providers.offers()[0].can_confirm
    with pytest.raises(NotAdmitted):
        await github.providers.start("idp", BROWSER, CALLBACK, purpose=Purpose.PRESENCE)


# -- Places ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"kind": "gitlab", "allow_anyone": True}, "GitLab"),
        ({"kind": "keycloak", "issuer": "https://sso.example.edu/realms/main", "display_name": "Campus"}, "Campus"),
    ],
)
def test_buttons_say_where_they_lead(settings: dict[str, Any], shown: str) -> None:
    assert Provider.model_validate({"client_id": "x", "client_secret": "y", **settings}).shown_name == shown
