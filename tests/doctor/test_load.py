"""Several readers at once, and one that does not read."""

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest

from flask_sluice.doctor import Check, Depth, Verdict, examine
from flask_sluice.doctor.checks import load
from flask_sluice.doctor.checks.crowd import Crowd
from tests.doctor.zoo.origins.script import path
from tests.server.raw_upstream import LAST_CHUNK, RawUpstream, chunk
from tests.support.server import Server

QUICK = {"depth": Depth.QUICK, "read_seconds": 0.5}
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
EVENT = chunk(b"data: 1\n\n")


def seven(url: str, **options) -> Check:
    options = {**QUICK, **options}
    return examine(url, groups=("load",), **options).check("load.seven-connections")


def slow(url: str, **options) -> Check:
    options = {"read_seconds": 0.8, **options}
    return examine(url, groups=("load",), **options).check("load.slow-reader")


# Seven at once.


def test_a_server_of_any_number_of_streams_is_well(origin):
    check = seven(origin + path(events=0, interval=0.05))
    assert check.verdict is Verdict.OK
    assert check.numbers["most_at_once"] == 7
    assert "six" in check.evidence or "6 connections" in check.evidence


def test_seven_streams_are_just_enough(origin):
    assert seven(origin + path(events=0, interval=0.05, limit=7)).verdict is Verdict.OK


@pytest.mark.slow
def test_a_seventh_reader_that_waits_for_good_is_a_fault(origin):
    check = seven(origin + path(events=0, interval=0.05, limit=6))
    assert check.verdict is Verdict.FAULT
    assert check.numbers["served"] == 6
    assert "as soon as those had left" in check.evidence
    assert check.remedies


@pytest.mark.slow
def test_a_seventh_reader_that_waits_for_the_end_of_anothers_stream_is_a_fault(origin):
    check = seven(origin + path(events=20, interval=0.05, limit=6), read_seconds=5)
    assert check.verdict is Verdict.FAULT
    assert "never more than 6" in check.evidence


@pytest.mark.slow
def test_readers_that_are_served_one_after_the_other_are_a_fault(origin):
    check = seven(origin + path(events=20, interval=0.05, limit=1), read_seconds=5)
    assert check.verdict is Verdict.FAULT
    assert check.numbers["most_at_once"] == 1


def test_streams_that_are_over_at_once_do_not_show_whether_they_run_side_by_side(origin):
    check = seven(origin + path(events=2, interval=0.01, limit=1), read_seconds=5)
    assert check.verdict is Verdict.SKIPPED


@pytest.mark.parametrize(
    ("refusal", "verdict"),
    [
        ("503 Service Unavailable", Verdict.FAULT),
        ("503 Service Unavailable\r\nRetry-After: 1", Verdict.WARNING),
        ("429 Too Many Requests", Verdict.WARNING),
    ],
)
def test_readers_that_are_refused_have_to_be_told_to_come_back(refusal, verdict):
    with limited_server(most=4, refusal=refusal) as url:
        check = seven(url)
    assert check.verdict is verdict
    assert refusal[:3] in check.evidence
    assert check.numbers["served"] == 4


@pytest.mark.slow
def test_readers_that_are_merely_late_have_not_waited_for_others():
    with server_that_opens_one_each(0.25) as url:
        check = seven(url)
    assert check.verdict is Verdict.WARNING
    assert "they wait" in check.evidence
    assert check.numbers["most_at_once"] == 7


def test_a_stream_without_an_event_is_not_asked_for_seven_times(origin):
    report = examine(origin + path(first=30), groups=("load",), **QUICK)
    assert {check.verdict for check in report.checks} == {Verdict.SKIPPED}
    assert report.request_count <= 2


def test_a_paid_answer_is_not_asked_for_seven_times_in_a_quick_examination(origin, monkeypatch):
    monkeypatch.setattr(load, "is_paid", lambda _: True)
    report = examine(origin + path(), groups=("load",), **QUICK)
    assert report.check("load.seven-connections").verdict is Verdict.SKIPPED
    assert report.request_count <= 2


def test_fifty_are_opened_only_in_a_thorough_examination(origin):
    report = examine(origin + path(events=0, interval=0.05), groups=("load",), read_seconds=0.5)
    assert report.check("load.fifty-at-once").verdict is Verdict.SKIPPED
    assert report.request_count < 15


@pytest.mark.slow
def test_a_server_of_twenty_streams_is_found_by_fifty(origin):
    url = origin + path(events=0, interval=0.1, limit=20)
    report = examine(url, groups=("load",), depth=Depth.THOROUGH, read_seconds=0.5)
    assert report.check("load.seven-connections").verdict is Verdict.OK
    check = report.check("load.fifty-at-once")
    assert check.verdict is Verdict.FAULT
    assert check.numbers["served"] == 20


@pytest.mark.parametrize(
    ("intervals", "most"),
    [
        ([(0, 1), (0, 1), (0, 1)], 3),
        ([(0, 1), (1, 2), (2, 3)], 1),
        ([(0, 2), (1, 3), (2, 4)], 2),
        ([], 0),
    ],
)
def test_streams_that_touch_do_not_run_at_once(intervals, most):
    crowd = Crowd(3, waited_seconds=4, stream_seconds=1)
    crowd.intervals = intervals
    assert crowd.most_at_once == most


# A reader that does not read.


@pytest.mark.slow
def test_a_reader_that_does_not_read_and_stops_the_others_is_found(origin):
    check = slow(origin + path(shared=1, events=0, interval=0.005, size=16384))
    assert check.verdict is Verdict.FAULT
    assert "went on when the first one had left" in check.evidence


@pytest.mark.slow
def test_a_reader_that_does_not_read_and_stops_itself_alone_is_well(origin):
    check = slow(origin + path(events=0, interval=0.005, size=16384))
    assert check.verdict is Verdict.OK
    assert check.numbers["byte_count"] > 256 * 1024


def test_a_stream_that_the_systems_buffers_take_says_nothing(origin):
    check = slow(origin + path(shared=1, events=40, interval=0.02))
    assert check.verdict is Verdict.SKIPPED
    assert "buffers" in check.evidence


@pytest.mark.slow
def test_the_gateways_readers_do_not_hold_up_each_other():
    with Server() as server:
        report = examine(server.url, groups=("load",))
        verdicts = {check.name: check.verdict for check in report.checks}
    assert verdicts["seven-connections"] is Verdict.OK
    assert verdicts["slow-reader"] is Verdict.OK


# Servers.


@contextlib.contextmanager
def limited_server(most: int, refusal: str) -> Iterator[str]:
    """Refuses further streams. refusal: the status, and header lines"""
    running = threading.Semaphore(most)

    def answer(sock, _request) -> None:
        if not running.acquire(blocking=False):
            sock.sendall(f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        try:
            stream(sock)
        finally:
            running.release()

    with RawUpstream(answer) as server:
        yield f"http://{server.host}/events"


@contextlib.contextmanager
def server_that_opens_one_each(seconds: float) -> Iterator[str]:
    """Opens one stream after the other, each with a delay, and runs them side by side."""
    turn = threading.Lock()

    def answer(sock, _request) -> None:
        with turn:
            time.sleep(seconds)
        stream(sock)

    with RawUpstream(answer) as server:
        yield f"http://{server.host}/events"


def stream(sock) -> None:
    """Send events until the reader leaves, for 20 s at most."""
    sock.sendall(HEAD)
    sock.settimeout(0.05)
    for _ in range(400):
        sock.sendall(EVENT)
        try:
            if not sock.recv(1):
                return
        except TimeoutError:
            continue
    sock.sendall(LAST_CHUNK)
