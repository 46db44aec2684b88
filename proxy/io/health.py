"""Whether the proxy lives, whether it is ready, and what it counted."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from tornado.web import Application, RequestHandler

from proxy.io.handler import PlainHandler
from proxy.io.hub_client import HubClient
from proxy.metrics import Metrics


class LiveHandler(PlainHandler):
    """``/health/live``: this process answers."""

    def get(self) -> None:
        """Say so."""
        self.set_header("Cache-Control", "no-store")
        self.finish({"status": "live"})

    head = get


class ReadyHandler(PlainHandler):
    """``/health/ready``: the hub is ready too; 503 otherwise."""

    def initialize(self, hub: HubClient) -> None:
        """Take the collaborators."""
        self._hub = hub

    async def get(self) -> None:
        """Ask the hub."""
        is_ready = await self._hub.is_ready()
        self.set_header("Cache-Control", "no-store")
        if not is_ready:
            self.set_status(503)
            self.set_header("Retry-After", "2")
        await self.finish({"status": "ready" if is_ready else "the hub is not ready"})

    head = get


class MetricsHandler(RequestHandler):
    """``/metrics``, on the loopback listener only."""

    def initialize(self, metrics: Metrics, refresh: Callable[[], None]) -> None:
        """Take the collaborators; `refresh` brings the metrics up to date."""
        self._metrics, self._refresh = metrics, refresh

    def get(self) -> None:
        """Everything counted, in Prometheus' text format."""
        self._refresh()
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest(self._metrics.registry))


def metrics_application(metrics: Metrics, refresh: Callable[[], None]) -> Application:
    """The application of the loopback listener."""
    return Application([(r"/metrics", MetricsHandler, {"metrics": metrics, "refresh": refresh})])
