"""The hub's errors: one tree, each with a stable code and one sentence that says what to do.

    HubError
    ├── BadRequest            400  request.invalid
    │   ├── NotebookInvalid   400  notebook.invalid
    │   ├── PasswordRefused   400  auth.password_refused
    │   └── UnknownKernelspec 501  kernelspec.unknown
    ├── NotSignedIn           403  auth.required
    ├── Forbidden             403  auth.forbidden
    │   ├── RequestForged     403  auth.forged
    │   ├── WrongPassword     403  auth.wrong_password
    │   ├── LaunchRefused     403  lti.launch_refused
    │   ├── NotAdmitted       403  auth.not_admitted
    │   └── PresenceRequired  403  auth.presence_required
    ├── NotFound              404  not_found
    ├── MethodNotAllowed      405  request.method_not_allowed
    ├── Conflict              409  conflict
    │   └── QuotaExceeded     409  quota.exceeded
    ├── LinkExpired           410  auth.link_expired
    ├── TooLarge              413  request.too_large
    ├── UnsupportedMedia      415  request.unsupported_media
    ├── TooManyRequests       429  request.too_many
    ├── Unavailable           503  unavailable
    │   ├── EngineSilent      503  engine.silent
    │   ├── AgentSilent       503  agent.silent
    │   ├── PlatformSilent    503  lti.platform_silent
    │   └── StoreUnavailable  503  store.unavailable
    ├── StartFailed           500  workspace.start_failed
    │   ├── ImageMissing      500  workspace.image_missing
    │   ├── NoKernels         500  workspace.no_kernels
    │   └── SpawnerRefused    500  workspace.spawner_refused
    └── NoSpace               507  disk.full

`status` is the HTTP status, the only place where it is said. The message is shown to users; what caused it is
chained (``raise … from error``) and goes to the log.
"""

from __future__ import annotations

REFUSED_TO_START = 2
"""Exit status of a process that says: the configuration is wrong, starting again would not help."""


class HubError(Exception):
    """Base of all errors that are meant to be shown. `message` is one sentence for a person."""

    code = "hub.error"
    status = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(HubError):
    """The request cannot be understood or is out of bounds."""

    code = "request.invalid"
    status = 400


class NotebookInvalid(BadRequest):
    """A notebook that does not follow its format; nothing was written."""

    code = "notebook.invalid"


class PasswordRefused(BadRequest):
    """The password that somebody chose is too short, too long or too easily guessed."""

    code = "auth.password_refused"


class UnknownKernelspec(BadRequest):
    """The image has no kernelspec of that name."""

    code = "kernelspec.unknown"
    status = 501


class NotSignedIn(HubError):
    """No valid credentials: Jupyter clients expect 403 here, not 401."""

    code = "auth.required"
    status = 403


class Forbidden(HubError):
    """Valid credentials that do not permit this, or a request that may be forged."""

    code = "auth.forbidden"
    status = 403


class RequestForged(Forbidden):
    """A state-changing request without proof that one of our own pages made it."""

    code = "auth.forged"


class WrongPassword(Forbidden):
    """Name and password do not belong together, or the account may not sign in."""

    code = "auth.wrong_password"


class LaunchRefused(Forbidden):
    """A learning platform's launch that is not believed, too old, or used already; `reason` is for the log."""

    code = "lti.launch_refused"

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class NotAdmitted(Forbidden):
    """A provider knows this person, but the hub does not let them in."""

    code = "auth.not_admitted"


class PresenceRequired(Forbidden):
    """The browser's sign-in alone is not enough: its owner must prove that they sit there."""

    code = "auth.presence_required"


class NotFound(HubError):
    """The thing does not exist, or the asker may not know that it does."""

    code = "not_found"
    status = 404


class MethodNotAllowed(HubError):
    """The address exists, but not with this method; the answer's Allow header names those that it knows."""

    code = "request.method_not_allowed"
    status = 405


class Conflict(HubError):
    """Something of that name exists, or the state forbids it."""

    code = "conflict"
    status = 409


class QuotaExceeded(Conflict):
    """Somebody has as much already as they may have at once, or in seven days."""

    code = "quota.exceeded"


class KernelNotReady(Conflict):
    """A kernel that starts, restarts or has died cannot do this now."""

    code = "kernel.not_ready"


class LinkExpired(HubError):
    """A one-time link that was used, replaced or is too old."""

    code = "auth.link_expired"
    status = 410


class TooLarge(HubError):
    """The request's body is over its limit."""

    code = "request.too_large"
    status = 413


class UnsupportedMedia(HubError):
    """The request's body is declared as something else than is understood here."""

    code = "request.unsupported_media"
    status = 415


class TooManyRequests(HubError):
    """Slow down; `retry_after_seconds` says for how long."""

    code = "request.too_many"
    status = 429

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(HubError):
    """Try again: something the answer depends on did not respond."""

    code = "unavailable"
    status = 503


class EngineSilent(Unavailable):
    """The container engine did not answer. Nothing is concluded from that."""

    code = "engine.silent"


class AgentSilent(Unavailable):
    """The agent of a workspace did not answer in time."""

    code = "agent.silent"


class PlatformSilent(Unavailable):
    """A learning platform did not answer, or not in a way that can be used."""

    code = "lti.platform_silent"


class StoreUnavailable(Unavailable):
    """The database did not answer."""

    code = "store.unavailable"


class StartFailed(HubError):
    """A workspace could not be started."""

    code = "workspace.start_failed"


class ImageMissing(StartFailed):
    """The profile's image is not on this engine."""

    code = "workspace.image_missing"


class NoKernels(StartFailed):
    """The image has no kernelspec, or no Python with pyzmq to run the agent."""

    code = "workspace.no_kernels"


class SpawnerRefused(StartFailed):
    """The spawner, which alone may use the engine, refuses what it was asked for; its log has it, too."""

    code = "workspace.spawner_refused"


class NoSpace(HubError):
    """The disk, or the user's share of it, is full. The old file is intact."""

    code = "disk.full"
    status = 507
