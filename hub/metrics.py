"""The hub's Prometheus metrics, in a registry of their own. Labels never hold user names or paths.

Where the meaning is JupyterHub's, so is the name (``jupyterhub_…``), and its dashboards show a kernelhub; a *server* is
a workspace's container then. What only exists here begins with ``kernelhub_``. Values of labels that are known
beforehand are there from the start, so that alerts work before the first failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from hub.domain.kernels import KernelState
from hub.domain.workspace import WorkspaceState

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_REQUEST_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_START_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 180, 300, 600)
_LOOP_SECONDS = (0.055, 0.06, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5)
LOOP_INTERVAL_SECONDS = 0.05


def _histogram(name: str, meaning: str, labels: dict[str, Iterable[str]], buckets: tuple[float, ...]) -> Histogram:
    """A histogram, with the labels' known values made."""
    made = Histogram(name, meaning, list(labels), registry=REGISTRY, buckets=buckets)
    if len(labels) == 1:
        for value in next(iter(labels.values())):
            made.labels(value)
    return made


def _counter(name: str, meaning: str, label: str, values: Iterable[str] = ()) -> Counter:
    made = Counter(name, meaning, [label], registry=REGISTRY)
    for value in values:
        made.labels(value)
    return made


# -- JupyterHub's -------------------------------------------------------------------------------------------

REQUESTS = Histogram(
    "jupyterhub_request_duration_seconds",
    "Time from a request's arrival to its answer, by handler, method and status.",
    ["method", "handler", "code"],
    registry=REGISTRY,
    buckets=_REQUEST_SECONDS,
)
STARTS = Histogram(
    "jupyterhub_server_spawn_duration_seconds",
    "Time from asking for a container to an agent that answers, waiting in the queue included; why it failed.",
    ["status", "reason"],
    registry=REGISTRY,
    buckets=_START_SECONDS,
)
STOPS = _histogram(
    "jupyterhub_server_stop_seconds",
    "Time to stop a container.",
    {"status": ("success", "failure")},
    _START_SECONDS,
)
POLLS = _histogram(
    "jupyterhub_server_poll_duration_seconds",
    "Time to ask an agent how its container is.",
    {"status": ("running", "unknown")},
    _REQUEST_SECONDS,
)
RUNNING_SERVERS = Gauge("jupyterhub_running_servers", "Containers that run.", registry=REGISTRY)
TOTAL_USERS = Gauge("jupyterhub_total_users", "Users in the database.", registry=REGISTRY)
ACTIVE_USERS = Gauge("jupyterhub_active_users", "Users who were active in the last…", ["period"], registry=REGISTRY)
STARTUP = Histogram(
    "jupyterhub_hub_startup_duration_seconds",
    "Time from the hub's start until it listened.",
    registry=REGISTRY,
    buckets=_START_SECONDS,
)
RECONCILED = Histogram(
    "jupyterhub_init_spawners_duration_seconds",
    "Time to compare the database with what the engine runs, at the hub's start.",
    registry=REGISTRY,
    buckets=_START_SECONDS,
)
LOGINS = _histogram(
    "jupyterhub_login_duration_seconds",
    "Time to answer a sign-in by the hub's own form.",
    {"status": ("success", "failure")},
    _REQUEST_SECONDS,
)
LOGOUTS = Histogram(
    "jupyterhub_logout_duration_seconds", "Time to sign somebody out.", registry=REGISTRY, buckets=_REQUEST_SECONDS
)
POLICY_REPORTS = Counter(
    "jupyterhub_csp_reports", "Reports of browsers about what a page's policy refused.", registry=REGISTRY
)
LOOP_INTERVALS = Histogram(
    "jupyterhub_event_loop_interval_seconds",
    "Time between two turns of the event loop that should be 50 ms apart: what is above is time it was blocked.",
    registry=REGISTRY,
    buckets=_LOOP_SECONDS,
)

# -- kernelhub's --------------------------------------------------------------------------------------------

SIGN_INS = _counter(
    "kernelhub_sign_ins_total",
    "Attempts to sign in, by outcome.",
    "outcome",
    ("accepted", "refused", "throttled"),
)
WORKSPACES = Gauge("kernelhub_workspaces", "Workspaces in the database by state.", ["state"], registry=REGISTRY)
KERNELS = Gauge("kernelhub_kernels", "Kernels by state.", ["state"], registry=REGISTRY)
START_PHASES = Histogram(
    "kernelhub_start_phase_seconds",
    "Time of each phase of a container's start: queued, prepared, created, answered.",
    ["phase"],
    registry=REGISTRY,
    buckets=_START_SECONDS,
)
QUEUED_STARTS = Gauge("kernelhub_queued_starts", "Containers that wait for their turn to start.", registry=REGISTRY)
KERNEL_STARTS = _histogram(
    "kernelhub_kernel_start_duration_seconds",
    "Time from asking for a kernel to a kernel that the agent has started.",
    {"status": ("success", "failure")},
    _START_SECONDS,
)
KERNEL_DEATHS = _counter(
    "kernelhub_kernel_deaths_total",
    "Kernels that ended without being asked to.",
    "reason",
    ("out_of_memory", "signal", "exit", "other"),
)
RECONCILE_ROUNDS = _counter(
    "kernelhub_reconcile_rounds_total",
    "Comparisons of database, engine and run folders, by how they went.",
    "outcome",
    ("done", "engine_silent", "another_hub", "held"),
)
RECONCILE_FINDINGS = _counter(
    "kernelhub_reconcile_findings_total",
    "What comparisons of database, engine, folders and agents found and put in order, by kind.",
    "kind",
    (
        "found_running",
        "found_gone",
        "found_paused",
        "found_thawed",
        "unfinished_stop",
        "leftover",
        "unowned_container",
        "unowned_folder",
        "probe",
        "kernel_gone",
        "kernel_adopted",
        "kernel_unused",
    ),
)
RECONCILE_SECONDS = Histogram(
    "kernelhub_reconcile_seconds",
    "Time of one comparison of database, engine, folders and agents.",
    registry=REGISTRY,
    buckets=_START_SECONDS,
)
CULLED = _counter(
    "kernelhub_culled_total", "What was ended for being idle or too old.", "what", ("kernel", "workspace")
)
PAUSES = _counter(
    "kernelhub_pauses_total",
    "Pauses of idle containers, by how they went: frozen, given up because it was used again, or failed.",
    "outcome",
    ("paused", "given_up", "failed"),
)
THAWS = _counter(
    "kernelhub_thaws_total",
    "Paused containers that were let go on, by what needed them.",
    "why",
    ("message", "connection", "request", "end", "culling"),
)
THAW_SECONDS = Histogram(
    "kernelhub_thaw_seconds",
    "Time from the question for a paused container to its going on.",
    registry=REGISTRY,
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10),
)
GIVEN_BACK = Counter(
    "kernelhub_memory_given_back_bytes_total",
    "Memory of paused containers that was given back to the machine.",
    registry=REGISTRY,
)
REFUSED = _counter(
    "kernelhub_refused_requests_total",
    "Requests that were refused, by the code of the error.",
    "code",
    ("auth.required", "auth.forbidden", "auth.forged", "auth.wrong_password", "request.too_many", "quota.exceeded"),
)
ENGINE_UP = Gauge("kernelhub_engine_up", "Whether the container engine answered the last time.", registry=REGISTRY)
AGENTS_SILENT = Gauge(
    "kernelhub_agents_silent", "Running containers whose agent did not answer the last time.", registry=REGISTRY
)
CONTAINERS_MEMORY = Gauge(
    "kernelhub_containers_memory_bytes", "Memory of all containers, as their agents say.", registry=REGISTRY
)
CONTAINERS_CPU = Gauge(
    "kernelhub_containers_cpu_cores", "Cores that all containers use, as their agents say.", registry=REGISTRY
)
DISK_FREE = Gauge("kernelhub_disk_free_bytes", "Free bytes where the data folder is.", registry=REGISTRY)
DISK_SIZE = Gauge("kernelhub_disk_size_bytes", "Size of the file system where the data folder is.", registry=REGISTRY)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
PERIODS = {"24h": 1, "7d": 7, "30d": 30}
"""The periods of `ACTIVE_USERS`, in days."""


def _prepare() -> None:
    for state in WorkspaceState:
        WORKSPACES.labels(state)
    for kernel_state in KernelState:
        KERNELS.labels(kernel_state)
    for period in PERIODS:
        ACTIVE_USERS.labels(period)
    STARTS.labels("success", "")
    for phase in ("queued", "prepared", "created", "answered"):
        START_PHASES.labels(phase)


_prepare()


def observe_request(handler: str, method: str, status: int, seconds: float) -> None:
    """Count one answered request. Methods that HTTP does not know are one method."""
    known = method if method in _METHODS else "other"
    REQUESTS.labels(known, handler, str(status)).observe(seconds)
    if known == "POST" and handler == "SignInPage":
        LOGINS.labels("success" if status < 400 else "failure").observe(seconds)
    elif known == "POST" and handler == "SignOutPage":
        LOGOUTS.observe(seconds)


def observe_refusal(code: str) -> None:
    """Count a request that was refused with an error of this code."""
    REFUSED.labels(code).inc()


def death_class(reason: str) -> str:
    """Which of the label's values a kernel's death belongs to, by the agent's words for it."""
    known = {"memory": "out_of_memory", "signal": "signal", "SIG": "signal", "exit": "exit"}
    return next((value for word, value in known.items() if word in reason), "other")


@contextmanager
def timed(histogram: Histogram, success: str = "success", failure: str = "failure") -> Iterator[None]:
    """Observe how long a block takes in a histogram with one label, by whether it raised."""
    began = perf_counter()
    try:
        yield
    except BaseException:
        histogram.labels(failure).observe(perf_counter() - began)
        raise
    histogram.labels(success).observe(perf_counter() - began)


async def watch_loop() -> None:
    """Observe how long turns of the event loop take, until cancelled."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    while True:
        await asyncio.sleep(LOOP_INTERVAL_SECONDS)
        now = loop.time()
        LOOP_INTERVALS.observe(now - before)
        before = now


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
