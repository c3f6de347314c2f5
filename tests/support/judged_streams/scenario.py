"""Streams that go on, and readers that come and go, while a test disturbs Redis; and the judgement of what the readers got."""

import time
from collections.abc import Sequence

from tests.support.judged_streams.judgement import (
    Judgement,
    Reading,
    faults_of_log,
    is_told_to_be_over,
)
from tests.support.judged_streams.worker import JudgedWorker
from tests.support.redis_servers.node import RedisNode
from tests.support.server import wait_until
from tests.system.journal_worker import new_stream_id

_STEP_SECONDS = 30.0
"""How long anything may take, faults included, where the test has no limit of its own."""

_JOURNALS_OF_WORKERS = (1, 2)


class Scenario:
    """Begins with streams that their readers receive.

    with Scenario(redis.url) as scenario:
        redis.kill(...)
        scenario.until_all_go_on()
        judgement = scenario.judge()
    assert judgement.faults == []

    url: of what is disturbed
    stream_ids: where their slots matter; else as many as ``streams``
    readers: how many. A quarter of them read in the process that produces, the others in another one, where they come
        to any of two journals
    per_second: events of each stream
    limits: see ``JournalWorker``: lease_seconds, history_seconds and others
    """

    def __init__(
        self,
        url: str,
        *,
        streams: int = 8,
        stream_ids: Sequence[str] = (),
        readers: int = 40,
        per_second: float = 25.0,
        event_bytes: int = 100,
        **limits: float,
    ) -> None:
        self.stream_ids = list(stream_ids) or [new_stream_id() for _ in range(streams)]
        self.limits = {"lease_seconds": 6.0, "history_seconds": 20.0, **limits}
        self._url = url
        self._readers = readers
        self._per_second = per_second
        self._event_bytes = event_bytes
        self.workers: list[JudgedWorker] = []

    def launch(self) -> None:
        """Start the processes, which takes them a second, while Redis may still be starting."""
        self.workers = [
            JudgedWorker(self._url, journals=journals, **self.limits)
            for journals in _JOURNALS_OF_WORKERS
        ]

    def __enter__(self) -> "Scenario":
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()

    @property
    def producer(self) -> JudgedWorker:
        return self.workers[0]

    def _begin(self) -> None:
        if not self.workers:
            self.launch()
        assert [worker.problem() for worker in self.workers] == [None, None]
        self.producer.begin_streams(self.stream_ids, self._per_second, self._event_bytes)
        here = self._readers // 4
        for worker, readers in zip(self.workers, (here, self._readers - here), strict=True):
            worker.read_judged(self.stream_ids, readers)
        self.until_all_go_on()

    def until_all_go_on(self, only: Sequence[str] = (), seconds: float = _STEP_SECONDS) -> None:
        """Wait until each reader has received an event that is produced from now on, or is done.

        only: readers of these streams
        """
        produced = self.producer.produced()
        if only:
            produced = {stream_id: produced[stream_id] for stream_id in only}
        wait_until(
            lambda: not self._behind(produced),
            seconds,
            lambda: f"do not go on: {self._behind(produced)[:5]} of {produced}; {self._state()}",
        )

    def read_from_the_beginning(self) -> None:
        """Have more readers, who need what no worker holds any more."""
        for worker in self.workers:
            worker.read_judged(self.stream_ids, len(self.stream_ids))

    @property
    def told_seconds(self) -> float:
        """Within this a reader gets an event, or is told to come again.

        It is let go if Redis keeps it without an event for five leases; and a request may wait for a connection and for a
        reply, which takes nine seconds at most.
        """
        return 5 * self.limits["lease_seconds"] + 9

    def until_visited(self, times: int) -> None:
        """Wait until readers have come so many times each, on average."""
        wait_until(
            lambda: sum(worker.visits() for worker in self.workers) > times * self._readers,
            _STEP_SECONDS,
            self._state,
        )

    def until_produced(self, count: int) -> None:
        """Wait until each stream has so many more events."""
        before = self.producer.produced()
        wait_until(
            lambda: all(
                number >= before[stream_id] + count
                for stream_id, number in self.producer.produced().items()
            ),
            _STEP_SECONDS,
        )

    def until_problem(self, text: str = "") -> None:
        """Wait until each worker says that Redis does not work for it, and this among the reasons."""
        wait_until(
            lambda: all(
                problem and text in problem
                for worker in self.workers
                for problem in worker.problems()
            ),
            _STEP_SECONDS,
            self._state,
        )

    def until_well(self, seconds: float = _STEP_SECONDS) -> None:
        """Wait until no worker has a problem with Redis."""
        wait_until(
            lambda: not any(worker.problem() for worker in self.workers), seconds, self._state
        )

    def judge(self, problems: int = 1, seconds: float = _STEP_SECONDS) -> Judgement:
        """End the streams, wait until all readers are done and all workers are well, and judge.

        problems: how often Redis was disturbed, so that trouble may begin and end
        seconds: how long the end may take
        """
        last_ids = self.producer.end_streams()
        ends_at = time.monotonic() + seconds
        while not all(worker.are_done() for worker in self.workers) and time.monotonic() < ends_at:
            time.sleep(0.01)
        self.until_well(max(1.0, ends_at - time.monotonic()))
        # Each tells it a few seconds later, since trouble may come again.
        wait_until(
            lambda: all(is_told_to_be_over(worker.log()) for worker in self.workers),
            _STEP_SECONDS,
            self._state,
        )
        readings = [Reading(**each) for worker in self.workers for each in worker.readings()]
        faults = [
            f"{fault}: {reading}"
            for reading in readings
            for fault in reading.faults(last_ids[reading.stream_id])
        ]
        logs = [worker.log() for worker in self.workers]
        for lines in logs:
            faults += faults_of_log(lines, problems)
        timeline = sorted(line for worker in self.workers for line in worker.timeline())
        return Judgement(readings, faults, logs, timeline)

    def nothing_is_left(self, nodes: Sequence[RedisNode]) -> None:
        """Close the workers, and wait until none of these nodes has a key of ours.

        Takes as long as ``history_seconds``.
        """
        for worker in self.workers:
            worker.close()
        wait_until(
            lambda: not any(keys_of_sluice(node) for node in nodes),
            2 * self.limits["history_seconds"] + _STEP_SECONDS,
            lambda: str([keys_of_sluice(node) for node in nodes]),
        )

    def _behind(self, produced: dict[str, int]) -> list[list[object]]:
        return [
            [stream_id, number]
            for worker in self.workers
            for stream_id, number in worker.reached()
            if number <= produced.get(stream_id, -1)
        ]

    def _state(self) -> str:
        return str([(worker.problem(), worker.log()) for worker in self.workers])


def keys_of_sluice(node: RedisNode) -> list[str]:
    return [key.decode() for key in node.client.keys("sluice:*")]


def keys_that_stay(nodes: Sequence[RedisNode]) -> list[str]:
    """Return the keys of ours that would never expire. A replica's keys are its primary's."""
    return [
        key
        for node in nodes
        if node.role == "master"
        for key in keys_of_sluice(node)
        if node.client.ttl(key) == -1
    ]
