"""What the streams of a worker have done, in plain numbers, and moved to Prometheus's metrics."""

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flask_sluice.gateway.relay.upstream import Upstream, Upstreams
from flask_sluice.observe.exporter import MetricsExporter
from flask_sluice.observe.json_log import LogLine
from flask_sluice.observe.outcome import Outcome
from flask_sluice.observe.stream_end import StreamEnd
from flask_sluice.observe.stream_stats import NO_MODEL, OTHER, Histogram, Models, StreamStats
from flask_sluice.observe.write_stats import GAP_BOUNDS_SECONDS, WriteStats
from flask_sluice.stream.admission import Admission
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, PlainAnswer

EVENT = b"data: a\n\n"


def written(*times: float) -> WriteStats:
    stream = WriteStats()
    for at in times:
        stream.add_events(EVENT, at)
    return stream


def end_of(outcome=Outcome.COMPLETE, error=None, byte_count=100, **notes) -> StreamEnd:
    context = StreamContext()
    context.outcome = outcome
    context.notes.update(route="/chat", model="m", **notes)
    return StreamEnd(
        context,
        error=error,
        reason=None,
        events=3,
        byte_count=byte_count,
        keepalives=0,
        first_event_seconds=0.2,
        total_seconds=2.0,
    )


def ended(tally: StreamStats, end: StreamEnd) -> None:
    tally.begin(end.context)
    tally.end(end)


class TestHistogram:
    def test_a_bound_belongs_to_the_bucket_below_it(self):
        histogram = Histogram((1.0, 2.0))
        for value in (0.5, 1.0, 1.5, 2.0, 99.0):
            histogram.add(value)
        assert histogram.take() == ([2, 2, 1], 104.0)

    def test_it_begins_anew_when_it_was_taken(self):
        histogram = Histogram((1.0,))
        histogram.add(0.5)
        histogram.take()
        assert histogram.take() == ([0, 0], 0.0)


class TestModels:
    def test_configured_ones_and_no_others_are_told_apart(self):
        models = Models()
        models.set(("a", "b"))
        assert models.label("a", Outcome.ERROR) == "a"
        assert models.label("c", Outcome.COMPLETE) == OTHER

    def test_of_any_the_first_32_that_were_answered_are(self):
        models = Models()
        labels = {models.label(f"model-{number}", Outcome.COMPLETE) for number in range(1000)}
        assert labels == {f"model-{number}" for number in range(32)} | {OTHER}
        assert models.label("model-0", Outcome.ERROR) == "model-0"

    def test_one_that_nothing_has_answered_takes_no_place(self):
        models = Models()
        for number in range(1000):
            assert models.label(f"refused-{number}", Outcome.ERROR) == OTHER
        assert models.label("real", Outcome.COMPLETE) == "real"

    @pytest.mark.parametrize("name", ["x" * 101, "a\nb", "\ud800", "\x1b[31m", 7])
    def test_what_is_no_plain_name_never_is(self, name):
        assert Models().label(name, Outcome.COMPLETE) == OTHER

    def test_a_stream_without_a_model_says_so(self):
        assert Models().label(None, Outcome.COMPLETE) == NO_MODEL


class TestWritten:
    def test_gaps_are_between_writes_of_events(self):
        counts = written(10.0, 10.004, 10.05, 70.0, 200.0).take_gap_counts()
        seconds = dict(zip((*GAP_BOUNDS_SECONDS, "more"), counts, strict=True))
        assert {bound: count for bound, count in seconds.items() if count} == {
            0.005: 1,
            0.05: 1,
            60.0: 1,
            "more": 1,
        }

    def test_everything_is_counted_once_however_often_it_is_looked_at(self):
        tally, stream = StreamStats(), written(1.0, 1.5)
        stream.keepalive_count = 1
        for _ in range(2):
            tally.add_written(stream, 2, is_streamed=True)
        stream.add_events(EVENT, 2.5)
        for _ in range(2):
            tally.add_written(stream, 3, is_streamed=True)
        assert (tally.events, tally.bytes, tally.keepalives) == (3, 3 * len(EVENT), 1)
        counts, total = tally.gaps.take()
        assert (sum(counts), total) == (2, 1.5)

    def test_a_document_has_no_gaps(self):
        tally = StreamStats()
        tally.add_written(written(1.0, 1.5), 2, is_streamed=False)
        counts, total = tally.gaps.take()
        assert (sum(counts), total) == (0, 0.0)
        assert tally.bytes == 2 * len(EVENT)


class TestEnd:
    def test_a_stream_is_open_from_its_begin_to_its_end(self):
        tally, end = StreamStats(), end_of()
        tally.begin(end.context)
        assert tally.open == {"/chat": 1}
        tally.end(end)
        assert tally.open == {"/chat": 0}
        assert tally.ended == {("/chat", "m", "complete"): 1}

    def test_the_first_byte_of_a_document_is_no_first_event(self):
        tally = StreamStats()
        ended(tally, end_of(stream=False))
        assert tally.first_events == {}
        assert sum(tally.durations["/chat"].counts) == 1

    def test_an_error_is_counted_by_its_code(self):
        tally = StreamStats()
        ended(tally, end_of(Outcome.ERROR, ApiError(503, "draining", "…")))
        assert tally.errors == {("draining",): 1}
        assert tally.upstream_errors == {}

    def test_one_of_the_upstreams_in_mid_stream_is_counted_by_upstream(self):
        tally = StreamStats()
        error = ApiError(502, "upstream_truncated", "…")
        ended(tally, end_of(Outcome.ERROR, error, upstream="u:1", upstream_status=200))
        assert tally.upstream_errors == {("u:1", "upstream_truncated"): 1}

    def test_one_that_came_in_place_of_an_answer_is_left_to_who_asked(self):
        tally = StreamStats()
        error = ApiError(502, "upstream_unreachable", "…")
        ended(tally, end_of(Outcome.ERROR, error, upstream="u:1", upstream_status=None))
        assert tally.upstream_errors == {}

    def test_an_upstreams_error_event_is_an_error(self):
        end = end_of(Outcome.ERROR)
        end.context.fail("upstream: out of memory")
        assert end.code == "upstream_error"

    @pytest.mark.parametrize(
        ("status", "end"),
        [
            (200, end_of()),
            (429, end_of(upstream_status=429)),
            (504, end_of(Outcome.ERROR, ApiError(504, "upstream_timeout", ""), byte_count=0)),
            (400, end_of(Outcome.ERROR, PlainAnswer(400, {}, b"{}"), byte_count=0)),
            (200, end_of(Outcome.ERROR, ApiError(504, "upstream_timeout", ""))),
            (None, end_of(Outcome.CANCELLED, byte_count=0)),
            (None, end_of(byte_count=None)),
        ],
        ids=["whole", "passed-on", "refused", "plain", "in-stream", "left", "no-response"],
    )
    def test_status_is_what_the_client_got(self, status, end):
        assert end.status == status


class TestMetrics:
    @pytest.fixture
    def tally(self):
        return StreamStats()

    @pytest.fixture
    def upstream(self):
        return Upstream("http://host:1/v1", 5)

    @pytest.fixture
    def metrics(self, tally, upstream):
        return MetricsExporter(tally, Admission(limit=7), Upstreams([upstream]))

    @staticmethod
    def values(metrics):
        families = text_string_to_metric_families(metrics.read().decode())
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def test_what_was_counted_is_moved_once(self, metrics, tally):
        ended(tally, end_of())
        tally.gaps.add(0.004)
        tally.events = 3
        for _ in range(2):
            seen = self.values(metrics)
            assert seen["sluice_streams_ended_total", "m", "complete", "/chat"] == 1
            assert seen["sluice_sent_events_total",] == 3
            assert seen["sluice_event_gap_seconds_count",] == 1
            assert seen["sluice_event_gap_seconds_bucket", "0.005"] == 1
            assert seen["sluice_event_gap_seconds_sum",] == 0.004
            assert seen["sluice_first_event_seconds_sum", "m"] == 0.2
            assert seen["sluice_stream_duration_seconds_bucket", "1.0", "/chat"] == 0
            assert seen["sluice_stream_duration_seconds_bucket", "2.5", "/chat"] == 1

    def test_what_is_open_is_told_as_it_is(self, metrics, tally):
        context = end_of().context
        tally.begin(context)
        assert self.values(metrics)["sluice_open_streams", "/chat"] == 1
        tally.end(end_of())
        assert self.values(metrics)["sluice_open_streams", "/chat"] == 0
        assert self.values(metrics)["sluice_open_streams_limit",] == 7

    def test_upstreams_are_told_with_their_state(self, metrics, upstream):
        assert self.values(metrics)["sluice_upstream_failovers_total", "host:1"] == 0
        assert self.values(metrics)["sluice_upstream_out", "host:1"] == 0
        upstream.errors["503"] += 2
        upstream.failovers += 2
        for _ in range(3):
            upstream.failed(float("inf"))
        seen = self.values(metrics)
        assert seen["sluice_upstream_errors_total", "503", "host:1"] == 2
        assert seen["sluice_upstream_failovers_total", "host:1"] == 2
        assert seen["sluice_upstream_out", "host:1"] == 1

    def test_labels_cannot_forge_lines(self, metrics, tally):
        tally.refused["404", 'a"\nb\\'] += 1
        assert self.values(metrics)["sluice_requests_refused_total", 'a"\nb\\', "404"] == 1


HOSTILE = [
    "a\nb",
    "\r\x00\x1b[2J\x7f\x9b",
    "\u2028\u2029\x85",
    "\ud800",
    '"}{',
    "\N{GRINNING FACE}",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_log_line_is_one_printable_ascii_line_of_json(text):
    line = str(LogLine("m", {"field": text}))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["field"] == text
