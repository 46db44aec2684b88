"""The hub's errors: one tree, each with a stable code and one sentence that says what to do.

    HubError
    ├── BadRequest            400  request.invalid
    │   ├── NotebookInvalid   400  notebook.invalid
    │   ├── PasswordRefused   400  auth.password_refused
    │   └── UnknownKernelspec 501  kernelspec.unknown
    ├── NotSignedIn           403  auth.required
    ├── Forbidden             403  auth.forbidden
    │   ├── RequestForged     403  auth.forged
    │   └── WrongPassword     403  auth.wrong_password
    ├── NotFound              404  not_found
    ├── Conflict              409  conflict
    ├── LinkExpired           410  auth.link_expired
    ├── TooLarge              413  request.too_large
    ├── TooManyRequests       429  request.too_many
    ├── Unavailable           503  unavailable
    │   ├── EngineSilent      503  engine.silent
    │   ├── AgentSilent       503  agent.silent
    │   └── StoreUnavailable  503  store.unavailable
    ├── StartFailed           500  workspace.start_failed
    │   ├── ImageMissing      500  workspace.image_missing
    │   └── NoKernels         500  workspace.no_kernels
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


class NotFound(HubError):
    """The thing does not exist, or the asker may not know that it does."""

    code = "not_found"
    status = 404


class Conflict(HubError):
    """Something of that name exists, or the state forbids it."""

    code = "conflict"
    status = 409


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


class NoSpace(HubError):
    """The disk, or the user's share of it, is full. The old file is intact."""

    code = "disk.full"
    status = 507
