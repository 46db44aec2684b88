"""Use cases of kernelspecs: which kernels a user may start, and which one a name means.

Nothing is started for a user to show them: they come from what the user's containers said last, else from a probe of
each profile's image.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import Mapping

from hub.config import Profile, Settings
from hub.domain.ids import WorkspaceId
from hub.domain.kernel_names import Choice, Offer, choose, default_kernel, guess, list_kernels, shown_name
from hub.domain.users import User
from hub.errors import HubError, NotFound, UnknownKernelspec
from hub.workspaces.agents import Agents, ask
from hub.workspaces.image_kernelspecs import ImageKernelspecs, KernelspecList, Source
from hub.workspaces.probes import Probes
from hub.workspaces.profiles import ProfileSource, labels_of, offered, profile_for, profiles_of
from hub.workspaces.service import Workspaces
from proxy.contract.agent import Kernelspec
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

OTHERS_SECONDS = 3.0
"""How long those kernels that are known wait for those of images that are being asked."""
FRESH_SECONDS = 5.0
"""A running container's word is taken anew at most this often: its user may have installed a kernel."""
ASK_SECONDS = 2.0
MAX_ASKED = 4096

Known = Mapping[str, KernelspecList]
"""The kernelspecs of a user by profile, those of profiles of which nothing is known left out."""


def offers_of(profiles: Mapping[str, Profile], known: Known) -> list[Offer]:
    """What is known of each profile, in the profiles' order. Pure."""
    return [
        Offer(name, tuple(spec.name for spec in known[name].specs), known[name].default)
        for name in profiles
        if name in known
    ]


def merged(profiles: Mapping[str, Profile], known: Known) -> KernelspecList:
    """The kernelspecs of all profiles as one list, under names and display names that tell them apart. Pure."""
    offers = offers_of(profiles, known)
    listed = list_kernels(offers)
    labels = labels_of(profiles)
    by_place = {(name, spec.name): spec for name in known for spec in known[name].specs}
    specs = []
    for choice in listed.values():
        spec = by_place[choice.profile, choice.kernel]
        content = spec.spec
        if len(profiles) > 1:
            own = content.get("display_name")
            shown = shown_name(own if isinstance(own, str) and own else choice.kernel, labels[choice.profile])
            content = {**content, "display_name": shown}
        specs.append(Kernelspec(choice.listed, content, spec.resources, spec.folder))
    return KernelspecList(default_kernel(offers, listed), specs)


class Kernelspecs:
    """The kernelspecs of all profiles that a user may use."""

    def __init__(
        self,
        settings: Settings,
        workspaces: Workspaces,
        agents: Agents,
        images: ImageKernelspecs,
        probes: Probes,
        clock: Clock,
        profiles: ProfileSource | None = None,
    ) -> None:
        self._profiles = profiles or settings
        self._workspaces = workspaces
        self._agents = agents
        self._images = images
        self._probes = probes
        self._clock = clock
        self._asked: dict[WorkspaceId, float] = {}

    async def list(self, user: User) -> KernelspecList:
        """The kernelspecs under the names by which they are started, and the default's name.

        Images of which nothing is known are asked now; one that cannot be asked hides no other. Raises what
        `Probes.learn` raises when nothing is known of any.
        """
        await self._refresh(user)
        return merged(profiles_of(self._profiles, user), await self._learned(user))

    async def known(self, user: User) -> KernelspecList:
        """The kernelspecs as far as they are known now: nobody is asked and nothing is raised."""
        return merged(profiles_of(self._profiles, user), await self._known(user))

    async def choose(self, user: User, wanted: str | None) -> Choice:
        """The profile and kernel that a client means; None: the default. Raises what `list` raises.

        A name that is not listed is left to the container where it would be: a kernel may be new there.
        """
        profiles = profiles_of(self._profiles, user)
        known = await self._known(user)
        choice = _choose(profiles, known, wanted)
        # With one image that offers all it has, its container knows best, and need not be waited for.
        alone = len(profiles) == 1 and wanted is not None and not next(iter(profiles.values())).kernels
        complete = alone or len(known) == len(profiles)
        if choice is None and not complete:
            choice = _choose(profiles, await self._learned(user), wanted, settled=True)
        if choice is None and wanted is None:
            raise UnknownKernelspec("There is no kernel to start: your images have none.")
        if choice is None:
            choice = guess(wanted or "", list(profiles))
            if profiles[choice.profile].kernels:
                raise await self.unknown(user, choice.listed)
        return choice

    def profile(self, user: User, name: str) -> Profile:
        """The profile of that name. Raises NotFound if the user may not use it, or not any more."""
        return profile_for(self._profiles, user, name)

    async def try_out(self, profile: Profile) -> KernelspecList:
        """What a profile would offer: its image is asked now, in a container made for it, unless it is known.

        Raises ImageMissing, NoKernels, StartFailed, AgentSilent and EngineSilent with the reason.
        """
        learned = await self._probes.learn(profile)
        return offered(profile, learned.listed)

    async def images(self) -> builtins.list[str]:
        """Names of images that the engine has, as far as it tells; none when it does not answer."""
        return await self._probes.images()

    async def unknown(self, user: User, wanted: str) -> UnknownKernelspec:
        """The error for a name that nothing has, with the names that there are."""
        names = [spec.name for spec in (await self.known(user)).specs]
        return UnknownKernelspec(f"There is no kernel {wanted[:200]!r}; there are {', '.join(names) or 'none'}.")

    async def resource(self, user: User, name: str, file: str) -> bytes:
        """A resource file of a kernelspec, such as ``logo-64x64.png``. Raises NotFound."""
        profiles = profiles_of(self._profiles, user)
        known = await self._known(user) or await self._learned(user)
        choice = choose(name, list_kernels(offers_of(profiles, known)))
        if choice is not None:
            specs = known[choice.profile].specs
            if any(spec.name == choice.kernel and file in spec.resources for spec in specs):
                source = Source.of(profiles[choice.profile])
                data = await self._images.find_resource(source, user.id, choice.kernel, file)
                if data is not None:
                    return data
        raise NotFound(f"The kernel {name!r} has no file {file!r}.")

    async def problems(self, user: User) -> dict[str, str]:
        """Why kernels of a profile are not listed, by the profile's label."""
        profiles = profiles_of(self._profiles, user)
        known = await self._known(user)
        labels = labels_of(profiles)
        said = {}
        for name, profile in profiles.items():
            lacking = set(profile.kernels) - {spec.name for spec in known[name].specs} if name in known else set()
            absent = f"The image {profile.image} has no kernel {', '.join(sorted(lacking))}." if lacking else None
            problem = self._probes.problem(profile) or absent
            if problem is not None:
                said[labels[name]] = problem
        return said

    async def _known(self, user: User) -> Known:
        profiles = profiles_of(self._profiles, user)
        found = {name: await self._images.find(Source.of(profile), user.id) for name, profile in profiles.items()}
        return {name: offered(profiles[name], specs) for name, specs in found.items() if specs is not None}

    async def _learned(self, user: User) -> Known:
        """What is known, after images that are not known were asked, as long as it is worth the wait."""
        profiles = profiles_of(self._profiles, user)
        known = await self._known(user)
        asked = [self._probes.begin(profile) for name, profile in profiles.items() if name not in known]
        pending = set(asked)
        have_some = bool(known)
        while pending and not have_some:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            have_some = not all(isinstance(each.result(), HubError) for each in done)
        if pending:
            await asyncio.wait(pending, timeout=OTHERS_SECONDS)
        found = await self._known(user)
        if not found:
            for profile in profiles.values():
                await self._probes.learn(profile)
        return found

    async def _refresh(self, user: User) -> None:
        """Take the word of the user's containers that run, if it was not taken a moment ago."""
        now = self._clock.monotonic()
        stale = [
            workspace
            for workspace in await self._workspaces.list_for(user)
            if self._agents.connected(workspace.id)
            and not self._agents.is_held(workspace.id)
            and now - self._asked.get(workspace.id, -FRESH_SECONDS) >= FRESH_SECONDS
        ]
        profiles = profiles_of(self._profiles, user)
        for workspace in stale:
            profile = profiles.get(workspace.profile)
            if profile is None or profile.image != workspace.image:
                continue
            source = Source.of(profile)
            before = await self._images.record(source, user.id)
            if before is None:
                continue
            if len(self._asked) >= MAX_ASKED:
                self._asked.clear()
            self._asked[workspace.id] = now
            try:
                client = self._agents.client(workspace.id)
                hello = await ask(client.hello(ASK_SECONDS))
                await self._images.learn(source, before.image_id, user.id, hello, client)
            except HubError as error:
                log.info("the kernelspecs of workspace %s were not read anew: %s", workspace.id, error.message)


def _choose(profiles: Mapping[str, Profile], known: Known, wanted: str | None, settled: bool = False) -> Choice | None:
    """The kernel that is meant, as far as is known; `settled`: more will not be known."""
    offers = offers_of(profiles, known)
    listed = list_kernels(offers)
    if wanted is not None:
        return choose(wanted, listed)
    if settled or next(iter(profiles)) in known:
        return listed.get(default_kernel(offers, listed))
    return None  # Another profile's default is no default while the first one's kernels are only not known yet.
