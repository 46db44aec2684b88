"""Passkeys: what is asked of a browser (Web Authentication), and whether its answer is right.

The challenge is kept by nobody: it travels with the form, sealed together with what it is for, whom and until when; an
answer that was right uses it up in the database. So neither a page that is looked at nor a wrong answer costs a write.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from hub.auth.secrets import Secrets, SecretUnreadable
from hub.domain.users import User
from hub.errors import BadRequest, WrongPassword
from proxy.kit.lazy import lazily

if TYPE_CHECKING:
    import webauthn
    from webauthn.helpers import exceptions, structs
else:
    webauthn = lazily("webauthn")
    exceptions = lazily("webauthn.helpers.exceptions")
    structs = lazily("webauthn.helpers.structs")

CHALLENGE_LIFETIME = timedelta(minutes=5)
MAX_ANSWER_CHARS = 16 * 1024
_WRONG = "This passkey was not accepted. Try again, or choose another way."


@dataclass(frozen=True, slots=True)
class Question:
    """What a browser's script gets: `options` as Web Authentication has them, `state` comes back with the answer."""

    options: dict[str, Any]
    state: str


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A passkey that was just made."""

    credential_id: bytes
    public_key: bytes
    sign_count: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A right answer. `challenge` has to be used up; `verified`: the device asked for a finger, face or PIN."""

    sign_count: int
    challenge: bytes
    verified: bool


class _State(msgspec.Struct, frozen=True):
    challenge: str
    user: str
    ends: float


class Passkeys:
    """Asks and verifies. `site` is the origin that browsers use, such as ``https://hub.example.edu``."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def ask_for_new(self, site: str, user: User, known: Iterable[bytes], now: datetime) -> Question:
        """How a browser makes a passkey for `user`, who has `known` already."""
        options = webauthn.generate_registration_options(
            rp_id=_host(site),
            rp_name="kernelhub",
            user_id=user.id.encode(),
            user_name=user.name,
            user_display_name=user.name,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                resident_key=structs.ResidentKeyRequirement.PREFERRED,
                user_verification=structs.UserVerificationRequirement.PREFERRED,
            ),
            exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=each) for each in known],
        )
        return self._question("new", options, options.challenge, user.id, now)

    def take_new(self, site: str, user: User, answer: str, state: str, now: datetime) -> tuple[NewPasskey, bytes]:
        """The passkey that a browser made, and the challenge to use up. Raises WrongPassword, BadRequest."""
        challenge = self._challenge("new", state, user.id, now)
        try:
            made = webauthn.verify_registration_response(
                credential=_short(answer),
                expected_challenge=challenge,
                expected_rp_id=_host(site),
                expected_origin=site,
            )
        except _malformed() as error:
            raise BadRequest("This passkey could not be added: the browser's answer is not as expected.") from error
        return NewPasskey(made.credential_id, made.credential_public_key, made.sign_count), challenge

    def ask(self, site: str, what: str, user_id: str, known: Iterable[bytes], now: datetime) -> Question:
        """How a browser proves to have one of the passkeys `known`; none: any that it has for this site.

        `what`: what it is for (``sign-in``, ``second``, ``presence``); `user_id` empty where it is not known yet.
        """
        allowed = [structs.PublicKeyCredentialDescriptor(id=each) for each in known]
        verification = (
            structs.UserVerificationRequirement.REQUIRED
            if not user_id
            else structs.UserVerificationRequirement.PREFERRED
        )
        options = webauthn.generate_authentication_options(
            rp_id=_host(site), allow_credentials=allowed, user_verification=verification
        )
        return self._question(what, options, options.challenge, user_id, now)

    def check(
        self, site: str, what: str, user_id: str, answer: str, state: str, key: bytes, count: int, now: datetime
    ) -> Answer:
        """Whether the answer was made by the passkey with this public `key`. Raises WrongPassword.

        `count`: its counter when it was used last; one that goes back is that of a copy.
        """
        challenge = self._challenge(what, state, user_id, now)
        try:
            right = webauthn.verify_authentication_response(
                credential=_short(answer),
                expected_challenge=challenge,
                expected_rp_id=_host(site),
                expected_origin=site,
                credential_public_key=key,
                credential_current_sign_count=count,
                require_user_verification=not user_id,
            )
        except _malformed() as error:
            raise WrongPassword(_WRONG) from error
        return Answer(right.new_sign_count, challenge, right.user_verified)

    def _question(self, what: str, options: Any, challenge: bytes, user_id: str, now: datetime) -> Question:
        state = _State(text_of(challenge), user_id, (now + CHALLENGE_LIFETIME).timestamp())
        sealed = self._secrets.seal(f"passkey:{what}", msgspec.json.encode(state).decode())
        return Question(webauthn.helpers.options_to_json_dict(options), sealed)

    def _challenge(self, what: str, sealed: str, user_id: str, now: datetime) -> bytes:
        try:
            state = msgspec.json.decode(self._secrets.open(f"passkey:{what}", sealed), type=_State)
        except (SecretUnreadable, msgspec.DecodeError) as error:
            raise WrongPassword(_WRONG) from error
        if state.user != user_id or now.timestamp() > state.ends:
            raise WrongPassword("This took too long. Try again.")
        return bytes_of(state.challenge)


def credential_id_of(answer: str) -> bytes:
    """Which passkey a browser's answer claims to come from. Raises WrongPassword."""
    try:
        found = msgspec.json.decode(_short(answer), type=dict[str, Any])
        return bytes_of(str(found["rawId"]))
    except (msgspec.DecodeError, KeyError, ValueError, RecursionError) as error:
        raise WrongPassword(_WRONG) from error


def _short(answer: str) -> str:
    if len(answer) > MAX_ANSWER_CHARS:
        raise WrongPassword(_WRONG)
    return answer


def _host(site: str) -> str:
    return urlsplit(site).hostname or ""


def text_of(data: bytes) -> str:
    """Bytes as Web Authentication writes them: base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def bytes_of(text: str) -> bytes:
    """The bytes that `text_of` wrote, or a browser. Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _malformed() -> tuple[type[Exception], ...]:
    """What the library raises at what is no answer of a browser: it takes bytes apart as they come."""
    own = exceptions.WebAuthnException
    return own, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError
