"""The plain numbers that a worker keeps of its streams."""

import pytest

from flask_sluice.observe.outcome import Outcome
from flask_sluice.observe.stream_stats import NO_MODEL, OTHER, Histogram, ModelLabels, StreamStats
from flask_sluice.observe.write_stats import GAP_BOUNDS_SECONDS, WriteStats
from tests.unit.stream_ends import end_of

EVENT = b"data: a\n\n"


def writes_at(*times: float) -> WriteStats:
    writes = WriteStats()
    for at in times:
        writes.add_events(EVENT, at)
    return writes


def stats_after(end) -> StreamStats:
    stats = StreamStats()
    stats.begin(end.notes)
    stats.end(end)
    return stats


class TestHistogram:
    def test_a_bound_belongs_to_the_bucket_below_it(self):
        histogram = Histogram((1.0, 2.0))
        for value in (0.5, 1.0, 1.5, 2.0, 99.0):
            histogram.add(value)
        assert histogram.take() == ([2, 2, 1], 104.0)

    def test_taking_its_counts_resets_it(self):
        histogram = Histogram((1.0,))
        histogram.add(0.5)
        histogram.take()
        assert histogram.take() == ([0, 0], 0.0)


class TestModelLabels:
    def test_configured_models_and_no_others_are_labels(self):
        labels = ModelLabels()
        labels.set(("a", "b"))
        assert labels.label("a", Outcome.ERROR) == "a"
        assert labels.label("c", Outcome.COMPLETE) == OTHER

    def test_where_any_model_is_accepted_the_first_32_that_answered_are_labels(self):
        labels = ModelLabels()
        seen = {labels.label(f"model-{number}", Outcome.COMPLETE) for number in range(1000)}
        assert seen == {f"model-{number}" for number in range(32)} | {OTHER}
        assert labels.label("model-0", Outcome.ERROR) == "model-0"

    def test_a_model_that_never_answered_takes_no_room(self):
        labels = ModelLabels()
        for number in range(1000):
            assert labels.label(f"refused-{number}", Outcome.ERROR) == OTHER
        assert labels.label("real", Outcome.COMPLETE) == "real"

    @pytest.mark.parametrize("name", ["x" * 101, "a\nb", "\ud800", "\x1b[31m", 7])
    def test_a_name_that_is_not_plain_text_is_never_a_label(self, name):
        assert ModelLabels().label(name, Outcome.COMPLETE) == OTHER

    def test_a_stream_without_a_model_has_a_label_of_its_own(self):
        assert ModelLabels().label(None, Outcome.COMPLETE) == NO_MODEL


class TestWriteStats:
    def test_gaps_are_between_writes_of_events(self):
        counts = writes_at(10.0, 10.004, 10.05, 70.0, 200.0).take_gap_counts()
        seconds = dict(zip((*GAP_BOUNDS_SECONDS, "more"), counts, strict=True))
        assert {bound: count for bound, count in seconds.items() if count} == {
            0.005: 1,
            0.05: 1,
            60.0: 1,
            "more": 1,
        }

    def test_everything_is_counted_once_however_often_it_is_added(self):
        stats, writes = StreamStats(), writes_at(1.0, 1.5)
        writes.keepalive_count = 1
        for _ in range(2):
            stats.add_written(writes, 2, is_streamed=True)
        writes.add_events(EVENT, 2.5)
        for _ in range(2):
            stats.add_written(writes, 3, is_streamed=True)
        assert (stats.events, stats.bytes, stats.keepalives) == (3, 3 * len(EVENT), 1)
        counts, total = stats.gaps.take()
        assert (sum(counts), total) == (2, 1.5)

    def test_a_document_has_no_gaps(self):
        stats = StreamStats()
        stats.add_written(writes_at(1.0, 1.5), 2, is_streamed=False)
        counts, total = stats.gaps.take()
        assert (sum(counts), total) == (0, 0.0)
        assert stats.bytes == 2 * len(EVENT)


class TestStreamStats:
    def test_a_stream_is_open_from_its_begin_to_its_end(self):
        stats, end = StreamStats(), end_of()
        stats.begin(end.notes)
        assert stats.open == {"/chat": 1}
        stats.end(end)
        assert stats.open == {"/chat": 0}
        assert stats.ended == {("/chat", "m", "complete"): 1}

    def test_a_stream_that_is_withdrawn_has_never_been(self):
        stats, end = StreamStats(), end_of()
        stats.begin(end.notes)
        stats.withdraw(end.notes)
        assert stats.open == {"/chat": 0}
        assert stats.ended == {}

    def test_the_first_byte_of_a_document_is_not_an_event(self):
        stats = stats_after(end_of(stream=False))
        assert stats.first_events == {}
        assert sum(stats.durations["/chat"].counts) == 1

    def test_an_error_is_counted_by_its_route_and_code(self):
        stats = stats_after(end_of(Outcome.ERROR, "draining"))
        assert stats.errors == {("/chat", "draining"): 1}
        assert stats.upstream_errors == {}

    def test_an_upstreams_error_in_mid_stream_is_counted_by_upstream(self):
        end = end_of(Outcome.ERROR, "upstream_truncated", upstream="u:1", upstream_status=200)
        assert stats_after(end).upstream_errors == {("u:1", "upstream_truncated"): 1}

    def test_an_upstreams_error_in_place_of_an_answer_is_counted_by_the_relay(self):
        end = end_of(Outcome.ERROR, "upstream_unreachable", upstream="u:1", upstream_status=None)
        assert stats_after(end).upstream_errors == {}
