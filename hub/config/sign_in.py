"""How people sign in: what the hub's own accounts need, and a gateway's word for who somebody is."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from hub.config.values import Section

Registration = Literal["closed", "approval", "open"]
SecondFactor = Literal["optional", "administrators", "everybody"]
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}\Z")
_TAKEN = frozenset({"authorization", "connection", "content-length", "content-type", "cookie", "host", "origin"})
_TAKEN_PREFIXES = ("sec-", "x-forwarded-", "x-kernelhub-", "x-request-id", "x-xsrf")


class HeaderSignIn(Section):
    """Sign-in by a gateway of one's own that says in a header who somebody is. Off without `header`."""

    header: str = Field("", description="Header with the user's name, such as `X-Remote-User`; empty: off.")
    addresses: list[str] = Field(
        [], description="Addresses or networks of the gateways; the header is dropped from everybody else's requests."
    )
    groups_header: str = Field("", description="Header with names of groups, separated by commas; empty: none.")
    issuer: str = Field("gateway", description="Under which these people are known; not to be changed later.")
    new_users: bool = Field(True, description="Whether people whom the hub does not know yet may come in.")

    @field_validator("header", "groups_header")
    @classmethod
    def _is_a_header(cls, name: str) -> str:
        lower = name.lower()
        if name and (not _HEADER.match(name) or lower in _TAKEN or lower.startswith(_TAKEN_PREFIXES)):
            raise ValueError(f"{name!r} cannot be the name of this header")
        return name

    @field_validator("addresses")
    @classmethod
    def _are_networks(cls, addresses: list[str]) -> list[str]:
        for address in addresses:
            network = ipaddress.ip_network(address, strict=False)
            if network.prefixlen == 0:
                raise ValueError(f"{address} is everybody; name the gateways' own addresses")
        return addresses

    @model_validator(mode="after")
    def _needs_addresses(self) -> HeaderSignIn:
        if bool(self.header) != bool(self.addresses):
            raise ValueError("header and addresses belong together: a header from anybody would let in anybody")
        if self.groups_header and not self.header:
            raise ValueError("groups_header needs header")
        return self
