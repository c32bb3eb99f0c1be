"""Numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from valley.serve.answers import (
    Usage,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counters of one server. `running`, `waiting`, `starts`: asked when the page is read."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        own: Any = {"registry": self._registry}
        self._requests = Counter(
            "valley_requests", "Requests by route and status", ["route", "status"], **own
        )
        self._tokens = Counter("valley_tokens", "Tokens by kind", ["kind"], **own)
        self._queued = Histogram(
            "valley_queued_seconds", "Time until an engine took it", buckets=_SECONDS, **own
        )
        self._took = Histogram(
            "valley_request_seconds", "Time to the end", ["route"], buckets=_SECONDS, **own
        )
        self._gauge = lambda name, text: Gauge(name, text, **own)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is read when somebody asks."""
        self._gauge(f"valley_{name}", text).set_function(value)

    def requested(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._took.labels(route).observe(seconds)

    def answered(self, usage: Usage, queued: float) -> None:
        visual = usage.prompt_tokens_details.image_tokens
        self._tokens.labels("visual").inc(visual)
        self._tokens.labels("words").inc(usage.prompt_tokens - visual)
        self._tokens.labels("reply").inc(usage.completion_tokens)
        self._queued.observe(queued)

    def page(self) -> bytes:
        from prometheus_client import generate_latest

        return generate_latest(self._registry)
