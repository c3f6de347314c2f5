"""The export to Prometheus: the plain numbers of each worker, moved into prometheus-client's metrics.

A metric's value is in a file that all workers share, and a change costs 1 or 2 us: too much for each event, and some
thirty changes at the end of each stream would be several percent of a short answer's cost. So streams count in plain
numbers (``flask_sluice.observe.stream_stats``), which are moved once a second and before each scrape. A worker that is killed
loses the numbers of its last second.
"""

import os
import time
from collections import Counter as Counts
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from flask_sluice.observe import metrics_folder
from flask_sluice.observe.prometheus_adapter import add_to_histogram
from flask_sluice.observe.stream_stats import (
    DURATION_BOUNDS_SECONDS,
    FIRST_EVENT_BOUNDS_SECONDS,
    LAG_BOUNDS_SECONDS,
    RELEASE_BOUNDS_SECONDS,
    StreamStats,
)
from flask_sluice.observe.stream_stats import Histogram as PlainHistogram
from flask_sluice.observe.worker_metrics import ShownBoard, WorkerCollector
from flask_sluice.observe.write_stats import GAP_BOUNDS_SECONDS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus's text format, as ``generate_latest`` writes it."""


class CountedUpstream(Protocol):
    """An upstream as metrics see it.

    label: its name in the metrics; upstreams that share one are counted together
    errors: requests that it did not answer, or refused, by the error's code or the status
    failovers: requests that went on to another upstream
    """

    errors: Counts[str]
    failovers: int

    @property
    def label(self) -> str: ...

    def is_out(self, now: float) -> bool:
        """Return whether it gets no requests at present. now: monotonic seconds."""


class MetricsExporter:
    """Moves a worker's numbers into prometheus-client's metrics.

    stats: the worker's numbers
    limit: returns how many streams may be open; None: any number
    upstreams: the upstreams whose failures are counted
    board: what all workers show of themselves
    """

    def __init__(
        self,
        stats: StreamStats,
        limit: Callable[[], int | None],
        upstreams: Sequence[CountedUpstream],
        board: ShownBoard,
    ) -> None:
        self._stats = stats
        self._workers = WorkerCollector(board)
        self._limit_of_streams = limit
        self._upstreams = upstreams
        self._registry = CollectorRegistry()
        # prometheus-client fails to read a file that another worker has just created, since it is empty for a moment.
        with metrics_folder.locked(for_writing=True):
            self._create_metrics()
        self._pid = os.getpid()

    def _create_metrics(self) -> None:
        self._open = self._gauge("open_streams", "Streams that run", "livesum", "route")
        self._limit = self._gauge(
            "open_streams_limit", "Streams that may run at once, of all workers", "livesum"
        )
        self._ended = self._counter(
            "streams_ended", "Streams that have ended", "route", "model", "outcome"
        )
        self._errors = self._counter(
            "stream_errors", "Streams that have ended with an error, by its code", "route", "code"
        )
        self._refused = self._counter(
            "requests_refused", "Requests that were answered with an error", "status", "code"
        )
        self._events = self._counter("sent_events", "Events written to clients")
        self._bytes = self._counter("sent_bytes", "Bytes of streams written to clients")
        self._keepalives = self._counter("sent_keepalives", "Keep-alives written to clients")
        self._first_events = self._histogram(
            "first_event_seconds",
            "From a stream's start to its first event",
            FIRST_EVENT_BOUNDS_SECONDS,
            "model",
        )
        self._gaps = self._histogram(
            "event_gap_seconds", "From one write of events to the next", GAP_BOUNDS_SECONDS
        )
        self._durations = self._histogram(
            "stream_duration_seconds",
            "From a stream's start to its end",
            DURATION_BOUNDS_SECONDS,
            "route",
        )
        self._releases = self._histogram(
            "disconnect_release_seconds",
            "From a client's leaving until its stream has let go of everything",
            RELEASE_BOUNDS_SECONDS,
        )
        self._loop_lags = self._histogram(
            "loop_lag_seconds", "How late the worker's event loop is", LAG_BOUNDS_SECONDS
        )
        self._upstream_errors = self._counter(
            "upstream_errors", "Failures of an upstream, by code or status", "upstream", "code"
        )
        self._failovers = self._counter(
            "upstream_failovers", "Requests that went on to another upstream", "upstream"
        )
        self._out = self._gauge(
            "upstream_out", "1 while a worker leaves the upstream alone", "livemax", "upstream"
        )
        for upstream in self._upstreams:
            self._out.labels(upstream.label)

    def read(self) -> bytes:
        """Return the numbers of all workers in Prometheus's text format."""
        self.move()
        registry = CollectorRegistry()
        registry.register(self._workers)
        of_workers = prometheus_client.generate_latest(registry)
        if metrics_folder.path() is None:
            return prometheus_client.generate_latest(self._registry) + of_workers
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        with metrics_folder.locked(for_writing=False):
            return prometheus_client.generate_latest(registry) + of_workers

    def move(self) -> None:
        """Move what was counted since the last call."""
        if self._pid != os.getpid():
            self._create_files()
        stats = self._stats
        for route, count in stats.open.items():
            self._open.labels(route).set(count)
        self._limit.set(self._limit_of_streams() or 0)
        _move_counts(stats.ended, self._ended)
        _move_counts(stats.errors, self._errors)
        _move_counts(stats.refused, self._refused)
        self._events.inc(stats.events)
        self._bytes.inc(stats.bytes)
        self._keepalives.inc(stats.keepalives)
        stats.events = stats.bytes = stats.keepalives = 0
        _move_histograms(stats.first_events, self._first_events)
        _move_histogram(stats.gaps, self._gaps)
        _move_histograms(stats.durations, self._durations)
        _move_histogram(stats.releases, self._releases)
        _move_histogram(stats.loop_lags, self._loop_lags)
        _move_counts(stats.upstream_errors, self._upstream_errors)
        self._move_upstreams()

    def _create_files(self) -> None:
        """Create this worker's files: with ``--preload`` the app, and so this object, was made before the fork.

        prometheus-client does so by itself at the first change, but without the lock.
        """
        with metrics_folder.locked(for_writing=True):
            self._limit.set(0)
        self._pid = os.getpid()

    def _move_upstreams(self) -> None:
        now = time.monotonic()
        are_out = dict.fromkeys((upstream.label for upstream in self._upstreams), False)
        for upstream in self._upstreams:
            label = upstream.label
            for code, count in upstream.errors.items():
                self._upstream_errors.labels(label, code).inc(count)
            upstream.errors.clear()
            self._failovers.labels(label).inc(upstream.failovers)
            upstream.failovers = 0
            are_out[label] |= upstream.is_out(now)
        for label, is_out in are_out.items():
            self._out.labels(label).set(is_out)

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"sluice_{name}_total", help_, labels, registry=self._registry)

    def _gauge(self, name: str, help_: str, mode: str, *labels: str) -> Gauge:
        return Gauge(
            f"sluice_{name}",
            help_,
            labels,
            registry=self._registry,
            multiprocess_mode=mode,  # type: ignore[arg-type]
        )

    def _histogram(
        self, name: str, help_: str, bounds: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"sluice_{name}", help_, labels, registry=self._registry, buckets=bounds)


def _move_counts(counts: dict[tuple[str, ...], int], counter: Counter) -> None:
    for labels, count in counts.items():
        counter.labels(*labels).inc(count)
    counts.clear()


def _move_histograms(plain: Mapping[str, PlainHistogram], histogram: Histogram) -> None:
    for label, each in plain.items():
        _move_histogram(each, histogram.labels(label))


def _move_histogram(plain: PlainHistogram, histogram: Histogram) -> None:
    counts, total = plain.take()
    add_to_histogram(histogram, counts, total)
