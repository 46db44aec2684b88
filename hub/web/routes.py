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
from hub.web.account import export, home, missed, my_notices, security, tokens
from hub.web.admin import (
    audit,
    containers,
    groups,
    history,
    messages,
    now,
    people,
    person,
    profiles,
    registrations,
    removed,
    roster,
    settings,
    views,
)
from hub.web.api.routes import api_routes, no_such_api
from hub.web.lti.routes import lti_routes
from hub.web.signing_in import confirm, oidc, register, second_factor
from hub.web.signing_in import pages as sign_in

_ID = r"([0-9a-f-]{1,64})"
_NAME = r"([^/]+)"
_SECRET = r"([A-Za-z0-9_-]{1,128})"  # noqa: S105 - a pattern
_PROVIDER = r"([a-z0-9-]{1,32})"


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
        URLSpec(r"/hub/login/second", second_factor.SecondFactorPage),
        URLSpec(r"/hub/login/passkey", second_factor.PasskeySignIn),
        URLSpec(r"/hub/login/passkey-question", second_factor.PasskeyQuestion),
        URLSpec(r"/hub/register", register.RegisterPage),
        URLSpec(r"/hub/confirm", confirm.ConfirmPage),
        URLSpec(r"/hub/account/security", security.SecurityPage),
        URLSpec(r"/hub/account/security/app", security.AddApp),
        URLSpec(r"/hub/account/security/passkey", security.AddPasskey),
        URLSpec(r"/hub/account/security/codes", security.NewRecoveryCodes),
        URLSpec(rf"/hub/account/security/{_ID}/(rename|remove)", security.ChangeFactor),
        URLSpec(r"/hub/admin/registrations", registrations.RegistrationsPage),
        URLSpec(rf"/hub/admin/registrations/{_ID}/(approve|refuse)", registrations.DecideRegistration),
        URLSpec(rf"/hub/setup/{_SECRET}", sign_in.SetupPage),
        URLSpec(rf"/hub/invitation/{_SECRET}", sign_in.InvitationPage),
        # Sign-in by providers
        URLSpec(r"/hub/oauth/unlink", oidc.Unlink),
        URLSpec(rf"/hub/oauth/{_PROVIDER}/start", oidc.StartSignIn),
        URLSpec(rf"/hub/oauth/{_PROVIDER}/link", oidc.StartLink),
        URLSpec(rf"/hub/oauth/{_PROVIDER}/confirm", oidc.StartPresence),
        URLSpec(rf"/hub/oauth/{_PROVIDER}/callback", oidc.Callback),
        URLSpec(rf"/hub/oauth/{_PROVIDER}/logout", oidc.SignedOutThere),
        URLSpec(rf"/hub/oauth/{_PROVIDER}/backchannel", oidc.BackchannelLogout),
        # Pages for users
        URLSpec(r"/hub/home", home.HomePage),
        URLSpec(r"/hub/home/workspace", home.HomeWorkspace),
        URLSpec(r"/hub/home/events", home.HomeEvents),
        URLSpec(rf"/hub/home/lines/{_ID}", home.HomeLines),
        URLSpec(r"/hub/home/start", home.StartMine),
        URLSpec(r"/hub/home/stop", home.StopMine),
        URLSpec(rf"/hub/home/kernels/{_ID}/(interrupt|restart|stop)", home.MyKernelAction),
        URLSpec(r"/hub/home/notices", my_notices.NoticesHandler),
        URLSpec(rf"/hub/home/messages/{_ID}/dismiss", my_notices.DismissMessage),
        URLSpec(rf"/hub/home/keep/{_ID}", my_notices.KeepMine),
        URLSpec(r"/hub/home/export", export.ExportMine),
        URLSpec(r"/hub/home/missed", missed.MissedPage),
        URLSpec(r"/hub/home/missed/delete", missed.DeleteMissed),
        URLSpec(r"/hub/home/missed/empty", missed.EmptyMissed),
        URLSpec(r"/hub/home/missed/all", missed.AllMissed),
        URLSpec(rf"/hub/home/missed/{_ID}", missed.MissedDownload),
        URLSpec(r"/hub/home/trash", trash.TrashPage),
        URLSpec(r"/hub/home/trash/restore", trash.RestoreTrashed),
        URLSpec(r"/hub/home/trash/delete", trash.DeleteTrashed),
        URLSpec(r"/hub/home/trash/empty", trash.EmptyTrash),
        URLSpec(r"/hub/home/password", home.ChangePassword),
        URLSpec(r"/hub/home/sign-out-everywhere", home.SignOutEverywhere),
        URLSpec(rf"/hub/home/sign-ins/{_ID}/end", home.EndSignIn),
        URLSpec(r"/hub/token", tokens.TokensPage),
        URLSpec(rf"/hub/token/{_ID}/revoke", tokens.RevokeToken),
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
        URLSpec(r"/hub/admin", now.NowPage),
        URLSpec(r"/hub/admin/now/events", now.NowEvents),
        URLSpec(r"/hub/admin/now/lines/(\w{1,64})", now.NowLines),
        URLSpec(r"/hub/admin/people", people.PeoplePage),
        URLSpec(r"/hub/admin/people/bulk", people.BulkAction),
        URLSpec(r"/hub/admin/people/import", roster.RosterPage),
        URLSpec(r"/hub/admin/people/removed", removed.RemovedPage),
        URLSpec(rf"/hub/admin/people/removed/{_ID}/(restore|delete)", removed.RemovedAction),
        URLSpec(rf"/hub/admin/users/{_NAME}", person.PersonPage),
        URLSpec(rf"/hub/admin/users/{_NAME}/({person.ACTIONS})", person.PersonAction),
        URLSpec(r"/hub/admin/groups", groups.GroupsPage),
        URLSpec(rf"/hub/admin/groups/{_NAME}", groups.GroupPage),
        URLSpec(rf"/hub/admin/groups/{_NAME}/({groups.ACTIONS})", groups.GroupAction),
        URLSpec(rf"/hub/admin/users/{_NAME}/message", messages.MessagePage),
        URLSpec(rf"/hub/admin/users/{_NAME}/view", views.ViewPage),
        URLSpec(rf"/hub/admin/users/{_NAME}/view/file", views.ViewFile),
        URLSpec(rf"/hub/admin/users/{_NAME}/view/close", views.CloseView),
        URLSpec(rf"/hub/admin/users/{_NAME}/kernels/{_ID}/(interrupt|restart|stop)", containers.KernelAction),
        URLSpec(r"/hub/admin/history", history.HistoryPage),
        URLSpec(r"/hub/admin/history/([a-z]{1,20})\.csv", history.HistoryFile),
        URLSpec(r"/hub/admin/audit", audit.AuditPage),
        URLSpec(r"/hub/admin/audit\.(csv|jsonl)", audit.AuditFile),
        URLSpec(r"/hub/admin/settings", settings.SettingsPage),
        URLSpec(r"/hub/admin/settings/([a-z_]{1,40})", settings.SettingForm),
        URLSpec(r"/hub/admin/profiles", profiles.ProfilesPage),
        URLSpec(r"/hub/admin/profiles/new", profiles.NewProfile),
        URLSpec(rf"/hub/admin/profiles/{_NAME}", profiles.OneProfile),
        URLSpec(rf"/hub/admin/profiles/{_NAME}/(enable|disable|delete)", profiles.ProfileAction),
        URLSpec(r"/hub/admin/containers", containers.OldContainersPage),
        URLSpec(rf"/hub/admin/containers/{_ID}/stop", containers.StopContainer),
        *lti_routes(),
        # REST API
        *api_routes(),
        *internal_routes(),
        no_such_api(),
    ]


def internal_routes() -> list[URLSpec]:
    """What proxies and the supervisor ask; proxies answer 404 to anybody else who asks for these."""
    return [
        URLSpec(r"/internal/route", internal.RouteHandler),
        URLSpec(r"/internal/activity", internal.ActivityHandler),
        URLSpec(r"/internal/ends", internal.EndsHandler),
        URLSpec(r"/internal/thaw", internal.ThawHandler),
        URLSpec(r"/internal/welcome", internal.WelcomeHandler),
    ]
