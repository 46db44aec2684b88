"""Second factors: authenticator apps, passkeys and recovery codes, added, used, taken away.

Who signs in with a password and has one is asked for it (hub.web.signing_in.second_factor); the setting
`second_factor` says who must have one. Who signs in by a provider is not: that is the provider's business.
"""

from __future__ import annotations

import secrets as random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from hub.auth import passkeys, totp
from hub.auth.authority import Authority
from hub.auth.digests import digest_of
from hub.auth.recent import RecentIdentities
from hub.auth.secrets import Secrets
from hub.auth.throttle import SharedThrottle
from hub.config.sign_in import SecondFactor as Rule
from hub.domain.audit import AuditEvent
from hub.domain.ids import UserId, new_id
from hub.domain.users import User
from hub.errors import BadRequest, Conflict, HubError, NotFound, WrongPassword
from hub.store.engine import Store
from hub.store.second_factors import FactorKind, SecondFactor
from hub.store.unit import Unit
from proxy.kit.clock import Clock

RECOVERY_CODES = 10
MAX_FACTORS = 20
MAX_NAME_CHARS = 60
SEED_PURPOSE = "authenticator app"
SETUP_PURPOSE = "authenticator app being set up"
SETUP_LIFETIME = timedelta(minutes=30)
_REMEMBERED = timedelta(minutes=10)
"""Longer than any code or challenge that was used counts."""
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Of recovery codes: without what is easily taken for something else."""


@dataclass(frozen=True, slots=True)
class AppSetup:
    """An authenticator app that is being set up: what to scan or type, and what comes back with the first code."""

    picture: str
    typed: str
    state: str


class SecondFactors:
    """Second factors of all users."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        recent: RecentIdentities,
        secrets: Secrets,
        throttle: SharedThrottle,
        authority: Authority,
        rule: Rule,
    ) -> None:
        self._store = store
        self._clock = clock
        self._recent = recent
        self._secrets = secrets
        self._throttle = throttle
        self._authority = authority
        self._rule = rule
        self.passkeys = passkeys.Passkeys(secrets)

    # -- what there is ----------------------------------------------------------------------------------

    async def of(self, user: User) -> list[SecondFactor]:
        """All of a user's, recovery codes included, the oldest first."""
        async with self._store.reading() as unit:
            return await unit.second_factors.list(user.id)

    async def has_one(self, user: User) -> bool:
        """Whether the user has an authenticator app or a passkey."""
        return any(factor.kind is not FactorKind.RECOVERY for factor in await self.of(user))

    async def must_have_one(self, user: User) -> bool:
        """Whether the settings want this user to have one."""
        if self._rule != "administrators":
            return self._rule == "everybody"
        grants = await self._authority.grants_of(user)
        return any(r.everything or r.groups or r.users - {user.id} for r in grants.held.values())

    # -- authenticator apps -----------------------------------------------------------------------------

    def begin_app(self, user: User, host: str) -> AppSetup:
        """A seed to set up an app with; nothing is kept until its first code has come (`add_app`)."""
        seed = totp.new_seed()
        ends = (self._clock.now() + SETUP_LIFETIME).timestamp()
        state = self._secrets.seal(SETUP_PURPOSE, f"{user.id} {ends} {seed}")
        return AppSetup(totp.picture_of(totp.address_of(seed, user.name, host)), totp.grouped(seed), state)

    def continue_app(self, user: User, host: str, state: str) -> AppSetup:
        """The same set-up once more, after a wrong code. Raises BadRequest when it was begun too long ago."""
        seed = self._seed_in(user, state)
        return AppSetup(totp.picture_of(totp.address_of(seed, user.name, host)), totp.grouped(seed), state)

    async def add_app(self, user: User, state: str, code: str, name: str, address: str) -> None:
        """Keep the app that was set up, if this is its code. Raises WrongPassword, BadRequest, Conflict."""
        seed = self._seed_in(user, state)
        step = totp.matching_step(seed, code, self._clock.now())
        if step is None:
            raise WrongPassword("This code is not the app's. Is the time of your phone right?")
        data = {"seed": self._secrets.seal(SEED_PURPOSE, f"{user.id} {seed}"), "step": step}
        await self._add(user, FactorKind.APP, name or "Authenticator app", data, None, address)

    def _seed_in(self, user: User, state: str) -> str:
        try:
            user_id, ends, seed = self._secrets.open(SETUP_PURPOSE, state).split(" ")
        except HubError as error:
            raise BadRequest("This form is not one of ours; begin again.") from error
        if user_id != user.id or self._clock.now().timestamp() > float(ends):
            raise BadRequest("This was begun too long ago; begin again.")
        return seed

    # -- passkeys ---------------------------------------------------------------------------------------

    async def ask_for_passkey(self, user: User, site: str) -> passkeys.Question:
        """How the browser makes a new passkey for the user."""
        return self.passkeys.ask_for_new(site, user, _credential_ids(await self.of(user)), self._clock.now())

    async def add_passkey(self, user: User, site: str, answer: str, state: str, name: str, address: str) -> None:
        """Keep the passkey that a browser has made. Raises BadRequest, WrongPassword, Conflict."""
        made, challenge = self.passkeys.take_new(site, user, answer, state, self._clock.now())
        key = passkeys.text_of(made.public_key)
        data = {"public_key": key, "sign_count": made.sign_count, "challenge": passkeys.text_of(challenge)}
        await self._add(user, FactorKind.PASSKEY, name or "Passkey", data, made.credential_id, address)

    async def ask_passkey(self, what: str, user: User | None, site: str) -> passkeys.Question:
        """How the browser proves to have a passkey: one of the user's, or of anybody's where None."""
        known = _credential_ids(await self.of(user)) if user is not None else []
        return self.passkeys.ask(site, what, user.id if user is not None else "", known, self._clock.now())

    async def check_passkey(
        self, what: str, user: User | None, site: str, answer: str, state: str, address: str
    ) -> UserId:
        """Whose passkey has answered; `user`: it must be one of theirs. Raises WrongPassword, TooManyRequests."""
        account = f"factor {user.id}" if user is not None else "passkey sign-in"  # no user's name
        async with self._store.reading() as unit:
            await self._throttle.look(unit, account, address)
            factor = await unit.second_factors.find_passkey(passkeys.credential_id_of(answer))
        self._throttle.begin(account, address, known_address=user is None, what="wrong tries")
        try:
            user_id = await self._check_passkey(what, user, site, answer, state, factor)
        except WrongPassword:
            await self._refused(account, user.id if user is not None else "", address, "wrong passkey")
            raise
        await self._throttle.succeeded(account, address)
        return user_id

    async def _check_passkey(
        self, what: str, user: User | None, site: str, answer: str, state: str, factor: SecondFactor | None
    ) -> UserId:
        if factor is None or (user is not None and factor.user_id != user.id):
            raise WrongPassword("This passkey is not known here (any more).")
        now, data = self._clock.now(), factor.data
        key, count = passkeys.bytes_of(data["public_key"]), int(data["sign_count"])
        asked = user.id if user is not None else ""
        right = self.passkeys.check(site, what, asked, answer, state, key, count, now)
        async with self._store.unit() as unit:
            if not await unit.used_once.use("passkey", digest_of(right.challenge.hex()), now + _REMEMBERED):
                raise WrongPassword("This was used already. Try again.")
            await unit.second_factors.used(factor.id, now, {**data, "sign_count": right.sign_count})
        return factor.user_id

    # -- codes ------------------------------------------------------------------------------------------

    async def check_code(self, user: User, code: str, address: str) -> None:
        """Accept a code of the user's app, or a recovery code. Each counts once.

        Raises WrongPassword, and TooManyRequests when the last wrong ones were too recent.
        """
        account, known_address = f"factor {user.id}", False
        async with self._store.reading() as unit:
            await self._throttle.look(unit, account, address)
            known_address = await unit.sign_ins.were_at(user.id, address)
        self._throttle.begin(account, address, known_address=known_address, what="wrong codes")
        async with self._store.unit() as unit:
            right = await self._use_code(unit, user, code)
        if not right:
            await self._refused(account, user.id, address, "wrong code")
            raise WrongPassword("This code is wrong, or was used already. Apps show a new one every half minute.")
        await self._throttle.succeeded(account, address)

    async def _use_code(self, unit: Unit, user: User, code: str) -> bool:
        factors, now = await unit.second_factors.list(user.id), self._clock.now()
        for factor in factors:
            if factor.kind is FactorKind.APP:
                owner, _, seed = self._secrets.open(SEED_PURPOSE, factor.data["seed"]).partition(" ")
                step = totp.matching_step(seed, code, now) if owner == user.id else None
                if step is not None and step > int(factor.data["step"]):
                    await unit.second_factors.used(factor.id, now, {**factor.data, "step": step})
                    return True
        digest = digest_of(_plain(code)).hex()
        for factor in factors:
            if factor.kind is FactorKind.RECOVERY and digest in factor.data["digests"]:
                left = [each for each in factor.data["digests"] if each != digest]
                await unit.second_factors.used(factor.id, now, {"digests": left})
                await unit.audit.add(
                    AuditEvent(now, "second_factor.recovery_code_used", user.id, user.id, "", {"left": len(left)})
                )
                return True
        return False

    async def new_recovery_codes(self, user: User, address: str) -> list[str]:
        """Ten fresh recovery codes, told only here; earlier ones end."""
        codes = ["".join(random.choice(_ALPHABET) for _ in range(16)) for _ in range(RECOVERY_CODES)]
        now, digests = self._clock.now(), [digest_of(code).hex() for code in codes]
        factor = SecondFactor(
            new_id(), user.id, FactorKind.RECOVERY, "Recovery codes", {"digests": digests}, created_at=now
        )
        async with self._store.unit() as unit:
            await unit.second_factors.remove_all(user.id, FactorKind.RECOVERY)
            await unit.second_factors.add(factor)
            await unit.audit.add(AuditEvent(now, "second_factor.recovery_codes_made", user.id, user.id, address))
        return ["-".join(code[start : start + 4] for start in range(0, 16, 4)) for code in codes]

    # -- changes ----------------------------------------------------------------------------------------

    async def rename(self, user: User, factor_id: str, name: str) -> None:
        """Give one of the user's another name. Raises NotFound, BadRequest."""
        async with self._store.unit() as unit:
            if not await unit.second_factors.rename(user.id, factor_id, _named(name)):
                raise NotFound("There is no such second factor.")

    async def remove(self, user: User, factor_id: str, address: str) -> None:
        """Take one of the user's own away. Raises NotFound, and Conflict for the last one of who must have one."""
        required, now = await self.must_have_one(user), self._clock.now()
        async with self._store.unit() as unit:
            factors = await unit.second_factors.list(user.id)
            real = [factor.id for factor in factors if factor.kind is not FactorKind.RECOVERY]
            if required and real == [factor_id]:
                raise Conflict("You must have a second factor; add another one before you remove this.")
            if not await unit.second_factors.remove(user.id, factor_id):
                raise NotFound("There is no such second factor.")
            if real == [factor_id]:
                await unit.second_factors.remove_all(user.id)  # recovery codes recover nothing then
            await unit.audit.add(AuditEvent(now, "second_factor.removed", user.id, user.id, address))
        self._recent.clear()

    async def reset(self, user: User, actor: str, address: str = "") -> int:
        """Take all of somebody's away, for administrators whom they ask; their sign-ins end. How many there were.

        The caller has checked that the actor may (`Authority.check_over`).
        """
        now = self._clock.now()
        async with self._store.unit() as unit:
            count = await unit.second_factors.remove_all(user.id)
            await unit.sign_ins.revoke_all(user.id, now)
            await unit.audit.add(AuditEvent(now, "second_factor.reset", actor, user.id, address, {"count": count}))
        self._recent.clear()
        return count

    async def _add(
        self, user: User, kind: FactorKind, name: str, data: dict[str, Any], credential_id: bytes | None, address: str
    ) -> None:
        now = self._clock.now()
        factor = SecondFactor(new_id(), user.id, kind, _named(name), data, now, credential_id)
        async with self._store.unit() as unit:
            if len(await unit.second_factors.list(user.id)) >= MAX_FACTORS:
                raise Conflict(f"You have {MAX_FACTORS} second factors; remove one first.")
            challenge = data.pop("challenge", None)
            if challenge is not None:
                digest = digest_of(passkeys.bytes_of(challenge).hex())
                if not await unit.used_once.use("passkey", digest, now + _REMEMBERED):
                    raise BadRequest("This was used already. Try again.")
                factor = replace(factor, data=data)
            await unit.second_factors.add(factor)
            details: dict[str, str | int | float | bool | None] = {"kind": kind.value}
            await unit.audit.add(AuditEvent(now, "second_factor.added", user.id, user.id, address, details))
        self._recent.clear()

    async def _refused(self, account: str, user_id: str, address: str, reason: str) -> None:
        async with self._store.unit() as unit:
            await self._throttle.failed(unit, account, address)
            event = AuditEvent(self._clock.now(), "sign_in.refused", user_id, user_id, address, {"reason": reason})
            await unit.audit.add(event)


def _credential_ids(factors: list[SecondFactor]) -> list[bytes]:
    return [factor.credential_id for factor in factors if factor.credential_id is not None]


def _named(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise BadRequest(f"A name has 1 to {MAX_NAME_CHARS} characters.")
    return name


def _plain(code: str) -> str:
    return "".join(char for char in code.casefold() if char.isalnum())[:64]
