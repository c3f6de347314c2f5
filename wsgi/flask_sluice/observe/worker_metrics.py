"""Metrics of the workers as such: what each has open, and how many have started and died."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


class ShownWorker(Protocol):
    """A worker as metrics see it (``flask_sluice.server.worker_board.WorkerState``)."""

    @property
    def number(self) -> int: ...

    @property
    def streams(self) -> int: ...

    @property
    def limit(self) -> int | None: ...


class OwnRow(Protocol):
    """number: which no other living worker has"""

    number: int


class ShownBoard(Protocol):
    """Knows all workers (``flask_sluice.server.worker_board.WorkerBoard``).

    starts: how many have been started; deaths: how many ended otherwise than they were told to; lost_streams: how many
        streams those had open
    dropped_log_lines: how many lines the log has not taken
    own_row: that of this process, if it is a worker
    """

    @property
    def own_row(self) -> OwnRow | None: ...

    @property
    def starts(self) -> int: ...

    @property
    def deaths(self) -> int: ...

    @property
    def lost_streams(self) -> int: ...

    @property
    def dropped_log_lines(self) -> int: ...

    def workers(self) -> Sequence[ShownWorker]: ...


class WorkerCollector(Collector):
    """Reads the board at each scrape. Whichever worker answers the scrape knows all of them."""

    def __init__(self, board: ShownBoard) -> None:
        self._board = board

    def collect(self) -> Iterable[Metric]:
        board = self._board
        if not board.starts:
            # Another server's workers, which the board does not know.
            return
        streams = GaugeMetricFamily("sluice_worker_streams", "Open streams", labels=["worker"])
        limits = GaugeMetricFamily(
            "sluice_worker_streams_limit", "Streams that may be open at once", labels=["worker"]
        )
        for worker in board.workers():
            streams.add_metric([str(worker.number)], worker.streams)
            if worker.limit is not None:
                limits.add_metric([str(worker.number)], worker.limit)
        yield streams
        yield limits
        yield CounterMetricFamily(
            "sluice_worker_starts", "Workers that have been started", value=board.starts
        )
        yield CounterMetricFamily(
            "sluice_worker_deaths",
            "Workers that were killed, crashed or failed to boot",
            value=board.deaths,
        )
        yield CounterMetricFamily(
            "sluice_worker_lost_streams",
            "Streams that such workers had open, and that were cut",
            value=board.lost_streams,
        )
        yield CounterMetricFamily(
            "sluice_log_lines_dropped",
            "Log lines that were dropped because nothing took them",
            value=board.dropped_log_lines,
        )
