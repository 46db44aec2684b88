"""The hub's Prometheus metrics, in a registry of their own. Labels never hold user names or paths."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

REQUESTS = Histogram(
    "kernelhub_request_duration_seconds",
    "Time from a request's arrival to its answer, by handler, method and status class.",
    ["handler", "method", "status"],
    registry=REGISTRY,
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
SIGN_INS = Counter(
    "kernelhub_sign_ins_total",
    "Attempts to sign in with a password, by outcome.",
    ["outcome"],
    registry=REGISTRY,
)
USERS = Gauge("kernelhub_users", "Users in the database, as of the last look.", registry=REGISTRY)
WORKSPACES = Gauge(
    "kernelhub_workspaces",
    "Workspaces in the database by state, as of the last look.",
    ["state"],
    registry=REGISTRY,
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observe_request(handler: str, method: str, status: int, seconds: float) -> None:
    """Count one answered request. Methods that HTTP does not know are one method."""
    known = method if method in _METHODS else "other"
    REQUESTS.labels(handler, known, f"{status // 100}xx").observe(seconds)


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
