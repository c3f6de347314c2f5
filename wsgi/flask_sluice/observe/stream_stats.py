"""What the streams of a worker have done, counted in plain numbers.

Nothing here knows who will ask: an app that exports metrics moves the numbers from here to there now and then
(``flask_sluice.observe.exporter``), any other leaves them.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from operator import add

from flask_sluice.observe.outcome import Outcome
from flask_sluice.observe.stream_end import StreamEnd
from flask_sluice.observe.write_stats import GAP_BOUNDS_SECONDS, WriteStats

FIRST_EVENT_BOUNDS_SECONDS = (
    # From a model that has its prompt in a cache to the 300 s after which an upstream is given up by default;
    # close to each other where a reader begins to notice.
    *(0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
DURATION_BOUNDS_SECONDS = (
    # From a refusal to the hour after which a stream is ended by default.
    *(0.05, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 900.0, 3600.0),
)
RELEASE_BOUNDS_SECONDS = (
    # 10 ms is the promise; below it lies what is usual, above it how badly it was missed.
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0),
)
LAG_BOUNDS_SECONDS = (
    # A wait in epoll is up to 1 ms late by itself (epoll_wait(2) counts in those).
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)

OTHER = "other"
NO_MODEL = "none"
_MAX_MODELS = 32
_MAX_MODEL_LENGTH = 100


class Histogram:
    """bounds: the upper end of each bucket, which belongs to it; there is one bucket more, without an end."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def take(self) -> tuple[list[int], float]:
        """The counts of the buckets and the sum of the values, which begin anew."""
        taken = self.counts, self.total
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0
        return taken

    def add_all(self, counts: Iterable[int], total: float) -> None:
        """Values that are in buckets already."""
        self.counts = list(map(add, self.counts, counts))
        self.total += total


class Models:
    """The model names that are told apart; all others are "other".

    Clients choose these names, and each one is a set of time series for good. So only configured ones count, or,
    where any name is taken, the first 32 that got a whole answer: what an upstream refuses takes no place.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._may_learn = True

    def set(self, names: Iterable[str]) -> None:
        """``names``: the configured ones; none: any."""
        self._known = set(names)
        self._may_learn = not self._known

    def label(self, name: object, outcome: Outcome | None) -> str:
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
    """Numbers since they were moved away last; ``open`` and what is in ``models`` stay.

    open: streams by route
    ended: streams by route, model and outcome
    errors: streams by the code of the error that they ended with
    refused: requests by the status and code of the answer
    upstream_errors: answers that failed after they had begun, by upstream and code
    """

    def __init__(self) -> None:
        self.models = Models()
        self.open: Counter[str] = Counter()
        self.ended: Counter[tuple[str, ...]] = Counter()
        self.errors: Counter[tuple[str, ...]] = Counter()
        self.refused: Counter[tuple[str, ...]] = Counter()
        self.upstream_errors: Counter[tuple[str, ...]] = Counter()
        self.events = 0
        self.bytes = 0
        self.keepalives = 0
        self.gaps = Histogram(GAP_BOUNDS_SECONDS)
        self.first_events: dict[str, Histogram] = {}
        self.durations: dict[str, Histogram] = {}
        self.releases = Histogram(RELEASE_BOUNDS_SECONDS)
        self.loop_lags = Histogram(LAG_BOUNDS_SECONDS)

    def add_written(self, written: WriteStats, event_count: int, *, is_streamed: bool) -> None:
        """What a stream has written since this was called for it last.

        is_streamed: False for a JSON document, between whose parts there are no gaps worth knowing
        """
        events, byte_count, keepalives, gap_seconds = written.counted
        self.events += event_count - events
        self.bytes += written.byte_count - byte_count
        self.keepalives += written.keepalive_count - keepalives
        written.counted = (
            *(event_count, written.byte_count, written.keepalive_count, written.gap_seconds),
        )
        gap_counts = written.take_gap_counts()
        if is_streamed:
            self.gaps.add_all(gap_counts, written.gap_seconds - gap_seconds)

    def begin(self, notes: Mapping[str, object]) -> None:
        """A stream begins; see ``StreamEnd`` for its notes."""
        self.open[_route_of(notes)] += 1

    def withdraw(self, notes: Mapping[str, object]) -> None:
        """A stream that has begun does not count."""
        self.open[_route_of(notes)] -= 1

    def end(self, end: StreamEnd) -> None:
        """Of a stream that has begun."""
        notes = end.notes
        route = _route_of(notes)
        self.open[route] -= 1
        model = self.models.label(notes.get("model"), end.outcome)
        self.ended[route, model, str(end.outcome)] += 1
        _of(self.durations, route, DURATION_BOUNDS_SECONDS).add(end.total_seconds)
        # The first byte of a JSON document is no event.
        if end.first_event_seconds is not None and notes.get("stream", True):
            _of(self.first_events, model, FIRST_EVENT_BOUNDS_SECONDS).add(end.first_event_seconds)
        code = end.code
        if code is not None:
            self.errors[(code,)] += 1
            # An upstream that did not answer, or refused, has been counted by the relay.
            if notes.get("upstream_status") == 200 and code.startswith("upstream_"):
                self.upstream_errors[str(notes["upstream"]), code] += 1


def _route_of(notes: Mapping[str, object]) -> str:
    return str(notes.get("route", OTHER))


def _of(histograms: dict[str, Histogram], label: str, bounds: tuple[float, ...]) -> Histogram:
    histogram = histograms.get(label)
    if histogram is None:
        histogram = histograms[label] = Histogram(bounds)
    return histogram


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and len(name) <= _MAX_MODEL_LENGTH and name.isprintable()
