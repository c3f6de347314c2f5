"""The export to Prometheus: the plain numbers of each worker, added up and shared with the other workers.

Streams count in plain numbers (``flask_sluice.observe.stream_stats``), which are moved to the metrics once a second and
before each scrape: some thirty changes of a metric at the end of each stream would be several percent of a short answer's
cost. How many streams have ended, and how, and how many requests were refused is shared at once, for 1 us: of these a worker
that is killed loses none. Of the others (events, bytes, times) it loses its last second.
"""

import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add
from typing import Protocol, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from flask_sluice.observe.metric import Counter, Gauge, Histogram, Metric, merged
from flask_sluice.observe.shared_numbers import (
    Labels,
    Numbers,
    Values,
    encode_count,
    shared_numbers,
)
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

AnyMetric = TypeVar("AnyMetric", bound=Metric)

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


class Mirror(Protocol):
    """Somewhere else where a worker's metrics are to be seen."""

    def write(self, metrics: Iterable[Metric]) -> None: ...


class MetricsExporter(Collector):
    """Moves a worker's numbers to the metrics, and gives those of all workers.

    stats: the worker's numbers
    limit: returns how many streams may be open; None: any number
    upstreams: the upstreams whose failures are counted
    board: what all workers show of themselves
    mirror: where a worker's metrics are written besides
    """

    def __init__(
        self,
        stats: StreamStats,
        limit: Callable[[], int | None],
        upstreams: Sequence[CountedUpstream],
        board: ShownBoard,
        mirror: Mirror | None = None,
    ) -> None:
        self._stats = stats
        self._board = board
        self._workers = WorkerCollector(board)
        self._mirror = mirror
        self._limit_of_streams = limit
        self._upstreams = upstreams
        self._metrics: list[Metric] = []
        self._create_metrics()
        self._counts = {"ended": self._ended, "errors": self._errors, "refused": self._refused}
        self._encoded_counts: dict[tuple[str, Labels], bytes] = {}
        stats.on_count = self._share_count

    def _create_metrics(self) -> None:
        self._open = self._gauge("open_streams", "Streams that run", "route")
        self._limit = self._gauge(
            "open_streams_limit", "Streams that may run at once, of all workers"
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
            "upstream_out", "1 while a worker leaves the upstream alone", "upstream", merge=max
        )
        self._redis_out = self._gauge(
            "redis_out", "1 while a worker cannot use Redis: no answer, or a refusal", merge=max
        )
        self._redis_problems = self._counter(
            "redis_problems", "How often a worker could not use Redis any more"
        )
        self._incomplete = self._gauge(
            "metrics_incomplete", "1 if there is no room to share a worker's metrics", merge=max
        )
        for upstream in self._upstreams:
            self._out.labels(upstream.label)

    def read(self) -> bytes:
        """Return the numbers of all workers in Prometheus's text format."""
        self.move()
        registry = CollectorRegistry()
        registry.register(self)
        registry.register(self._workers)
        return prometheus_client.generate_latest(registry)

    def collect(self) -> Iterable[Family]:
        everybody = self._all_numbers()
        for metric in self._metrics:
            values = (dict((each.counts | each.states).get(metric.name, ())) for each in everybody)
            yield metric.family(merged(values, metric.merge))

    def _share_count(self, name: str, labels: Labels) -> None:
        """Show to all what was just counted, and will be moved with everything else."""
        if (row := self._board.own_row) is None:
            return
        encoded = self._encoded_counts.get((name, labels))
        if encoded is None:
            # There are as many as there are time series.
            encoded = encode_count(self._counts[name].name, labels)
            self._encoded_counts[name, labels] = encoded
        if not shared_numbers().add(row.number, encoded):
            self.move()

    def _all_numbers(self) -> list[Numbers]:
        row = self._board.own_row
        if row is None:
            return [Numbers(0, *self._values())]  # There is no server, as in a test client.
        shared = shared_numbers().read_all()
        if self._incomplete.values[()][0]:
            shared.append(Numbers(0, *self._values()))
        return shared

    def _values(self) -> tuple[Values, Values]:
        """Return the counts and the states."""
        counts: Values = {}
        states: Values = {}
        for metric in self._metrics:
            kind = counts if metric.outlives_worker else states
            kind[metric.name] = list(metric.values.items())
        return counts, states

    def move(self) -> None:
        """Move what was counted since the last call."""
        stats = self._stats
        for route, count in stats.open.items():
            self._open.set(count, route)
        self._limit.set(self._limit_of_streams() or 0)
        _move_counts(stats.ended, self._ended)
        _move_counts(stats.errors, self._errors)
        _move_counts(stats.refused, self._refused)
        self._events.add(stats.events)
        self._bytes.add(stats.bytes)
        self._keepalives.add(stats.keepalives)
        stats.events = stats.bytes = stats.keepalives = 0
        _move_histograms(stats.first_events, self._first_events)
        _move_histogram(stats.gaps, self._gaps)
        _move_histograms(stats.durations, self._durations)
        _move_histogram(stats.releases, self._releases)
        _move_histogram(stats.loop_lags, self._loop_lags)
        _move_counts(stats.upstream_errors, self._upstream_errors)
        self._move_upstreams()
        self._redis_out.set(stats.redis_out > 0)
        self._redis_problems.add(stats.redis_problems)
        stats.redis_problems = 0
        if (row := self._board.own_row) is not None:
            fits = shared_numbers().publish(row.number, *self._values())
            self._incomplete.set(not fits)
        if self._mirror is not None:
            self._mirror.write(self._metrics)

    def _move_upstreams(self) -> None:
        now = time.monotonic()
        are_out = dict.fromkeys((upstream.label for upstream in self._upstreams), False)
        for upstream in self._upstreams:
            label = upstream.label
            for code, count in upstream.errors.items():
                self._upstream_errors.add(count, label, code)
            upstream.errors.clear()
            self._failovers.add(upstream.failovers, label)
            upstream.failovers = 0
            are_out[label] |= upstream.is_out(now)
        for label, is_out in are_out.items():
            self._out.set(is_out, label)

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return self._added(Counter(name, help_, *labels))

    def _gauge(
        self, name: str, help_: str, *labels: str, merge: Callable[[float, float], float] = add
    ) -> Gauge:
        return self._added(Gauge(name, help_, *labels, merge=merge))

    def _histogram(
        self, name: str, help_: str, bounds: tuple[float, ...], *labels: str
    ) -> Histogram:
        return self._added(Histogram(name, help_, bounds, *labels))

    def _added(self, metric: AnyMetric) -> AnyMetric:
        self._metrics.append(metric)
        return metric


def _move_counts(counts: dict[tuple[str, ...], int], counter: Counter) -> None:
    for labels, count in counts.items():
        counter.add(count, *labels)
    counts.clear()


def _move_histograms(plain: Mapping[str, PlainHistogram], histogram: Histogram) -> None:
    for label, each in plain.items():
        histogram.add_all(*each.take(), label)


def _move_histogram(plain: PlainHistogram, histogram: Histogram) -> None:
    histogram.add_all(*plain.take())
