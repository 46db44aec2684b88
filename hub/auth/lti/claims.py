"""What a launch says: the claims of its id_token, judged and read; pure.

Sources: LTI Core 1.3, 5.3 and 5.4; Security Framework 1.1, 5.1.3; Deep Linking 2.0, 3.4. Every text is bounded here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from hub.auth.oidc.errors import NotBelieved
from hub.domain.lti import Platform

LEEWAY_SECONDS = 60
MAX_AGE_SECONDS = 600
"""An id_token made longer ago than this is refused, whatever its ``exp`` says."""
MAX_TEXT_CHARS = 255
MAX_ADDRESS_CHARS = 2000
MAX_ROLES = 50
MAX_DATA_CHARS = 16 * 1024
_LTI = "https://purl.imsglobal.org/spec/lti/claim/"
_DEEP = "https://purl.imsglobal.org/spec/lti-dl/claim/"
_SCORES = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
_NAMES = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"


class MessageType(StrEnum):
    """The messages that are understood."""

    RESOURCE_LINK = "LtiResourceLinkRequest"
    DEEP_LINKING = "LtiDeepLinkingRequest"


@dataclass(frozen=True, slots=True)
class DeepLinking:
    """What a platform asks to be chosen. `data` is given back as it came."""

    return_url: str
    data: str | None
    accepts_line_item: bool


@dataclass(frozen=True, slots=True)
class Launch:
    """A launch that is believed. Texts are "" where the platform says nothing."""

    message: MessageType
    subject: str
    deployment: str
    roles: tuple[str, ...]
    target_link_uri: str
    context: str
    context_title: str
    context_label: str
    link: str
    link_title: str
    name: str
    email: str
    username: str
    members_url: str
    line_items_url: str
    line_item_url: str
    scopes: tuple[str, ...]
    custom: Mapping[str, str]
    return_url: str
    deep_linking: DeepLinking | None


def judge(claims: Mapping[str, Any], platform: Platform, nonce: str, now: datetime) -> None:
    """Raise NotBelieved unless a signed token is a launch of this platform, for this hub, asked for just now.

    The deployment is not judged here: one that is not accepted is remembered, for an administrator to accept.
    """
    if claims.get("iss") != platform.issuer:
        raise NotBelieved("another issuer")
    _judge_audience(claims, platform.client_id)
    _judge_times(claims, now.timestamp())
    if claims.get("nonce") != nonce:
        raise NotBelieved("another nonce than was asked for")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_TEXT_CHARS or not subject.isprintable():
        raise NotBelieved("no subject: anonymous launches are not taken")
    if claims.get(_LTI + "version") != "1.3.0":
        raise NotBelieved("another version of LTI than 1.3.0")
    if claims.get(_LTI + "message_type") not in set(MessageType):
        raise NotBelieved("a message that is not understood")
    deployment = claims.get(_LTI + "deployment_id")
    if not isinstance(deployment, str) or not 0 < len(deployment) <= MAX_TEXT_CHARS:
        raise NotBelieved("no deployment")


def _judge_audience(claims: Mapping[str, Any], client_id: str) -> None:
    """OpenID Connect Core 3.1.3.7: several audiences need an authorized party, and one that is there must be us."""
    audience, party = claims.get("aud"), claims.get("azp")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences or not all(isinstance(each, str) for each in audiences):
        raise NotBelieved("another audience")
    if (len(audiences) > 1 or party is not None) and party != client_id:
        raise NotBelieved("another authorized party, or none where there must be one")


def _judge_times(claims: Mapping[str, Any], now: float) -> None:
    expires, issued = _moment(claims, "exp"), _moment(claims, "iat")
    if expires <= now - LEEWAY_SECONDS:
        raise NotBelieved("expired")
    if issued > now + LEEWAY_SECONDS:
        raise NotBelieved("made in the future")
    if issued < now - MAX_AGE_SECONDS:
        raise NotBelieved("made too long ago")
    if "nbf" in claims and _moment(claims, "nbf") > now + LEEWAY_SECONDS:
        raise NotBelieved("not valid yet")


def _moment(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise NotBelieved(f"no {name}")
    return float(value)


def read_launch(claims: Mapping[str, Any]) -> Launch:
    """The launch of claims that `judge` has let pass. Raises NotBelieved where a part that is needed is missing."""
    context, link = _part(claims, _LTI + "context"), _part(claims, _LTI + "resource_link")
    names, scores = _part(claims, _NAMES), _part(claims, _SCORES)
    message = MessageType(claims[_LTI + "message_type"])
    if message is MessageType.RESOURCE_LINK and not _text(link, "id"):
        raise NotBelieved("no resource link")
    given = " ".join(text for text in (_text(claims, "given_name"), _text(claims, "family_name")) if text)
    return Launch(
        message=message,
        subject=claims["sub"],
        deployment=claims[_LTI + "deployment_id"],
        roles=_texts(claims, _LTI + "roles", MAX_ROLES),
        target_link_uri=_text(claims, _LTI + "target_link_uri", MAX_ADDRESS_CHARS),
        context=_text(context, "id"),
        context_title=_text(context, "title"),
        context_label=_text(context, "label"),
        link=_text(link, "id"),
        link_title=_text(link, "title"),
        name=(_text(claims, "name") or given)[:200],
        email=_text(claims, "email")[:200],
        username=_text(claims, "preferred_username"),
        members_url=_text(names, "context_memberships_url", MAX_ADDRESS_CHARS),
        line_items_url=_text(scores, "lineitems", MAX_ADDRESS_CHARS),
        line_item_url=_text(scores, "lineitem", MAX_ADDRESS_CHARS),
        scopes=_texts(scores, "scope", 20),
        custom={
            name: value[:MAX_ADDRESS_CHARS]
            for name, value in list(_part(claims, _LTI + "custom").items())[:50]
            if isinstance(value, str)
        },
        return_url=_text(_part(claims, _LTI + "launch_presentation"), "return_url", MAX_ADDRESS_CHARS),
        deep_linking=_deep_linking(claims) if message is MessageType.DEEP_LINKING else None,
    )


def _deep_linking(claims: Mapping[str, Any]) -> DeepLinking:
    settings = _part(claims, _DEEP + "deep_linking_settings")
    return_url = _text(settings, "deep_link_return_url", MAX_ADDRESS_CHARS)
    accepted, data = settings.get("accept_types"), settings.get("data")
    if not return_url or not isinstance(accepted, list) or "ltiResourceLink" not in accepted:
        raise NotBelieved("deep linking that wants no links, or says not where to")
    if data is not None and (not isinstance(data, str) or len(data) > MAX_DATA_CHARS):
        raise NotBelieved("deep linking with data that is no text, or too long")
    return DeepLinking(return_url, data, settings.get("accept_lineitem") is True)


def _part(claims: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = claims.get(name)
    return value if isinstance(value, dict) else {}


def _text(part: Mapping[str, Any], name: str, limit: int = MAX_TEXT_CHARS) -> str:
    """A text, "" if there is none that can be kept; longer ones count as none where cutting would change the sense."""
    value = part.get(name)
    if not isinstance(value, str) or "\0" in value or not value.isprintable():
        return ""
    return value if len(value) <= limit else ("" if limit == MAX_ADDRESS_CHARS or name == "id" else value[:limit])


def _texts(part: Mapping[str, Any], name: str, limit: int) -> tuple[str, ...]:
    value = part.get(name)
    return tuple(text for text in value[:limit] if isinstance(text, str)) if isinstance(value, list) else ()
