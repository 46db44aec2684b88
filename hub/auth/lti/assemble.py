"""Puts the parts together, and runs what they do by themselves: scores every few seconds, rosters every day."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta

from hub.auth.arrivals import Arrivals
from hub.auth.lti.access_tokens import AccessTokens
from hub.auth.lti.arriving import Arriving
from hub.auth.lti.deep_linking import DeepLinks
from hub.auth.lti.fetching import Fetcher
from hub.auth.lti.handoffs import Handoffs
from hub.auth.lti.key_sets import KeySets
from hub.auth.lti.launches import Launches
from hub.auth.lti.platforms import Platforms
from hub.auth.lti.registration import Registrations
from hub.auth.lti.rosters import Rosters
from hub.auth.lti.scores import Scores, keep_sending
from hub.auth.lti.tool_keys import ToolKeys
from hub.auth.secrets import Secrets
from hub.config.lti import Lti as LtiSettings
from hub.errors import HubError
from hub.store.engine import Store
from proxy.kit.clock import Clock

log = logging.getLogger(__name__)

LOOK_SECONDS = 300.0
KEPT_SCORES = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Lti:
    """Everything of learning platforms, over one store. `settings.enabled` says whether anybody may come."""

    settings: LtiSettings
    store: Store
    clock: Clock
    fetcher: Fetcher
    keys: ToolKeys
    launches: Launches
    arriving: Arriving
    handoffs: Handoffs
    deep_links: DeepLinks
    platforms: Platforms
    registrations: Registrations
    rosters: Rosters
    scores: Scores

    async def close(self) -> None:
        """Close the connections to platforms."""
        await self.fetcher.close()

    async def run(self) -> None:
        """Know the configuration's platforms, then send scores and fetch rosters until cancelled."""
        if not self.settings.enabled:
            return
        try:
            await self.platforms.sync_configuration(self.settings.platforms)
        except HubError as error:
            log.error("the platforms of the configuration were not taken over: %s", error.message)
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_sending(self.scores), name="lti scores")
            group.create_task(self._keep_rosters(), name="lti rosters")

    async def _keep_rosters(self) -> None:
        while self.settings.roster_every > timedelta(0):
            try:
                await self.fetch_due_rosters()
                async with self.store.unit() as unit:
                    await unit.lti_scores.prune(self.clock.now() - KEPT_SCORES)
            except HubError as error:
                log.warning("rosters were not fetched: %s", error.message)
            await asyncio.sleep(LOOK_SECONDS)

    async def fetch_due_rosters(self) -> int:
        """Fetch the rosters whose time has come, one after the other; how many."""
        before, fetched = self.clock.now() - self.settings.roster_every, 0
        for platform in await self.platforms.list():
            async with self.store.reading() as unit:
                contexts = await unit.lti_courses.list(platform.id) if platform.disabled_at is None else []
            for context in contexts:
                due = context.roster_at is None or context.roster_at <= before
                if due and context.members_url and context.group_id is not None:
                    fetched += 1
                    try:
                        await self.rosters.sync(platform, context, "hub")
                    except HubError as error:
                        log.warning("the roster of %s was not fetched: %s", context.title, error.message)
        return fetched


def make_lti(settings: LtiSettings, store: Store, clock: Clock, arrivals: Arrivals, secrets: Secrets) -> Lti:
    """Everything of hub.auth.lti. Close it with `Lti.close`; the store stays open."""
    fetcher = Fetcher()
    keys, key_sets = ToolKeys(store, clock, secrets), KeySets(fetcher, store, clock)
    tokens = AccessTokens(fetcher, keys, clock)
    platforms = Platforms(store, clock, key_sets, tokens)
    new_people = settings.new_people
    return Lti(
        settings=settings,
        store=store,
        clock=clock,
        fetcher=fetcher,
        keys=keys,
        launches=Launches(store, clock, key_sets),
        arriving=Arriving(store, clock, arrivals, new_people=new_people),
        handoffs=Handoffs(store, clock),
        deep_links=DeepLinks(store, clock, keys),
        platforms=platforms,
        registrations=Registrations(store, clock, fetcher, platforms),
        rosters=Rosters(store, clock, fetcher, tokens, arrivals, new_people=new_people),
        scores=Scores(store, clock, fetcher, tokens),
    )
