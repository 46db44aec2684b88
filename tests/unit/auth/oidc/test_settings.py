"""The providers' settings: what is wrong or unknown keeps the hub from starting, all of it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.config import ConfigError, Settings, load_settings

GOOD = """
[providers.campus]
kind = "oidc"
issuer = "https://idp.example.edu"
client_id = "hub"
client_secret = "hunter2-hunter2"
"""


def load(tmp_path: Path, text: str, **flags: object) -> Settings:
    file = tmp_path / "kernelhub.toml"
    file.write_text(text)
    return load_settings(file, flags)


def mistakes(tmp_path: Path, text: str, **flags: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **flags)
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


def changed(*lines: str) -> str:
    return GOOD + "\n".join(lines)


def test_a_good_provider_is_read_and_its_secret_shows_nowhere(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD)
    assert settings.providers["campus"].read_secret() == "hunter2-hunter2"
    assert "hunter2" not in repr(settings)


def test_names_that_are_no_settings_are_refused_with_their_place(tmp_path: Path) -> None:
    """CVE-2024-29033's sequel: a renamed option that is ignored lets everybody in."""
    text = mistakes(tmp_path, changed('hosted_domain = "example.edu"', 'allowed_group = ["staff"]'))
    assert "providers.campus.hosted_domain: there is no such setting" in text
    assert "providers.campus.allowed_group: there is no such setting" in text


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = mistakes(
        tmp_path,
        '[providers.one]\nkind = "saml"\nclient_id = ""\n'
        '[providers.two]\nkind = "oidc"\nclient_id = "x"\nissuer = "http://idp.example.edu"\n'
        'allowed_domains = ["*.edu"]\n',
    )
    for place in ("one.kind", "one.client_id", "two.issuer", "two.allowed_domains"):
        assert f"providers.{place}" in text


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['tenant = "x"'], "tenant and allowed_tenants are for kind 'microsoft' only"),
        (['url = "https://x.example"'], "url is not for kind 'oidc'"),
        (['client_secret_file = "/nowhere"'], "only one of client_secret"),
        (['client_secret_file = "/nowhere"'], "/nowhere cannot be read"),
        (['algorithms = ["HS256"]'], "'HS256' is none of"),
        (['algorithms = ["none"]'], "'none' is none of"),
        (['admin_groups = ["admins"]'], "groups_claim is missing"),
        (['role_claim = "roles"'], "roles is missing"),
        (["[providers.campus.roles]", 'boss = "chief"'], "there is no role 'chief'"),
        (['groups_claim = "g"', "[providers.campus.groups]", 'a = "../x"'], "cannot be a group"),
        (['allowed_domains = ["Example.edu"]'], "not a domain in lower case"),
        (['allowed_domains = ["edu"]'], "not a domain"),
    ],
)
def test_what_cannot_count_is_refused(tmp_path: Path, lines: list[str], said: str) -> None:
    assert said in mistakes(tmp_path, changed(*lines))


@pytest.mark.parametrize(
    "issuer", ["https://a@b.example", "https://a.example/?x=1", "https://a.example/#x", "a.example", "https://"]
)
def test_an_issuer_is_an_address_that_is_read_in_one_way(tmp_path: Path, issuer: str) -> None:
    assert "providers.campus.issuer" in mistakes(tmp_path, GOOD.replace("https://idp.example.edu", issuer))


@pytest.mark.parametrize("name", ["hub", "unlink", "Campus", "a_b", "x" * 40])
def test_a_name_can_stand_in_an_address_and_is_nobody_elses(tmp_path: Path, name: str) -> None:
    assert "a name is 1 to 32 small letters" in mistakes(tmp_path, GOOD.replace("campus", name))


@pytest.mark.parametrize(
    "settings",
    [
        'kind = "google"',
        'kind = "github"',
        'kind = "gitlab"',
        'kind = "microsoft"\ntenant = "organizations"',
        'kind = "microsoft"\ntenant = "common"',
    ],
)
def test_a_provider_of_everybody_must_be_restricted_or_said_to_be_open(tmp_path: Path, settings: str) -> None:
    text = f'[providers.p]\n{settings}\nclient_id = "x"\nclient_secret = "y"\n'
    assert "everybody in the world" in mistakes(tmp_path, text)
    load(tmp_path, text + "allow_anyone = true\n")
    load(tmp_path, text + "create_users = false\n")


def test_microsofts_addresses_do_not_let_anybody_in(tmp_path: Path) -> None:
    tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47"
    text = f'[providers.p]\nkind = "microsoft"\ntenant = "{tenant}"\nclient_id = "x"\nclient_secret = "y"\n'
    load(tmp_path, text)
    assert "allowed_domains" in mistakes(tmp_path, text + 'allowed_domains = ["example.edu"]\n')
    assert "tenant must be its id" in mistakes(tmp_path, text.replace(tenant, "example.edu"))


def test_a_secret_in_a_file_must_be_private(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\n")
    secret.chmod(0o600)
    text = GOOD.replace('client_secret = "hunter2-hunter2"', f'client_secret_file = "{secret}"')
    assert load(tmp_path, text).providers["campus"].read_secret() == "from-a-file"
    secret.chmod(0o644)
    assert "can be read by every account" in mistakes(tmp_path, text)
    secret.chmod(0o600)
    secret.write_text("")
    assert "is empty" in mistakes(tmp_path, text)


def test_people_must_know_where_to_come_back_to(tmp_path: Path) -> None:
    assert "public_url is missing" in mistakes(tmp_path, GOOD, host="0.0.0.0")
    load(tmp_path, GOOD, host="0.0.0.0", public_url="https://hub.example.edu")


def test_a_secret_comes_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELHUB_PROVIDERS__CAMPUS__CLIENT_SECRET", "from-the-environment")
    text = GOOD.replace('client_secret = "hunter2-hunter2"\n', "")
    assert load(tmp_path, text).providers["campus"].read_secret() == "from-the-environment"
