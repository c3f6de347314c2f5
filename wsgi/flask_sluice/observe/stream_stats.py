"""What the streams of a worker have done, counted in plain numbers.

An app that exports metrics moves these numbers once a second (``flask_sluice.observe.exporter``); in any other app they only
grow.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import add

from flask_sluice.observe.outcome import Outcome
from flask_sluice.observe.stream_end import StreamEnd
from flask_sluice.observe.write_stats import GAP_BOUNDS_SECONDS, WriteStats

FIRST_EVENT_BOUNDS_SECONDS = (
    # From a model that has its prompt in a cache to 300 s, after which the relay gives an upstream up by default. The
    # bounds are close to each other where a reader begins to notice the time.
    *(0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
DURATION_BOUNDS_SECONDS = (
    # From a refusal to one hour, after which a stream is ended by default.
    *(0.05, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 900.0, 3600.0),
)
RELEASE_BOUNDS_SECONDS = (
    # 10 ms is the promise. The bounds below it show what is usual, those above it by how much it was missed.
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0),
)
LAG_BOUNDS_SECONDS = (
    # A wait in epoll is up to 1 ms late by itself: epoll_wait(2) takes its timeout in whole milliseconds.
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)

OTHER = "other"
NO_MODEL = "none"
_MAX_MODELS = 32
_MAX_MODEL_LENGTH = 100


class Histogram:
    """Values counted in buckets.

    bounds: the upper end of each bucket, which belongs to it; there is one bucket more, without an end
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def take(self) -> tuple[list[int], float]:
        """Return the counts of the buckets and the sum of the values, and reset both."""
        taken = self.counts, self.total
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0
        return taken

    def add_all(self, counts: Iterable[int], total: float) -> None:
        """Add values that are sorted into these buckets already. total: their sum."""
        self.counts = list(map(add, self.counts, counts))
        self.total += total


class ModelLabels:
    """The model names that are labels in the metrics; all others are labelled "other".

    Clients choose these names, and each one makes a set of time series for good. So only configured names are labels, or,
    where any name is accepted, the first 32 that got a complete answer: a name that an upstream refuses takes no room.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._may_learn = True

    def set(self, names: Iterable[str]) -> None:
        """Set the configured names; an empty ``names`` means that any name is accepted."""
        self._known = set(names)
        self._may_learn = not self._known

    def label(self, name: object, outcome: Outcome | None) -> str:
        """Return the label for a stream of the model ``name`` that has ended with this outcome."""
        if name is None:
            return NO_MODEL
        if name in self._known:
            return str(name)
        if outcome is Outcome.COMPLETE and self._may_learn and _is_plain(name):
            self._known.add(str(name))
            self._may_learn = len(self._known) < _MAX_MODELS
            return str(name)
        return OTHER


class StreamStats:
    """The numbers since they were last moved to the metrics. ``open``, ``models`` and ``redis_out`` are not moved.

    open: streams that run, by route
    ended: streams by route, model and outcome
    errors: streams by route and the code of the error that they ended with
    refused: requests by the status and code of the answer
    upstream_errors: answers that failed after they had begun, by upstream and code
    redis_out: how many of the Redises that the worker uses do not work at present
    redis_problems: how often that began
    on_count: called at once with what ``ended``, ``errors`` and ``refused`` count: the attribute's name, and the key. So
        a worker that is killed has lost none of these
    """

    def __init__(self) -> None:
        self.on_count: Callable[[str, tuple[str, ...]], object] | None = None
        self.models = ModelLabels()
        self.open: Counter[str] = Counter()
        self.ended: Counter[tuple[str, ...]] = Counter()
        self.errors: Counter[tuple[str, ...]] = Counter()
        self.refused: Counter[tuple[str, ...]] = Counter()
        self.upstream_errors: Counter[tuple[str, ...]] = Counter()
        self.redis_out = 0
        self.redis_problems = 0
        self.events = 0
        self.bytes = 0
        self.keepalives = 0
        self.gaps = Histogram(GAP_BOUNDS_SECONDS)
        self.first_events: dict[str, Histogram] = {}
        self.durations: dict[str, Histogram] = {}
        self.releases = Histogram(RELEASE_BOUNDS_SECONDS)
        self.loop_lags = Histogram(LAG_BOUNDS_SECONDS)

    def add_written(self, writes: WriteStats, event_count: int, *, is_streamed: bool) -> None:
        """Add what a stream has written since the last call for it.

        event_count: how many events it has written altogether
        is_streamed: False for a JSON document, whose parts have no gaps between them that matter
        """
        events, byte_count, keepalives, gap_seconds = writes.counted
        self.events += event_count - events
        self.bytes += writes.byte_count - byte_count
        self.keepalives += writes.keepalive_count - keepalives
        writes.counted = (
            *(event_count, writes.byte_count, writes.keepalive_count, writes.gap_seconds),
        )
        gap_counts = writes.take_gap_counts()
        if is_streamed:
            self.gaps.add_all(gap_counts, writes.gap_seconds - gap_seconds)

    def refuse(self, status: int, code: str) -> None:
        """Count a request that gets an error response."""
        self._count("refused", str(status), code)

    def _count(self, name: str, *key: str) -> None:
        getattr(self, name)[key] += 1
        if self.on_count is not None:
            self.on_count(name, key)

    def begin(self, notes: Mapping[str, object]) -> None:
        """Count a stream that begins. notes: see ``StreamEnd``."""
        self.open[_route_of(notes)] += 1

    def withdraw(self, notes: Mapping[str, object]) -> None:
        """Undo ``begin`` for a stream that could not be started."""
        self.open[_route_of(notes)] -= 1

    def end(self, end: StreamEnd) -> None:
        """Count the end of a stream for which ``begin`` was called."""
        notes = end.notes
        route = _route_of(notes)
        self.open[route] -= 1
        model = self.models.label(notes.get("model"), end.outcome)
        self._count("ended", route, model, str(end.outcome))
        _histogram_of(self.durations, route, DURATION_BOUNDS_SECONDS).add(end.total_seconds)
        # The first byte of a JSON document is not an event.
        if end.first_event_seconds is not None and notes.get("stream", True):
            first_events = _histogram_of(self.first_events, model, FIRST_EVENT_BOUNDS_SECONDS)
            first_events.add(end.first_event_seconds)
        code = end.code
        if code is not None:
            self._count("errors", route, code)
            # If the upstream did not answer, or refused, the relay has counted that.
            if notes.get("upstream_status") == 200 and code.startswith("upstream_"):
                self.upstream_errors[str(notes["upstream"]), code] += 1


def _route_of(notes: Mapping[str, object]) -> str:
    return str(notes.get("route", OTHER))


def _histogram_of(
    histograms: dict[str, Histogram], label: str, bounds: tuple[float, ...]
) -> Histogram:
    histogram = histograms.get(label)
    if histogram is None:
        histogram = histograms[label] = Histogram(bounds)
    return histogram


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and len(name) <= _MAX_MODEL_LENGTH and name.isprintable()
