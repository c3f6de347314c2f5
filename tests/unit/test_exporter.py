"""The export of a worker's numbers to Prometheus, and the private parts of prometheus-client that it needs."""

from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flask_sluice.observe.exporter import MetricsExporter
from flask_sluice.observe.stream_stats import StreamStats
from flask_sluice.server.worker_board import Stage, WorkerBoard
from tests.unit.stream_ends import end_of


class FakeUpstream:
    def __init__(self, label="host:1"):
        self.label = label
        self.errors = Counter()
        self.failovers = 0
        self.out = False

    def is_out(self, now):
        return self.out


@pytest.fixture
def stats():
    return StreamStats()


@pytest.fixture
def upstream():
    return FakeUpstream()


@pytest.fixture
def exporter(stats, upstream):
    return MetricsExporter(stats, lambda: 7, [upstream], WorkerBoard())


def values_of(text: bytes):
    """The values by name and labels, ordered by the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def values(exporter):
    return values_of(exporter.read())


def test_each_number_is_moved_once(exporter, stats):
    stats.begin(end_of().notes)
    stats.end(end_of())
    stats.gaps.add(0.004)
    stats.events = 3
    for _ in range(2):
        seen = values(exporter)
        assert seen["sluice_streams_ended_total", "m", "complete", "/chat"] == 1
        assert seen["sluice_sent_events_total",] == 3
        assert seen["sluice_event_gap_seconds_count",] == 1
        assert seen["sluice_event_gap_seconds_bucket", "0.005"] == 1
        assert seen["sluice_event_gap_seconds_sum",] == 0.004
        assert seen["sluice_first_event_seconds_sum", "m"] == 0.2
        assert seen["sluice_stream_duration_seconds_bucket", "1.0", "/chat"] == 0
        assert seen["sluice_stream_duration_seconds_bucket", "2.5", "/chat"] == 1


def test_open_streams_are_exported_as_they_are_now(exporter, stats):
    stats.begin(end_of().notes)
    assert values(exporter)["sluice_open_streams", "/chat"] == 1
    stats.end(end_of())
    assert values(exporter)["sluice_open_streams", "/chat"] == 0
    assert values(exporter)["sluice_open_streams_limit",] == 7


def test_upstreams_are_exported_with_their_state(exporter, upstream):
    assert values(exporter)["sluice_upstream_failovers_total", "host:1"] == 0
    assert values(exporter)["sluice_upstream_out", "host:1"] == 0
    upstream.errors["503"] += 2
    upstream.failovers += 2
    upstream.out = True
    for _ in range(2):
        seen = values(exporter)
        assert seen["sluice_upstream_errors_total", "503", "host:1"] == 2
        assert seen["sluice_upstream_failovers_total", "host:1"] == 2
        assert seen["sluice_upstream_out", "host:1"] == 1


@pytest.mark.parametrize("which_is_out", [0, 1])
def test_upstreams_that_share_a_label_are_counted_together(stats, which_is_out):
    upstreams = [FakeUpstream(), FakeUpstream()]
    exporter = MetricsExporter(stats, lambda: None, upstreams, WorkerBoard())
    for upstream in upstreams:
        upstream.errors["503"] += 2
        upstream.failovers += 1
    upstreams[which_is_out].out = True
    seen = values(exporter)
    assert seen["sluice_upstream_errors_total", "503", "host:1"] == 4
    assert seen["sluice_upstream_failovers_total", "host:1"] == 2
    assert seen["sluice_upstream_out", "host:1"] == 1


def test_redis_is_out_while_one_of_its_users_cannot_use_it(exporter, stats):
    assert values(exporter)["sluice_redis_out",] == 0
    stats.redis_out = stats.redis_problems = 2
    assert values(exporter)["sluice_redis_out",] == 1
    stats.redis_out = 1
    assert values(exporter)["sluice_redis_out",] == 1
    stats.redis_out = 0
    seen = values(exporter)
    assert seen["sluice_redis_out",] == 0
    assert seen["sluice_redis_problems_total",] == 2


def test_labels_cannot_forge_lines(exporter, stats):
    stats.refused["404", 'a"\nb\\'] += 1
    assert values(exporter)["sluice_requests_refused_total", 'a"\nb\\', "404"] == 1


def test_each_worker_is_exported_with_what_it_has_open(stats):
    board = WorkerBoard()
    for streams in (3, 5):
        row = board.add_worker()
        row.stage = Stage.SERVING
        row.show(load=streams, streams=streams, limit=10)
    died = board.add_worker()
    died.show(load=2, streams=2, limit=10)
    board.remove_worker(died)
    seen = values(MetricsExporter(stats, lambda: 10, [], board))
    assert seen["sluice_worker_streams", "0"] == 3
    assert seen["sluice_worker_streams", "1"] == 5
    assert seen["sluice_worker_streams_limit", "1"] == 10
    assert seen["sluice_worker_starts_total",] == 3
    assert seen["sluice_worker_deaths_total",] == 1
    assert seen["sluice_worker_lost_streams_total",] == 2


def test_workers_of_another_server_are_not_exported(exporter):
    assert not any("worker" in name for name, *_ in values(exporter))
