"""How often the REST API may be asked."""

from __future__ import annotations

from pydantic import Field

from hub.config.values import Section


class RateLimits(Section):
    """Requests to ``/hub/api`` in a minute; more are answered 429, with the time to wait. 0: no limit."""

    requests: int = Field(1200, ge=0, description="Of one token or sign-in.")
    requests_from_address: int = Field(6000, ge=0, description="From one address, whoever asks.")
    tokens: int = Field(
        30, ge=0, description="That make a token: of one token or sign-in, or from one address by name and password."
    )
