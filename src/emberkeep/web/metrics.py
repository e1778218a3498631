"""What a monitor reads at /metrics: requests by route and status, and how many are under way.

Several processes of one `serve` share a directory, named by PROMETHEUS_MULTIPROC_DIR, so that
whichever of them is asked answers for all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from emberkeep.base.figures import Figure

# The framework adds the charset of a text itself.
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8")
SHARED_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
# Anything else a client sends as a method counts as one, or it could make labels without end.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The counters of one process: its own, and those that a slice counts by itself."""

    def __init__(self, collectors: Sequence[Collector] = ()) -> None:
        self.registry = CollectorRegistry()
        for collector in collectors:
            self.registry.register(collector)
        self._seconds = Histogram(
            "emberkeep_http_request_seconds",
            "Time from the first byte of a request to the last of its answer.",
            ("method", "route", "status"),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "emberkeep_http_requests_in_flight",
            "Requests that are being answered now.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        # Looking a label up takes longer than counting; there are few, so they are kept.
        self._series: dict[tuple[str, str, int], Histogram] = {}

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request that was answered."""
        series = self._series.get((method, route, status))
        if series is None:
            label = method if method in _METHODS else "other"
            series = self._seconds.labels(label, route, str(status))
            if label == method:
                self._series[method, route, status] = series
        series.observe(seconds)

    def render(self, figures: Sequence[Figure] = ()) -> bytes:
        """Return the text that a monitor reads; `figures` are the same whichever process is asked."""
        told = CollectorRegistry()
        told.register(_Told(figures))
        return self._render_own() + generate_latest(told)

    def _render_own(self) -> bytes:
        if SHARED_DIRECTORY not in os.environ:
            return generate_latest(self.registry)
        shared = CollectorRegistry()
        MultiProcessCollector(shared)
        return generate_latest(shared)


class _Told(Collector):
    """Figures that were asked for a moment ago."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for figure in self._figures:
            family = families.get(figure.name)
            if family is None:
                family = families[figure.name] = GaugeMetricFamily(
                    figure.name, figure.explains, labels=[name for name, _ in figure.labels]
                )
            family.add_metric([value for _, value in figure.labels], figure.value)
        yield from families.values()
