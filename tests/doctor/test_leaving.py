"""Whether the server notices that its reader has left, and what cannot be known of it."""

import json

import pytest

from flask_sluice.doctor import Depth, Verdict, examine
from flask_sluice.doctor.observing.departure import Pace
from flask_sluice.doctor.observing.gauge import gauge_values
from tests.doctor.helped_apps import (
    deaf_app,
    flask_app,
    listening_app,
    uvicorn_server,
    werkzeug_server,
)
from tests.doctor.zoo.origins.script import path
from tests.server.raw_upstream import RawUpstream, chunk, target_of
from tests.support.server import Server

GAUGE = "zoo_streams_running"
QUICK = {"depth": Depth.QUICK, "read_seconds": 0.6}


def left(origin: str, metrics: str = f"/metrics#{GAUGE}", doctor: dict | None = None, **script):
    """Examine how a stream of the origin without an end takes its reader's leaving."""
    script = {"events": 0, "interval": 0.05, **script}
    options = {**QUICK, "metrics": origin + metrics if metrics else None, **(doctor or {})}
    return examine(origin + path(**script), groups=("leaving",), **options)


# Mid-stream.


@pytest.mark.slow
def test_a_server_that_notices_at_once_is_well(origin):
    check = left(origin).check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.OK
    assert check.numbers["noticed_seconds"] < 2
    assert GAUGE in check.evidence


@pytest.mark.slow
def test_a_server_that_writes_on_without_noticing_has_a_fault(origin):
    check = left(origin, leaving="never").check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.FAULT
    assert "not even notice at its next writes" in check.evidence
    assert check.remedies


@pytest.mark.slow
def test_a_server_that_notices_at_a_write_that_comes_soon_is_well(origin):
    check = left(origin, leaving="at-write").check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.OK


@pytest.mark.slow
def test_a_silent_server_that_does_not_look_has_a_fault(origin):
    report = left(origin, leaving="at-write", events=2, silence=30)
    check = report.check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.FAULT
    assert "while it has nothing to write" in check.evidence


@pytest.mark.slow
def test_a_silent_server_that_looks_is_well(origin):
    report = left(origin, events=2, silence=30)
    assert report.check("leaving.mid-stream-fin").verdict is Verdict.OK


@pytest.mark.slow
def test_readers_that_are_killed_are_noticed_too(origin):
    report = left(origin, doctor={"depth": Depth.USUAL})
    assert report.check("leaving.mid-stream-rst").verdict is Verdict.OK


def test_a_stream_that_is_over_soon_tells_nothing(origin):
    check = left(origin, events=10, leaving="never").check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.SKIPPED
    assert "too soon to tell its end from the reader's leaving" in check.evidence


# Prefill.


@pytest.mark.slow
def test_a_server_that_notices_before_its_first_event_is_well(origin):
    check = left(origin, doctor={"read_seconds": 2.5}, first=2).check("leaving.prefill-fin")
    assert check.verdict is Verdict.OK


@pytest.mark.slow
def test_a_server_that_notices_only_with_its_first_event_has_a_fault(origin):
    check = left(origin, doctor={"read_seconds": 2.5}, first=2, leaving="at-write").check(
        "leaving.prefill-fin"
    )
    assert check.verdict is Verdict.FAULT
    assert "notices only at its next write" in check.evidence


@pytest.mark.slow
def test_a_prefill_of_which_the_end_was_not_seen_can_be_left(origin):
    report = left(origin, first=30)
    assert report.check("leaving.prefill-fin").verdict is Verdict.OK
    assert report.check("leaving.mid-stream-fin").verdict is Verdict.SKIPPED


def test_a_first_event_that_comes_at_once_leaves_no_prefill_to_leave(origin):
    check = left(origin).check("leaving.prefill-fin")
    assert check.verdict is Verdict.SKIPPED
    assert "too soon to leave before it" in check.evidence


# What tells of it.


def test_without_a_witness_it_is_skipped_with_a_way_to_find_out(origin):
    check = left(origin, metrics="").check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.SKIPPED
    assert "DoctorMiddleware" in check.evidence
    assert "--metrics" in check.evidence


def test_a_known_gauge_needs_no_name(origin):
    report = left(origin, metrics="/metrics?name=llamacpp:requests_processing")
    check = report.check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.OK
    assert "llamacpp:requests_processing" in check.evidence


def test_metrics_without_a_known_gauge_are_skipped_with_their_names(origin):
    check = left(origin, metrics="/metrics").check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.SKIPPED
    assert GAUGE in check.evidence


@pytest.mark.parametrize("metrics", ["/metrics#other", "/nothing#here"])
def test_metrics_that_are_not_there_are_skipped(origin, metrics):
    assert left(origin, metrics).check("leaving.mid-stream-fin").verdict is Verdict.SKIPPED


@pytest.mark.slow
def test_a_gauge_that_does_not_count_this_stream_says_nothing(origin):
    with RawUpstream(lambda sock, _: sock.sendall(metrics_of(GAUGE, 0))) as other:
        metrics = f"http://{other.host}/metrics#{GAUGE}"
        options = {**QUICK, "metrics": metrics}
        report = examine(origin + path(events=0), groups=("leaving",), **options)
    check = report.check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.SKIPPED
    assert "does not show this stream" in check.evidence


@pytest.mark.slow
def test_vllms_gauge_may_stay_when_all_streams_were_aborted(origin):
    report = left(origin, "/metrics?name=vllm:num_requests_running", leaving="never")
    check = report.check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.SKIPPED
    assert "aborted" in check.evidence


@pytest.mark.slow
def test_a_gauge_that_moves_with_others_streams_says_nothing(origin):
    values = iter(range(1000))
    with RawUpstream(lambda sock, _: sock.sendall(metrics_of(GAUGE, next(values)))) as other:
        metrics = f"http://{other.host}/metrics#{GAUGE}"
        options = {**QUICK, "metrics": metrics}
        report = examine(origin + path(events=0), groups=("leaving",), **options)
    check = report.check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.SKIPPED
    assert "up and down" in check.evidence


def test_the_users_key_goes_to_no_other_host(origin):
    requests: list[bytes] = []

    def answer(sock, request):
        requests.append(request)
        sock.sendall(metrics_of(GAUGE, 0))

    with RawUpstream(answer) as other:
        options = {**QUICK, "metrics": f"http://{other.host}/metrics#none"}
        examine(
            origin + path(events=0),
            groups=("leaving",),
            headers={"Authorization": "Bearer secret"},
            **options,
        )
    assert requests
    assert not any(b"secret" in request for request in requests)


def test_gauges_with_labels_are_added_up():
    text = """# HELP vllm:num_requests_running Number
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a {b} c"} 2.0
vllm:num_requests_running{engine="1",model_name="d"} 1e0 1796077164000
sluice_open_streams 3
broken line
process_start_time_seconds NaN
"""
    values = gauge_values(text)
    assert values["vllm:num_requests_running"] == 3
    assert values["sluice_open_streams"] == 3


@pytest.mark.slow
def test_llama_cpps_slots_are_what_another_connection_sees():
    with RawUpstream(LlamaCpp().answer) as server:
        options = {**QUICK, "preset": "openai", "model": "tiny"}
        report = examine(
            f"http://{server.host}/v1/chat/completions", groups=("leaving",), **options
        )
    check = report.check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.OK
    assert "/slots" in check.evidence


class LlamaCpp:
    """Streams without an end, and lists its slots."""

    def __init__(self) -> None:
        self._busy = 0

    def answer(self, sock, request: bytes) -> None:
        if target_of(request) == "/slots":
            body = json.dumps([{"id": 0, "is_processing": self._busy > 0}]).encode()
            sock.sendall(plain("application/json", body))
            return
        self._busy += 1
        try:
            sock.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            sock.settimeout(0.05)
            while True:
                sock.sendall(chunk(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'))
                try:
                    if not sock.recv(1):
                        return
                except TimeoutError:
                    continue
        finally:
            self._busy -= 1


# Servers that help.


@pytest.mark.slow
def test_a_bare_generator_does_not_notice_in_its_prefill():
    with werkzeug_server(flask_app()) as url:
        report = examine(f"{url}/events", groups=("leaving",), depth=Depth.QUICK)
    mid_stream, prefill = report.checks
    assert mid_stream.verdict is Verdict.OK
    assert prefill.verdict is Verdict.FAULT
    assert "the server's own stream /doctor/stream" in prefill.evidence
    assert "notices only at its next write" in prefill.evidence


@pytest.mark.slow
def test_an_app_that_listens_is_well():
    with uvicorn_server(listening_app) as url:
        report = examine(f"{url}/events", groups=("leaving",), depth=Depth.QUICK)
    assert [check.verdict for check in report.checks] == [Verdict.OK] * 2
    assert "its report" in report.checks[0].evidence


@pytest.mark.slow
def test_an_app_that_does_not_listen_has_a_fault():
    with uvicorn_server(deaf_app) as url:
        report = examine(f"{url}/events", groups=("leaving",), depth=Depth.QUICK)
    check = report.check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.FAULT


@pytest.mark.slow
def test_the_gateway_is_well_however_and_whenever_its_reader_leaves():
    with Server(workers=2) as server:
        for metrics in (None, f"{server.url}/metrics"):
            report = examine(server.url, groups=("leaving",), metrics=metrics)
            assert [check.verdict for check in report.checks] == [Verdict.OK] * 4
            assert report.seconds < 15


@pytest.mark.slow
def test_a_report_that_the_server_promises_but_does_not_have_says_nothing(origin):
    header = "Sluice-Doctor-Report: /nowhere/streams/1"
    report = left(origin, metrics="", header=header)
    check = report.check("leaving.mid-stream-fin")
    assert check.verdict is Verdict.SKIPPED
    assert "404" in check.evidence


# Parts.


def test_the_events_that_are_due_go_on_at_the_usual_pace():
    pace = Pace(events=(1.0, 1.5), gap_seconds=0.5, end_seconds=3.2)
    assert pace.due(1.2, 10) == [1.5, 2.0, 2.5, 3.0]
    assert pace.due(1.2, 2) == [1.5, 2.0]


def test_a_silent_stream_has_no_events_that_are_due():
    assert Pace(events=(0.1,), gap_seconds=None, end_seconds=None).due(0.2, 3) == []


def plain(content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def metrics_of(name: str, value: int) -> bytes:
    return plain("text/plain; version=0.0.4", f"# TYPE {name} gauge\n{name} {value}\n".encode())
