"""``/hub/admin/settings``: what can be set while the hub runs."""

from __future__ import annotations

from typing import Any, ClassVar

from hub.config import Culling
from hub.config.announcement import MAX_ANNOUNCEMENT_CHARS, Announcement
from hub.config.limits import DefaultLimits
from hub.config.values import Section
from hub.domain.scopes import Scope
from hub.errors import BadRequest, Conflict, HubError
from hub.running_settings import DefaultProfile, RegistrationSetting
from hub.web.admin.page import AdminPage
from hub.web.culling_forms import read_quiet_field
from hub.web.setting_forms import (
    WrongForm,
    made,
    moment_text,
    read_moment,
    read_size,
    size_text,
    span_or_never,
    span_text,
)

_SAVED = {
    "announcement": "The announcement was saved.",
    "registration": "Who may make an account was saved.",
    "culling": "When idle things end was saved.",
    "limits": "How much everybody may have was saved.",
    "default_profile": "The default profile was saved.",
}
_CULLING_SPANS = ("kernel_idle", "workspace_empty", "max_age", "kernel_stuck", "pause_after")
_CULLING_LEAVES = ("warning", "postpone", "postpone_total")
REGISTRATION = (
    ("closed", "Closed", "Administrators add people, or providers do."),
    ("approval", "By approval", "Anybody may ask for an account; an administrator decides."),
    ("open", "Open", "Anybody who reaches this page may make an account."),
)


class SettingsPage(AdminPage):
    """The page."""

    active = "settings"
    permission: ClassVar[Scope | None] = Scope.ADMIN_SETTINGS

    async def get(self) -> None:
        """Show every setting; what is fixed says where."""
        saved = _SAVED.get(self.get_query_argument("saved", ""), "")
        await self.show_settings(done=saved)

    async def show_settings(
        self,
        done: str = "",
        section: str = "",
        error: HubError | None = None,
        mistakes: dict[str, str] | None = None,
        typed: dict[str, str] | None = None,
    ) -> None:
        """The page, with what was typed and is wrong in one of its sections."""
        current = self.services.running.current
        async with self.services.store.reading() as unit:
            groups = [group.name for group in await unit.groups.list()]
        self.show(
            "settings.html",
            error.status if error else 200,
            done=done,
            problem=error.message if error else "",
            wrong=section,
            mistakes=mistakes or {},
            typed=typed or {},
            current=current,
            fixed=current.fixed,
            fields=_fields(current.announcement, current.culling, current.limits),
            registration=REGISTRATION,
            profiles=[name for name, profile in current.profiles.items() if profile.is_for_everybody],
            groups=groups,
            longest=MAX_ANNOUNCEMENT_CHARS,
            shown_now=current.announcement.is_shown(self.services.clock.now()),
        )


class SettingForm(SettingsPage):
    """``/hub/admin/settings/<section>``."""

    async def get(self, section: str = "") -> None:
        """The forms are on the page."""
        self.redirect("/hub/admin/settings")

    async def post(self, section: str) -> None:
        """Save a section; what is wrong is shown at its field."""
        names = {"announcement", "registration", "culling", "limits", "default_profile"}
        if section not in names:
            raise BadRequest("There is no such setting.")
        typed = {name: self.field(name) for name in self.request.body_arguments if name != "_xsrf"}
        try:
            value = self._read(section, typed)
            await self.services.running.set(section, value, self.identity.user.id, self.address)
        except WrongForm as error:
            wrong = BadRequest("Nothing was saved: some of this is not right.")
            await self.show_settings(section=section, error=wrong, mistakes=error.mistakes, typed=typed)
        except (BadRequest, Conflict) as error:
            await self.show_settings(section=section, error=error, typed=typed)
        else:
            self.redirect(f"/hub/admin/settings?saved={section}#{section}")

    def _read(self, section: str, typed: dict[str, str]) -> Section:
        running = self.services.running
        if section == "registration":
            return made(RegistrationSetting, {"mode": typed.get("mode", "")})
        if section == "default_profile":
            return made(DefaultProfile, {"name": typed.get("name", "")})
        if section == "culling":
            present = running.current.culling
            values: dict[str, Any] = present.model_dump()
            free = [name for name in values if f"culling.{name}" not in running.current.fixed]
            values |= {name: value for name, value in _culling_values(typed).items() if name in free}
            return made(Culling, values)
        mistakes: dict[str, str] = {}
        if section == "limits":
            return self._read_limits(typed)
        if typed.get("clear"):
            return Announcement()
        moments = {}
        for name in ("since", "until"):
            try:
                moments[name] = read_moment(typed.get(name, ""))
            except ValueError:
                mistakes[name] = "write it as 2026-11-22T18:00"
        text = " ".join(typed.get("text", "").split())
        values = {"text": text, "kind": typed.get("kind", "info"), "group": typed.get("group", ""), **moments}
        return made(Announcement, values, mistakes)

    def _read_limits(self, typed: dict[str, str]) -> DefaultLimits:
        current, mistakes = self.services.running.current, {}
        values: dict[str, Any] = current.limits.model_dump()
        for name in values:
            if f"limits.{name}" in current.fixed:
                continue
            text = typed.get(name, "").strip().replace(",", ".")
            values[name] = text or None
            if name == "disk_bytes":
                try:
                    values[name] = read_size(text)
                except ValueError as error:
                    mistakes[name] = str(error)
        return made(DefaultLimits, values, mistakes)


def _culling_values(typed: dict[str, str]) -> dict[str, Any]:
    """The section `culling` as the form describes it; what it has no field for stays as it was."""
    values: dict[str, Any] = {name: span_or_never(typed[name]) for name in _CULLING_SPANS if name in typed}
    values |= {
        name: span_or_never(typed[name]) or "0" for name in ("warning", "postpone", "postpone_total") if name in typed
    }
    values["cull_connected"] = bool(typed.get("cull_connected"))
    if "busy_cpu" in typed:
        values["busy_cpu"] = typed["busy_cpu"].strip().replace(",", ".") or None
    if "postpone_times" in typed:
        values["postpone_times"] = typed["postpone_times"].strip() or 0
    if "quiet_hours" in typed:
        values["quiet_hours"] = read_quiet_field(typed["quiet_hours"]) or []
        values["time_zone"] = typed.get("time_zone", "").strip() or "UTC"
    return values


def _fields(announcement: Announcement, culling: Culling, limits: DefaultLimits) -> dict[str, str]:
    return {
        "text": announcement.text,
        "kind": announcement.kind,
        "since": moment_text(announcement.since),
        "until": moment_text(announcement.until),
        "group": announcement.group,
        **{name: span_text(getattr(culling, name)) for name in _CULLING_SPANS},
        **{name: span_text(getattr(culling, name)) for name in _CULLING_LEAVES},
        "postpone_times": str(culling.postpone_times),
        "busy_cpu": f"{culling.busy_cpu:g}" if culling.busy_cpu else "",
        "quiet_hours": "\n".join(culling.quiet_hours),
        "time_zone": culling.time_zone,
        "containers": str(limits.containers or ""),
        "kernels": str(limits.kernels or ""),
        "hours_per_week": f"{limits.hours_per_week:g}" if limits.hours_per_week else "",
        "disk_bytes": size_text(limits.disk_bytes),
    }
