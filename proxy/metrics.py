"""What the proxy counts, in a registry of its own, for ``/metrics`` on a loopback port."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The proxy's metrics. docs/reference/metrics.md describes each."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.connections = Gauge("kernelhub_proxy_connections", "Open WebSockets.", ["kind"], registry=registry)
        self.messages = Counter("kernelhub_proxy_messages", "Messages carried.", ["direction"], registry=registry)
        self.bytes = Counter("kernelhub_proxy_bytes", "Bytes of messages carried.", ["direction"], registry=registry)
        self.dropped = Counter(
            "kernelhub_proxy_dropped_messages", "Outputs dropped for slow clients.", registry=registry
        )
        self.dropped_bytes = Counter(
            "kernelhub_proxy_dropped_bytes", "Bytes of outputs dropped for slow clients.", registry=registry
        )
        self.rejected = Counter(
            "kernelhub_proxy_rejected_messages", "Malformed messages from kernels.", registry=registry
        )
        self.refused = Counter("kernelhub_proxy_refused_upgrades", "WebSockets refused.", ["status"], registry=registry)
        self.hub_away = Counter("kernelhub_proxy_hub_away", "Requests that the hub did not answer.", registry=registry)
        self.forward_seconds = Histogram(
            "kernelhub_proxy_forward_seconds",
            "Time of forwarded requests, bodies included.",
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
            registry=registry,
        )
        for kind in ("kernel", "terminal", "relay"):  # there from the start, so that alerts work
            self.connections.labels(kind)
        for direction in ("up", "down"):
            self.messages.labels(direction)
            self.bytes.labels(direction)
