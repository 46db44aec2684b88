"""``/hub/admin/profiles``: what people may start, made and changed while the hub runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

from hub.config import Profile
from hub.config.culling import CullingRules
from hub.domain.audit import AuditEvent
from hub.domain.scopes import Scope
from hub.errors import BadRequest, Conflict, HubError, NotFound
from hub.image_names import IMAGES, tag_of
from hub.running_settings import PROFILE_PREFIX
from hub.web.admin.page import AdminPage
from hub.web.culling_forms import read_rules_form, rules_fields
from hub.web.setting_forms import WrongForm, profile_fields, read_profile
from hub.workspaces.image_kernelspecs import KernelspecList

_SAVED = {
    "saved": "The profile was saved. Containers that run keep what they began with until they are started anew.",
    "deleted": "The profile was deleted. Its containers run on until they are stopped.",
    "disabled": "The profile was turned off: nobody can start it.",
    "enabled": "The profile was turned on.",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A profile in the list. `fixed`: where it is set, if not here."""

    name: str
    profile: Profile
    fixed: str
    enabled: bool
    is_default: bool
    containers: int


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of trying a profile out: its kernels, or why there are none."""

    kernels: list[tuple[str, str]]
    problem: str = ""


class ProfilesBase(AdminPage):
    """What the pages share."""

    active = "profiles"
    permission: ClassVar[Scope | None] = Scope.ADMIN_PROFILES

    def known(self) -> dict[str, Profile]:
        """All profiles, those that are turned off last."""
        current = self.services.running.current
        return {**current.profiles, **current.disabled}

    def get_profile(self, name: str) -> Profile:
        """The profile of that name. Raises NotFound."""
        profile = self.known().get(name)
        if profile is None:
            raise NotFound(f"There is no profile {name[:64]!r}.")
        return profile

    async def images(self) -> list[str]:
        """Names of images to choose from: those of profiles, those that kernelhub builds, and what the engine has."""
        found = {profile.image for profile in self.known().values()} | {tag_of(image) for image in IMAGES}
        return sorted(found | set(await self.services.kernelspecs.images()))

    async def show_form(
        self,
        name: str,
        fields: dict[str, str],
        *,
        is_new: bool,
        error: HubError | None = None,
        mistakes: dict[str, str] | None = None,
        tried: Tried | None = None,
    ) -> None:
        """The form of one profile."""
        current = self.services.running.current
        async with self.services.store.reading() as unit:
            groups = [group.name for group in await unit.groups.list()]
        self.show(
            "profile.html",
            error.status if error else 200,
            name=name,
            fields=fields,
            is_new=is_new,
            enabled=is_new or name in current.profiles,
            is_default=name == current.default_profile,
            fixed=current.fixed.get(PROFILE_PREFIX + name, "") if not is_new else "",
            images=await self.images(),
            allowed_images=self.services.settings.spawning.allowed_images,
            groups=groups,
            problem=error.message if error else "",
            mistakes=mistakes or {},
            tried=tried,
        )

    def form(self) -> dict[str, str]:
        """What was typed."""
        return {name: self.field(name, 16_384) for name in self.request.body_arguments if name != "_xsrf"}


class ProfilesPage(ProfilesBase):
    """The list."""

    async def get(self) -> None:
        """All profiles, and how many containers each has."""
        current = self.services.running.current
        async with self.services.store.reading() as unit:
            running = await unit.lives.count_open_by_profile()
        shown = [
            Shown(
                name,
                profile,
                current.fixed.get(PROFILE_PREFIX + name, ""),
                name in current.profiles,
                name == current.default_profile,
                running.get(name, 0),
            )
            for name, profile in self.known().items()
        ]
        self.show("profiles.html", profiles=shown, done=_SAVED.get(self.get_query_argument("done", ""), ""))


class NewProfile(ProfilesBase):
    """``/hub/admin/profiles/new``, also as a copy of another (``?copy=``)."""

    async def get(self) -> None:
        """An empty form, or one like another profile's."""
        copied = self.get_query_argument("copy", "")
        original = self.get_profile(copied) if copied else Profile()
        await self.show_form("", fields_of(original), is_new=True)

    async def post(self) -> None:
        """Add it, or try it out."""
        typed = self.form()
        name = typed.get("name", "").strip()
        if name in self.known():
            error = Conflict(f"There is a profile {name[:64]!r} already; choose another name.")
            await self.show_form(name, typed, is_new=True, error=error)
            return
        await save_or_try(self, name, typed, is_new=True)


class OneProfile(ProfilesBase):
    """``/hub/admin/profiles/<name>``."""

    async def get(self, name: str) -> None:
        """The form, or what is fixed."""
        await self.show_form(name, fields_of(self.get_profile(name)), is_new=False)

    async def post(self, name: str) -> None:
        """Change it, or try it out."""
        self.get_profile(name)
        await save_or_try(self, name, self.form(), is_new=False)


class ProfileAction(ProfilesBase):
    """``/hub/admin/profiles/<name>/(enable|disable|delete)``."""

    async def get(self, name: str, action: str = "") -> None:
        """The buttons are on the profile's page."""
        self.redirect(f"/hub/admin/profiles/{quote(name)}")

    async def post(self, name: str, action: str) -> None:
        """Turn it on or off, or delete it."""
        profile = self.get_profile(name)
        running, actor = self.services.running, self.identity.user.id
        try:
            if action == "delete":
                await running.delete_profile(name, actor, self.address)
            else:
                await running.save_profile(name, profile, actor, self.address, disabled=action == "disable")
        except (BadRequest, Conflict) as error:
            await self.show_form(name, fields_of(profile), is_new=False, error=error)
            return
        self.redirect(f"/hub/admin/profiles?done={action}d")


def fields_of(profile: Profile) -> dict[str, str]:
    """A profile as its form has it, with when its idle things end."""
    return {**profile_fields(profile), **rules_fields(profile.culling)}


def profile_of(typed: dict[str, str], known: Profile | None) -> Profile:
    """The profile that the form describes. Raises WrongForm with the mistakes of all fields."""
    mistakes: dict[str, str] = {}
    profile, rules = None, CullingRules()
    try:
        profile = read_profile(typed, known)
    except WrongForm as error:
        mistakes |= error.mistakes
    try:
        rules = read_rules_form(CullingRules, typed)
    except WrongForm as error:
        mistakes |= error.mistakes
    if profile is None or mistakes:
        raise WrongForm(mistakes)
    return profile.model_copy(update={"culling": rules})


async def save_or_try(page: ProfilesBase, name: str, typed: dict[str, str], *, is_new: bool) -> None:
    """What the form's two buttons do."""
    running, actor = page.services.running, page.identity.user.id
    known = page.known().get(name)
    try:
        profile = profile_of(typed, known)
        if typed.get("try"):
            await note_trial(page, name, profile)
            await page.show_form(name, typed, is_new=is_new, tried=await try_out(page, profile))
            return
        disabled = name in running.current.disabled
        await running.save_profile(name, profile, actor, page.address, disabled=disabled)
    except WrongForm as error:
        wrong = BadRequest("Nothing was saved: some of this is not right.")
        await page.show_form(name, typed, is_new=is_new, error=wrong, mistakes=error.mistakes)
        return
    except (BadRequest, Conflict) as refused:
        await page.show_form(name, typed, is_new=is_new, error=refused)
        return
    page.redirect("/hub/admin/profiles?done=saved")


async def try_out(page: ProfilesBase, profile: Profile) -> Tried:
    """Start the image in a container of its own and ask it for its kernels."""
    try:
        return Tried(_kernels(await page.services.kernelspecs.try_out(profile)))
    except HubError as error:
        return Tried([], error.message)


async def note_trial(page: ProfilesBase, name: str, profile: Profile) -> None:
    """A container is about to be started by an administrator's word: that is recorded."""
    async with page.services.store.unit() as unit:
        now, details = page.services.clock.now(), {"image": profile.image}
        await unit.audit.add(
            AuditEvent(now, "profile.tried", page.identity.user.id, name or "(new)", page.address, {**details})
        )


def _kernels(listed: KernelspecList) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for spec in listed.specs:
        shown: Any = spec.spec.get("display_name")
        found.append((spec.name, shown if isinstance(shown, str) else spec.name))
    return found
