"""Codes of authenticator apps: RFC 6238 with its common parameters, six digits that change every 30 seconds."""

from __future__ import annotations

import hmac
from datetime import datetime

import pyotp
import segno

STEP_SECONDS = 30
DIGITS = 6
DRIFT_STEPS = 1
"""A phone's clock may be off by so many steps, before or after."""
ISSUER = "kernelhub"


def new_seed() -> str:
    """A fresh seed: 160 random bits in base32."""
    return pyotp.random_base32(32)


def matching_step(seed: str, code: str, now: datetime) -> int | None:
    """The step of time whose code this is, None if it is none of now. A step's code counts once, says RFC 6238, 5.2."""
    digits = "".join(code.split())
    if len(digits) != DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    current, generator = int(now.timestamp()) // STEP_SECONDS, pyotp.HOTP(seed)
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        if hmac.compare_digest(generator.at(step), digits):
            return step
    return None


def address_of(seed: str, user_name: str, host: str) -> str:
    """The address that a picture for authenticator apps holds."""
    return pyotp.TOTP(seed).provisioning_uri(name=f"{user_name}@{host}", issuer_name=ISSUER)


def picture_of(address: str) -> str:
    """The address as a QR code: an SVG in a data address, dark on white in any colour scheme."""
    return str(segno.make(address, error="m").svg_data_uri(scale=5, border=4, light="white"))


def grouped(seed: str) -> str:
    """The seed in groups of four, for those who type it."""
    return " ".join(seed[start : start + 4] for start in range(0, len(seed), 4))
