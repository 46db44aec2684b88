"""The whole hub on one screen: what it is made of, in which order it starts and stops.

Everything is wired here; nothing else knows everybody.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

import tornado.httpserver
import tornado.netutil

from hub import metrics
from hub.audit_keeper import AuditKeeper
from hub.auth.assemble import make_auth
from hub.config import DEFAULT_HUB_PORT, ConfigError, Settings
from hub.contents.models import Limits
from hub.contents.service import ContentsOfUsers
from hub.cull.loop import Culler
from hub.cull.postponing import Postponing
from hub.cull.rules import CANNOT_PAUSE, wants_pauses
from hub.cull.ruling import Ruling
from hub.domain.history import HUB_WAS_DOWN
from hub.ending import ENDED_FOR_GOOD, Ending
from hub.errors import REFUSED_TO_START, HubError
from hub.history_counts import HistoryCounts
from hub.http.application import make_application
from hub.http.services import Services
from hub.internal_token import read_or_make_internal_token
from hub.jupyter import routes as jupyter_routes
from hub.jupyter.events import live_principals
from hub.jupyter.frontends import FrontEnds
from hub.jupyter.notebook_html import NotebookPages
from hub.live.service import Live
from hub.live.sizes import HomeSizes
from hub.people.departures import Departures, LeavingRules
from hub.people.rosters import Rosters
from hub.process_memory import give_memory_back
from hub.results.service import Results
from hub.running_settings import Running
from hub.runs.assemble import make_runs
from hub.spawn.folders import Folders
from hub.spawn.select import select_spawner
from hub.store.engine import Store
from hub.store.version import require_current
from hub.upkeep import Upkeep, trash_rules
from hub.web import routes as web_routes
from hub.web.notices import NOTICES_SCHEMA, tell_everybody
from hub.web.pages import error_page
from hub.workspaces.agents import Agents
from hub.workspaces.connections import Connections
from hub.workspaces.ends import Ends
from hub.workspaces.freezer import Freezer
from hub.workspaces.image_kernelspecs import ImageKernelspecs
from hub.workspaces.jobs import Jobs
from hub.workspaces.kernel_order import KernelOrder
from hub.workspaces.kernels import Kernels
from hub.workspaces.kernelspecs import Kernelspecs
from hub.workspaces.probes import Probes
from hub.workspaces.progress import Progress
from hub.workspaces.punctuality import Punctuality
from hub.workspaces.quotas import HoursWatch, Quotas
from hub.workspaces.reconcile import Reconciler
from hub.workspaces.runner import Runner
from hub.workspaces.service import Workspaces
from hub.workspaces.sessions import Sessions
from hub.workspaces.terminals import Terminals
from hub.workspaces.watch import Watch
from proxy.kit.clock import SystemClock
from proxy.kit.tasks import TaskOwner

log = logging.getLogger(__name__)

FIRST_ROUND_SECONDS = 1.0
MAX_HEADER_BYTES = 64 * 1024


class Hub:
    """A running hub, from `start` to `close`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks = TaskOwner("hub")
        self.ending = Ending()

    async def start(self) -> None:
        """Check what must hold, wire, reconcile, listen.

        Raises a HubError that says what to do when the database is not at this release's version, or the
        engine does not answer and the settings do not allow to go without.
        """
        began = time.monotonic()
        settings, clock = self._settings, SystemClock()
        token = read_or_make_internal_token(settings.data_dir)
        await require_current(settings.sqlalchemy_url)
        selected = await select_spawner(settings, Folders(settings.data_dir, settings.base_uid, settings.base_gid))
        folders, self.spawner = selected.folders, selected.spawner

        self.store = Store(settings.sqlalchemy_url)
        self.running = Running(settings, self.store, clock)
        self.auth = make_auth(settings, self.store, clock)
        self.punctuality = Punctuality(clock)
        self.agents = Agents(folders, clock, self.punctuality)
        connections = Connections(clock)
        images = ImageKernelspecs(folders.images, clock)
        self.auth.registrations.follow(lambda: self.running.current.registration)
        self.history = HistoryCounts(self.store, clock)
        self.audit = AuditKeeper(self.store, clock, settings.data_dir, settings.audit_file)
        self.probes = Probes(settings, self.spawner, folders, images, clock, self.running)
        progress = Progress()
        runner = Runner(settings, self.spawner, folders, self.agents, images, clock, progress, self.running)
        sizes = HomeSizes(lambda user: self.contents.of(user).usage(), clock)
        quotas = Quotas(self.store, clock, lambda: self.running.current.limits, sizes.bytes_of, sizes.count_again)
        self.workspaces = Workspaces(
            settings, self.store, self.spawner, folders, self.agents, runner, clock, progress, self.running, quotas
        )
        self.freezer = Freezer(self.store, self.workspaces, self.spawner, self.agents, connections, clock)
        self.workspaces.pausing = self.freezer
        kernelspecs = Kernelspecs(settings, self.workspaces, self.agents, images, self.probes, clock, self.running)
        kernels = Kernels(self.store, self.workspaces, self.agents, kernelspecs, connections, clock, quotas)
        self.watch = Watch(self.store, self.agents, self.workspaces, kernels, clock)
        self.culler = Culler(
            *(settings, self.store, self.workspaces, kernels, self.agents, connections, clock),
            running=self.running,
            health=self.agents.health,
            pausing=self.freezer,
        )
        self.culler.tell = lambda user_id: self.frontends.events.publish(user_id, NOTICES_SCHEMA, {"data": {}})
        self.live = Live(
            *(self.store, self.workspaces, self.agents, self.spawner, connections, self.culler.decisions_for),
            progress=progress,
            sizes=sizes,
            data_dir=settings.data_dir,
            clock=clock,
            health=self.agents.health,
        )
        self.watch.on_news = self.live.forget
        self.reconciler = Reconciler(
            *(self.store, self.spawner, self.workspaces, self.probes),
            runner=runner,
            folders=folders,
            kernels=KernelOrder(self.store, self.agents, kernels, connections, clock),
            clock=clock,
        )
        self.contents = ContentsOfUsers(
            folders,
            settings.data_dir / "contents",
            clock,
            Limits(delete_full_folders=True),
            trash=trash_rules(settings),
        )
        self.contents.check_growth = quotas.check_growth
        self.results = Results(
            *(self.store, folders, self.agents, connections, self.contents, clock),
            announce=lambda user_id, path: self.frontends.events.contents(user_id, "save", path, None),
        )
        self.results.follow(self.agents)
        runner.before_remove = self.results.take
        kernels.on_gone = self.results.gone
        self.hours = HoursWatch(
            *(self.store, clock, quotas, self.workspaces.list_running),
            stop=lambda workspace, reason: self.workspaces.stop(workspace.id, reason),
            tell=lambda user_id: self.frontends.events.publish(user_id, NOTICES_SCHEMA, {"data": {}}),
        )
        self.departures = Departures(
            *(self.store, clock, self.auth.recent, folders, self.contents, self.workspaces.stop_all),
            LeavingRules(settings.removal_grace, settings.archive_kept),
        )
        self.upkeep = Upkeep(self.store, clock, self.contents, self.departures)
        self.frontends = FrontEnds(settings.data_dir)
        self.jobs = Jobs(self.workspaces, self.agents)
        self.runs = make_runs(
            *(settings, self.store, self.spawner, folders, self.agents, kernels, kernelspecs, self.contents),
            glance=self.results.glancing,
            clock=clock,
        )
        self.services = Services(
            settings=settings,
            running=self.running,
            history=self.history,
            clock=clock,
            store=self.store,
            guard=self.auth.guard,
            authority=self.auth.authority,
            users=self.auth.users,
            passwords=self.auth.passwords,
            sign_ins=self.auth.sign_ins,
            tokens=self.auth.tokens,
            invitations=self.auth.invitations,
            arrivals=self.auth.arrivals,
            presence=self.auth.presence,
            rosters=Rosters(self.store, clock, self.auth.recent),
            departures=self.departures,
            quotas=quotas,
            secrets=self.auth.secrets,
            second_factors=self.auth.second_factors,
            registrations=self.auth.registrations,
            groups=self.auth.groups,
            providers=self.auth.providers,
            lti=self.auth.lti,
            workspaces=self.workspaces,
            kernels=kernels,
            kernelspecs=kernelspecs,
            sessions=Sessions(self.store, kernels, clock, self.results.paired),
            terminals=Terminals(self.running, self.workspaces, self.agents),
            jobs=self.jobs,
            runs=self.runs.runs,
            verifications=self.runs.verifications,
            hidden_states=self.runs.hidden_states,
            connections=connections,
            rounds=self.reconciler.rounds,
            freezer=self.freezer,
            ends=Ends(self.store, self.workspaces, clock),
            culler=self.culler,
            postponing=Postponing(self.store, self.culler, clock),
            ruling=Ruling(self.store, clock, lambda: self.running.current.culling),
            contents=self.contents,
            results=self.results,
            frontends=self.frontends,
            live=self.live,
            notebook_html=NotebookPages(settings),
            internal_token=token,
            warning=selected.warning,
            ending=self.ending,
        )

        self.running.announced = lambda: tell_everybody(self.services)
        await self.running.refresh()
        await self.results.load()
        await self.freezer.load()
        with metrics.RECONCILED.time():
            await self._reconcile_at_first()
        async with self.store.unit() as unit:
            await unit.lives.close_lost(HUB_WAS_DOWN, clock.now())
        await self.runs.resume()
        await self._listen()
        metrics.STARTUP.observe(time.monotonic() - began)
        self.frontends.start()
        for name, work in self._loops().items():
            self._tasks.start(work, name)
        if selected.warning:
            log.warning("%s", selected.warning)
        if wants_pauses(settings) and not self.spawner.can_pause:
            log.warning("pause_after has no effect: %s", CANNOT_PAUSE)
        log.info("ready at %s, kernels by %s", settings.hub_url, self.spawner.name)

    async def close(self) -> None:
        """Refuse new requests, end what is under way, close. Users' containers stay."""
        self._server.stop()
        await self.live.close()
        await self._server.close_all_connections()
        await self._tasks.close()
        await self.reconciler.close()
        await self.runs.runs.close()
        await self.probes.close()
        await self.jobs.close()
        await self.watch.close()
        await self.freezer.close()
        await self.workspaces.close()
        await self.agents.close()
        await self.frontends.close()
        await self.contents.close()
        await self.auth.close()
        await self.spawner.close()
        await self.store.close()

    async def stop_workspaces(self) -> None:
        """Stop all users' containers, as ``--stop-workspaces`` asks."""
        running = await self.workspaces.list_running()
        stops = (self.workspaces.stop(workspace.id, "the hub was stopped") for workspace in running)
        for result in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(result, BaseException):
                log.error("a container was not stopped: %s", result)

    def _loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        return {
            "clock": self.auth.sign_ins.follow_clock(),
            "watch": self.watch.run(),
            "punctuality": self.punctuality.run(),
            "cull": self.culler.run(),
            "settings": self.running.run(),
            "history": self.history.run(),
            "audit": self.audit.run(),
            "live": self.live.run(),
            "live pages": self.live.viewers.watch(functools.partial(live_principals, self.services)),
            "probes": self.probes.run(),
            "lti": self.auth.lti.run(),
            "reconcile": self.reconciler.run(),
            "upkeep": self.upkeep.run(),
            "results": self.results.run(),
            "hours": self.hours.run(),
            "loop": metrics.watch_loop(),
        }

    async def _reconcile_at_first(self) -> None:
        """The first round, which goes on behind readiness where the engine is slow or much has changed."""
        first = self._tasks.start(self.reconciler.run_once(kernels=False), "first reconciliation")
        await asyncio.wait([first], timeout=FIRST_ROUND_SECONDS)
        self.reconciler.end_quiet()

    async def _listen(self) -> None:
        application = make_application(
            self.services, [*web_routes.routes(), *jupyter_routes.routes()], error_page=error_page
        )
        self._server = tornado.httpserver.HTTPServer(
            application, max_header_size=MAX_HEADER_BYTES, max_body_size=self._settings.max_upload_bytes
        )
        port = self._settings.hub_port or DEFAULT_HUB_PORT
        self._server.add_sockets(tornado.netutil.bind_sockets(port, self._settings.hub_host, reuse_port=False))


async def run(settings: Settings, *, stop_workspaces: bool = False) -> None:
    """Run a hub until SIGINT, SIGTERM, or a call of its REST API.

    Exits with status 2 and one paragraph when it refuses to start, with status 3 when it was told to end for good.
    """
    give_memory_back()
    hub = Hub(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, hub.ending.ask)
    try:
        await hub.start()
    except (HubError, ConfigError, PermissionError) as error:
        print(f"kernelhub does not start: {error}", file=sys.stderr)
        raise SystemExit(REFUSED_TO_START) from error
    await hub.ending.wanted.wait()
    log.info("stopping")
    if stop_workspaces or hub.ending.stop_workspaces:
        await hub.stop_workspaces()
    await hub.close()
    if hub.ending.for_good:
        raise SystemExit(ENDED_FOR_GOOD)
