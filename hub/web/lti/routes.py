"""The routes of learning platforms."""

from __future__ import annotations

from tornado.routing import URLSpec

from hub.web.lti import admin, chooser, launch, tool

_ID = r"([0-9a-f-]{1,64})"
_SECRET = r"([A-Za-z0-9_-]{1,128})"  # noqa: S105 - a pattern
_ACTION = r"(deployments|test|roster|score|delete)"


def lti_routes() -> list[URLSpec]:
    """What platforms and people who come from them ask for, and the administrators' pages."""
    return [
        URLSpec(r"/hub/lti/login", launch.LtiLogin),
        URLSpec(r"/hub/lti/launch", launch.LtiLaunch),
        URLSpec(r"/hub/lti/continue", launch.LtiContinue),
        URLSpec(r"/hub/lti/choose", chooser.LtiChoose),
        URLSpec(r"/hub/lti/keys", tool.LtiKeys),
        URLSpec(r"/hub/lti/config", tool.LtiConfiguration),
        URLSpec(r"/hub/lti/canvas", tool.LtiCanvasConfiguration),
        URLSpec(rf"/hub/lti/register/{_SECRET}", tool.LtiRegister),
        URLSpec(r"/hub/admin/platforms", admin.PlatformsPage),
        URLSpec(r"/hub/admin/platforms/invite", admin.InvitePlatform),
        URLSpec(r"/hub/admin/platforms/key", admin.RotatePlatformKey),
        URLSpec(rf"/hub/admin/platforms/{_ID}", admin.PlatformPage),
        URLSpec(rf"/hub/admin/platforms/{_ID}/{_ACTION}", admin.PlatformAction),
    ]
