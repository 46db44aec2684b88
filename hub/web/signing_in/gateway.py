"""Signing in by a gateway of one's own, which says in a header who somebody is.

The proxy drops that header from every request whose peer is not one of the listed addresses (proxy.core.http_rules), so
what arrives here is the gateway's word. Who it names is known under an issuer of its own: no name that a gateway says
finds an account that people or another provider made.
"""

from __future__ import annotations

from collections.abc import Mapping

from hub.auth.arrivals import MAX_GROUP_NAME_CHARS, MAX_GROUPS, MAX_SUBJECT_CHARS, Assertion
from hub.config.sign_in import HeaderSignIn

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
    names = (name.strip() for name in value.split(","))
    sound = [name for name in names if name and len(name) <= MAX_GROUP_NAME_CHARS and name.isprintable()]
    return dict.fromkeys(sound[:MAX_GROUPS], "member")
