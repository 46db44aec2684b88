"""Where launches lead: paths of this hub and nothing else; pure."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from hub.auth.lti.claims import Launch
from hub.auth.lti.fetching import origin_of
from hub.domain.lti import Target, TargetKind
from hub.http.redirect import safe_redirect

HOME = "/hub/home"
_NO_PLACES = ("/hub/lti/", "/hub/admin", "/hub/api", "/hub/oauth")
"""Pages that no course link leads to: some are steps of a sign-in, some are for administrators."""


def place_of(launch: Launch, target: Target | None, origin: str) -> str:
    """Where a launch leads, a path of this hub; pure. What a teacher chose comes first, then the link's own address."""
    if target is not None:
        if target.kind is TargetKind.GIT:
            return f"/hub/user-redirect/git-pull?{target.path}"
        return "/hub/user-redirect/lab/tree/" + quote(target.path, safe="/")
    return local_target(launch.target_link_uri, origin) or HOME


def local_target(address: str, origin: str) -> str:
    """The path that an address within this hub leads to, "" for the launch address itself and for anything else."""
    if not address or origin_of(address) != origin.lower() or origin_of(address) == "":
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    path = address[len(origin) :] if address.lower().startswith(origin.lower()) else ""
    wanted = safe_redirect(path, "")
    return "" if parts.path.startswith(("/hub/lti/", "/hub/admin", "/hub/api")) else wanted
