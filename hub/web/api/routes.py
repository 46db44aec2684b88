"""The API's routes; openapi.yaml describes each of them, which a test holds."""

from __future__ import annotations

from tornado.routing import URLSpec

from hub.web.api import culling, documentation, groups, info, kernels, quota, records, servers, tokens, users

_ID = r"([0-9a-f-]{1,64})"
_NAME = r"([^/]+)"


def api_routes() -> list[URLSpec]:
    """All routes below ``/hub/api``, and the page that shows what they do; the first that matches wins."""
    user, group = rf"/hub/api/users/{_NAME}", rf"/hub/api/groups/{_NAME}"
    return [
        URLSpec(r"/hub/api-docs", documentation.DocumentationPage),
        URLSpec(r"/hub/api/?", info.Root),
        URLSpec(r"/hub/api/openapi\.(json|yaml)", documentation.Specification),
        URLSpec(r"/hub/api/info", info.Info),
        URLSpec(r"/hub/api/health", info.Health),
        URLSpec(r"/hub/api/services", info.ServicesList),
        URLSpec(r"/hub/api/proxy", info.Proxy),
        URLSpec(r"/hub/api/shutdown", info.ShutdownHub),
        URLSpec(r"/hub/api/user", users.Self),
        URLSpec(r"/hub/api/users", users.Users),
        URLSpec(user, users.OneUser),
        URLSpec(rf"{user}/activity", users.UserActivity),
        URLSpec(rf"{user}/server", servers.Server),
        URLSpec(rf"{user}/server/progress", servers.ServerProgress),
        URLSpec(rf"{user}/servers/{_NAME}", servers.Server),
        URLSpec(rf"{user}/servers/{_NAME}/progress", servers.ServerProgress),
        URLSpec(rf"{user}/culling", culling.CullingHandler),
        URLSpec(rf"{user}/culling/postpone", culling.Postpone),
        URLSpec(rf"{user}/culling/rules", culling.UserRules),
        URLSpec(rf"{user}/kernels", kernels.KernelsHandler),
        URLSpec(rf"{user}/quota", quota.QuotaHandler),
        URLSpec(rf"{user}/tokens", tokens.UserTokens),
        URLSpec(rf"{user}/tokens/{_ID}", tokens.OneToken),
        URLSpec(r"/hub/api/groups", groups.GroupsList),
        URLSpec(group, groups.OneGroup),
        URLSpec(rf"{group}/users", groups.GroupUsers),
        URLSpec(rf"{group}/owners", groups.GroupOwners),
        URLSpec(rf"{group}/properties", groups.GroupProperties),
        URLSpec(rf"{group}/culling", culling.GroupRulesHandler),
        URLSpec(rf"{group}/culling/owners", culling.OwnersRulesHandler),
        URLSpec(r"/hub/api/audit", records.AuditHandler),
        URLSpec(r"/hub/api/history", records.HistoryHandler),
        URLSpec(r"/hub/api/settings", records.SettingsHandler),
        URLSpec(rf"/hub/api/settings/{_NAME}", records.OneSetting),
        URLSpec(r"/hub/api/profiles", records.ProfilesHandler),
        URLSpec(rf"/hub/api/profiles/{_NAME}", records.OneProfile),
    ]


def no_such_api() -> URLSpec:
    """Anything else below ``/hub/api``; last of all routes."""
    return URLSpec(r"/hub/api/.*", info.NoSuchApi)
