"""The hub's whole route table but for Jupyter's: health, pages, REST API, and what only proxies ask."""

from __future__ import annotations

from tornado.routing import URLSpec

from hub.web import admin, api, culling, health, home, internal, pages, sign_in, static

_ID = r"([0-9a-f-]{1,64})"
_NAME = r"([^/]+)"
_SECRET = r"([A-Za-z0-9_-]{1,128})"  # noqa: S105 - a pattern
_ACTION = r"(invite|delete|sign-out|disable|enable|promote|demote)"


def routes() -> list[URLSpec]:
    """All routes; the first that matches wins."""
    return [
        URLSpec(r"/health/live", health.Live),
        URLSpec(r"/health/ready", health.Ready),
        URLSpec(r"/metrics", health.Metrics),
        # Pages for everybody
        URLSpec(r"/", pages.StartPage),
        URLSpec(r"/hub/?", pages.StartPage),
        URLSpec(r"/hub/static/(.+)", static.StaticFile),
        URLSpec(r"/hub/login", sign_in.SignInPage),
        URLSpec(r"/hub/logout", sign_in.SignOutPage),
        URLSpec(rf"/hub/setup/{_SECRET}", sign_in.SetupPage),
        URLSpec(rf"/hub/invitation/{_SECRET}", sign_in.InvitationPage),
        # Pages for users
        URLSpec(r"/hub/home", home.HomePage),
        URLSpec(r"/hub/home/workspace", home.HomeWorkspace),
        URLSpec(r"/hub/home/stop", home.StopMine),
        URLSpec(r"/hub/home/password", home.ChangePassword),
        URLSpec(r"/hub/home/sign-out-everywhere", home.SignOutEverywhere),
        URLSpec(rf"/hub/home/sign-ins/{_ID}/end", home.EndSignIn),
        URLSpec(r"/hub/token", home.TokensPage),
        URLSpec(rf"/hub/token/{_ID}/revoke", home.RevokeToken),
        URLSpec(r"/hub/spawn(?:/.*)?", pages.NothingToSpawn),
        URLSpec(r"/hub/user-redirect/(.*)", pages.UserRedirect),
        # Pages for administrators
        URLSpec(r"/hub/admin", admin.PeoplePage),
        URLSpec(rf"/hub/admin/users/{_NAME}", admin.PersonPage),
        URLSpec(rf"/hub/admin/users/{_NAME}/{_ACTION}", admin.PersonAction),
        URLSpec(r"/hub/admin/containers", admin.ContainersPage),
        URLSpec(rf"/hub/admin/containers/{_ID}/stop", admin.StopContainer),
        # REST API
        URLSpec(r"/hub/api/?", api.Root),
        URLSpec(r"/hub/api/info", api.Info),
        URLSpec(r"/hub/api/user", api.Self),
        URLSpec(r"/hub/api/users", api.Users),
        URLSpec(rf"/hub/api/users/{_NAME}", api.OneUser),
        URLSpec(rf"/hub/api/users/{_NAME}/server", api.Server),
        URLSpec(rf"/hub/api/users/{_NAME}/culling", culling.CullingHandler),
        URLSpec(rf"/hub/api/users/{_NAME}/tokens", api.UserTokens),
        URLSpec(rf"/hub/api/users/{_NAME}/tokens/{_ID}", api.OneToken),
        *internal_routes(),
        URLSpec(r"/hub/api/.*", api.NoSuchApi),
    ]


def internal_routes() -> list[URLSpec]:
    """What proxies and the supervisor ask; proxies answer 404 to anybody else who asks for these."""
    return [
        URLSpec(r"/internal/route", internal.RouteHandler),
        URLSpec(r"/internal/activity", internal.ActivityHandler),
        URLSpec(r"/internal/welcome", internal.WelcomeHandler),
    ]
