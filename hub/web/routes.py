"""The hub's whole route table but for Jupyter's: health, pages, REST API, and what only proxies ask."""

from __future__ import annotations

from tornado.routing import URLSpec

from hub.web import (
    git_pull,
    health,
    internal,
    notebook_choices,
    notebook_diff,
    notebook_state,
    pages,
    static,
    trash,
)
from hub.web.account import home
from hub.web.admin import containers, people
from hub.web.api import culling
from hub.web.api import handlers as api
from hub.web.signing_in import pages as sign_in

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
        URLSpec(r"/hub/home/trash", trash.TrashPage),
        URLSpec(r"/hub/home/trash/restore", trash.RestoreTrashed),
        URLSpec(r"/hub/home/trash/delete", trash.DeleteTrashed),
        URLSpec(r"/hub/home/trash/empty", trash.EmptyTrash),
        URLSpec(r"/hub/home/password", home.ChangePassword),
        URLSpec(r"/hub/home/sign-out-everywhere", home.SignOutEverywhere),
        URLSpec(rf"/hub/home/sign-ins/{_ID}/end", home.EndSignIn),
        URLSpec(r"/hub/token", home.TokensPage),
        URLSpec(rf"/hub/token/{_ID}/revoke", home.RevokeToken),
        URLSpec(r"/hub/spawn(?:/.*)?", pages.NothingToSpawn),
        URLSpec(r"/hub/user-redirect/(.*)", pages.UserRedirect),
        URLSpec(r"/hub/user/.*", pages.OldUserLink),
        URLSpec(r"/user-redirect/.*", pages.ShortUserRedirect),
        URLSpec(rf"/user/{_NAME}/git-pull", git_pull.GitPullPage),
        URLSpec(rf"/user/{_NAME}/git-pull/{_ID}", git_pull.GitPullProgress),
        URLSpec(r"/hub/home/notebooks", notebook_choices.NotebookChoicesPage),
        URLSpec(r"/hub/home/notebooks/all", notebook_choices.ChooseForAll),
        URLSpec(r"/hub/home/notebooks/folder", notebook_choices.ChooseForFolder),
        URLSpec(rf"/user/{_NAME}/diff", notebook_diff.NotebookDiffPage),
        URLSpec(rf"/user/{_NAME}/state", notebook_state.NotebookStatePage),
        # Pages for administrators
        URLSpec(r"/hub/admin", people.PeoplePage),
        URLSpec(rf"/hub/admin/users/{_NAME}", people.PersonPage),
        URLSpec(rf"/hub/admin/users/{_NAME}/{_ACTION}", people.PersonAction),
        URLSpec(r"/hub/admin/containers", containers.ContainersPage),
        URLSpec(rf"/hub/admin/containers/{_ID}/stop", containers.StopContainer),
        # REST API
        URLSpec(r"/hub/api/?", api.Root),
        URLSpec(r"/hub/api/info", api.Info),
        URLSpec(r"/hub/api/user", api.Self),
        URLSpec(r"/hub/api/users", api.Users),
        URLSpec(rf"/hub/api/users/{_NAME}", api.OneUser),
        URLSpec(rf"/hub/api/users/{_NAME}/server", api.Server),
        URLSpec(rf"/hub/api/users/{_NAME}/servers/{_NAME}", api.Server),
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
