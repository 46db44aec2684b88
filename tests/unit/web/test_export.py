"""What the hub knows of somebody, for themselves."""

from __future__ import annotations

from hub.domain.users import Role
from tests.unit.web.conftest import PASSWORD, Site


async def test_one_gets_everything_of_ones_own_and_nothing_secret_or_of_others(site: Site) -> None:
    browser = await site.signed_in("ada")
    await site.signed_in("root1", Role.ADMIN)
    ada = await site.auth.users.get("ada")
    lab = await site.auth.groups.create("lab", "test")
    await site.auth.groups.add_members(lab, [ada], "test")
    value = await site.token_of("ada")
    answer = await browser.get("/hub/home/export")
    assert answer.status == 200
    assert answer.headers["Content-Disposition"] == 'attachment; filename="kernelhub-ada.json"'
    known = answer.json()
    assert known["account"]["name"] == "ada"
    assert [group["name"] for group in known["groups"]] == ["lab"]
    assert len(known["sign_ins"]) == len(known["tokens"]) == 1
    assert "user.added" in {event["action"] for event in known["events"]}
    for secret in (value, PASSWORD, "argon2", "digest", "root1"):
        assert secret not in answer.text
    assert (await site.actions("user.exported")) == ["user.exported"]


async def test_nobody_gets_it_without_signing_in(site: Site) -> None:
    assert (await site.browser().get("/hub/home/export")).status == 302
