"""Why a sign-in by a provider did not come about.

ProviderError            never shown itself: `service` makes a HubError of it and logs the cause
├── ProviderSilent       no answer in time, or none that can be used: try again
├── NotBelieved          an answer that may be forged, replayed, or meant for somebody else
├── Declined             the person, or the provider, ended the sign-in
└── NotAllowed           a good answer about somebody whom the settings do not let in
"""

from __future__ import annotations


class ProviderError(Exception):
    """Base. The message is for the log: it holds no secret and nothing longer than a line."""


class ProviderSilent(ProviderError):
    """The provider did not answer in time, or not in a way that can be used."""


class NotBelieved(ProviderError):
    """What came is not believed."""


class Declined(ProviderError):
    """The provider answered with an error; `code` is its word for it, such as ``access_denied``."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the provider answered with the error {code!r}")
        self.code = code


class NotAllowed(ProviderError):
    """The settings do not let this person in; `shown` says why, to them."""

    def __init__(self, shown: str) -> None:
        super().__init__(shown)
        self.shown = shown
