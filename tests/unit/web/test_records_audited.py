"""Each act of an administrator and each refusal leaves exactly one line in the audit log, without what is secret."""

from __future__ import annotations

import pytest

from hub.domain.users import Role
from tests.unit.web.conftest import Site

CANARY = "canary-sEcReT-2718-otters"
PROFILE = {
    "display_name": "S",
    "image": "kernelhub/r:latest",
    "memory_bytes": "1 GiB",
    "environment": f"KEY={CANARY}",
    "network": "none",
}
ACTS = [
    ("/hub/admin/settings/announcement", {"text": "Closing"}, "settings.changed"),
    ("/hub/admin/settings/registration", {"mode": "open"}, "settings.changed"),
    ("/hub/admin/settings/culling", {"kernel_idle": "1h", "workspace_empty": "1h"}, "settings.changed"),
    ("/hub/admin/profiles/new", {"name": "stats", **PROFILE}, "profile.added"),
    ("/hub/admin/profiles/new", {"name": "stats", "try": "yes", **PROFILE}, "profile.tried"),
    ("/hub/admin/profiles/datascience", PROFILE, "profile.changed"),
]
REFUSED = [
    "/hub/admin/history",
    "/hub/admin/audit",
    "/hub/admin/audit.csv",
    "/hub/admin/settings",
    "/hub/admin/profiles",
]


@pytest.mark.parametrize(("path", "fields", "action"), ACTS, ids=lambda value: value if isinstance(value, str) else "")
async def test_an_act_leaves_one_line_and_no_secret(site: Site, path: str, fields: dict[str, str], action: str) -> None:
    admin = await site.signed_in("root1", Role.ADMIN)
    token = await admin.form_token("/hub/admin/settings")
    before = await site.actions()
    answer = await admin.post(path, {**fields, "_xsrf": token})
    assert answer.status in {200, 302}
    after = await site.actions()
    assert after[: len(after) - len(before)] == [action]
    assert CANARY not in await site.audit_text()


@pytest.mark.parametrize("path", REFUSED)
async def test_a_refusal_leaves_one_line(site: Site, path: str) -> None:
    bob = await site.signed_in("bob")
    before = await site.actions()
    assert (await bob.get(f"{path}?token={CANARY}&text={CANARY}")).status == 403
    after = await site.actions()
    assert after[: len(after) - len(before)] == ["access.refused"]
    assert CANARY not in await site.audit_text()


async def test_a_form_that_saves_what_was_there_leaves_no_line(site: Site) -> None:
    admin = await site.signed_in("root1", Role.ADMIN)
    before = await site.actions("settings.")
    await admin.submit("/hub/admin/settings/registration", {"mode": "closed"}, "/hub/admin/settings")
    assert await site.actions("settings.") == before
