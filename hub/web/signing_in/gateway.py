"""Signing in by a gateway of one's own, which says in a header who somebody is.

The proxy drops that header from every request whose peer is not one of the listed addresses (proxy.core.http_rules), so
what arrives here is the gateway's word. Who it names is known under an issuer of its own: no name that a gateway says
finds an account that people or another provider made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from hub.auth.arrivals import MAX_GROUPS, MAX_SUBJECT_CHARS, Assertion
from hub.config.sign_in import HeaderSignIn
from hub.domain.groups import InvalidGroup, normalise_group_name

PROVIDER = "gateway"


def gateway_assertion(settings: HeaderSignIn, headers: Mapping[str, str]) -> Assertion | None:
    """What the gateway says with this request, None where it says nothing or is none."""
    subject = headers.get(settings.header, "").strip() if settings.header else ""
    if not subject or len(subject) > MAX_SUBJECT_CHARS or not subject.isprintable():
        return None
    return Assertion(
        provider=PROVIDER,
        issuer=settings.issuer,
        subject=subject,
        suggested_name=subject.partition("@")[0],
        email=subject if "@" in subject else "",
        groups=_groups(headers.get(settings.groups_header, "")) if settings.groups_header else None,
    )


def _groups(value: str) -> dict[str, str]:
    """The groups named, those left out that can have no such name here."""
    found: dict[str, str] = {}
    for name in value.split(",")[:MAX_GROUPS]:
        with contextlib.suppress(InvalidGroup):
            found[normalise_group_name(name)] = "member"
    return found
