"""What is sent while there is no event, and what cuts a silent connection."""

import contextlib
from collections.abc import Iterator

import pytest

from flask_sluice.doctor import Check, Depth, Verdict, examine
from flask_sluice.doctor.checks import silence
from flask_sluice.doctor.checks.keep_alives import keep_alives_of, longest_silence
from flask_sluice.doctor.events import take_apart
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.options import Options
from flask_sluice.doctor.presets.openai import OpenAIPreset
from flask_sluice.doctor.presets.preset import Preset
from tests.doctor.helped_apps import flask_app, werkzeug_server
from tests.doctor.zoo.origins.raw_origin import raw_origin
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.nginx import SOUND, nginx
from tests.server.raw_upstream import RawUpstream, hang_up
from tests.support.server import Server
from tests.support.stream import reset

REQUEST = HttpRequest("http://a.test/events")


def recorded(*arrivals: tuple[float, bytes], until: float = 0.0, **fields) -> Recording:
    """An answer that came so. until: how long it was read, if it has no end"""
    recording = Recording(REQUEST, status=200, head_seconds=0.0, **fields)
    recording.headers = [("Content-Type", "text/event-stream")]
    for seconds, data in arrivals:
        recording.add(seconds, data)
    recording.read_seconds = until or arrivals[-1][0]
    return recording


def keep_alives(
    *arrivals: tuple[float, bytes], preset: Preset | None = None
) -> list[tuple[float, str]]:
    found = keep_alives_of(take_apart(recorded(*arrivals)), preset or Preset(REQUEST))
    return [(item.seconds, item.form) for item in found]


def judged(recording: Recording, *, preset: Preset | None = None) -> dict[str, Check]:
    """The checks of a stream that was recorded so."""
    examination = Examination(Options(REQUEST.url, preset="eventsource"), lambda _: None)
    examination.preset = preset or examination.preset
    examination.main = recording
    return {check.name: check for check in silence.check(examination)}


def on_real_server(url: str, *, silences: tuple[float, ...] = (0.5, 1.0, 1.5), **options) -> Check:
    """Live through such silences of a server, as --thorough does."""
    options = {"depth": Depth.THOROUGH, "read_seconds": 0.5, **options}
    examination = Examination(Options(url, **options), lambda _: None)
    return next(check for check in silence.check(examination, silences) if check.name == "survives")


# The forms of keep-alives.


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b": keep-alive\n", "comment"),
        (b":\n\n", "comment and blank line"),
        (b":\r\n\r\n", "comment and blank line"),
        (b"event: ping\ndata: {}\n\n", "event"),
        (b"event: heartbeat\ndata:\n\n", "empty event"),
        (b"data:\n\n", "empty event"),
        (b" \n", "space"),
        (b"\n", "blank line"),
    ],
)
def test_each_form_of_a_keep_alive_is_known(data, form):
    assert keep_alives((0.1, b"data: {}\n\n"), (5.0, data), (6.0, b"data: {}\n\n")) == [(5.0, form)]


@pytest.mark.parametrize(
    "data", [b": 1\ndata: {}\n\n", b"event: pinged\ndata: {}\n\n", b"\ndata: {}\n\n"]
)
def test_what_comes_with_an_event_is_no_keep_alive(data):
    assert keep_alives((0.1, b"data: {}\n\n"), (5.0, data)) == []


def test_a_comment_that_opens_the_stream_is_no_keep_alive():
    assert keep_alives((0.1, b": stream\n"), (5.0, b"data: {}\n\n")) == []


def test_a_comment_that_comes_first_after_a_while_is_one():
    assert keep_alives((10.0, b": wait\n"), (15.0, b"data: {}\n\n")) == [(10.0, "comment")]


def test_an_empty_event_among_bare_texts_may_be_a_token():
    assert keep_alives((0.1, b"data: Hello\n\n"), (0.2, b"data: \n\n")) == []


def test_the_silence_after_the_last_event_counts():
    log = take_apart(recorded((0.1, b"data: 1\n\n"), until=9.0))
    assert longest_silence(log, []) == pytest.approx(8.9)


# Their verdicts.


def test_comments_in_time_are_well():
    check = judged(recorded((0, b"data: {}\n\n"), (15, b": a\n"), (30, b": b\n"), until=40))[
        "keep-alive"
    ]
    assert check.verdict is Verdict.OK
    assert check.numbers == {"form": "comment", "count": 2, "interval_seconds": 15}


def test_comments_that_come_too_late_for_proxies_are_warned_of():
    check = judged(recorded((0, b"data: {}\n\n"), (45, b": a\n"), (90, b": b\n"), until=100))[
        "keep-alive"
    ]
    assert check.verdict is Verdict.WARNING
    assert check.remedies


def test_comments_each_30_seconds_are_just_in_time():
    check = judged(recorded((0, b"data: {}\n\n"), (30, b": a\n"), until=50))["keep-alive"]
    assert check.verdict is Verdict.OK


def test_a_long_silence_without_a_keep_alive_is_warned_of():
    check = judged(recorded((0, b"data: {}\n\n"), until=16))["keep-alive"]
    assert check.verdict is Verdict.WARNING
    assert "16.0 s" in check.evidence


def test_a_silence_that_is_not_yet_long_says_nothing():
    check = judged(recorded((0, b"data: {}\n\n"), until=14))["keep-alive"]
    assert check.verdict is Verdict.SKIPPED
    assert "--for" in check.evidence


def test_empty_events_for_keep_alives_are_warned_of():
    stream = recorded((0, b"data: {}\n\n"), (5, b"data:\n\n"), until=6)
    assert judged(stream)["keep-alive"].verdict is Verdict.WARNING


@pytest.mark.parametrize(
    ("preset", "verdict"),
    [(Preset(REQUEST), Verdict.OK), (OpenAIPreset(REQUEST, "m"), Verdict.WARNING)],
)
def test_events_for_keep_alives_are_wrong_where_clients_read_all_as_json_of_one_kind(
    preset, verdict
):
    stream = recorded((0, b"data: {}\n\n"), (5, b"event: ping\ndata: {}\n\n"), until=6)
    assert judged(stream, preset=preset)["keep-alive"].verdict is verdict


def test_a_servers_heartbeats_are_measured(origin):
    url = origin + path(events=2, silence=1.0, heartbeat=0.2, heartbeat_form="line")
    check = examine(url, groups=("silence",)).check("silence.keep-alive")
    assert check.verdict is Verdict.OK
    # It is more by what the machine is late, and less than the whole silence.
    assert 0.15 < check.numbers["interval_seconds"] < 0.9


# What cuts.


@pytest.mark.parametrize(
    ("ending", "how"),
    [
        (Ending.TRUNCATED, "FIN"),
        (Ending.RESET, "RST"),
        (Ending.STREAM_RESET, "RST_STREAM"),
        (Ending.GOAWAY, "GOAWAY"),
    ],
)
def test_who_has_cut_is_guessed_by_the_time(ending, how):
    stream = recorded((0.1, b"data: {}\n\n"), ending=ending, ended_seconds=60.2)
    check = judged(stream)["cut"]
    assert check.verdict is Verdict.FAULT
    assert how in check.evidence
    assert "nginx (proxy_read_timeout)" in check.evidence
    assert check.numbers["silence_seconds"] == 60.1


def test_a_cut_after_an_unusual_time_names_nobody():
    stream = recorded((0.1, b"data: {}\n\n"), ending=Ending.TRUNCATED, ended_seconds=47.1)
    check = judged(stream)["cut"]
    assert check.verdict is Verdict.FAULT
    assert "usual" not in check.evidence


def test_a_stream_that_breaks_off_between_two_events_was_not_cut_by_silence():
    events = [(float(second), b"data: {}\n\n") for second in range(5)]
    stream = recorded(*events, ending=Ending.TRUNCATED, ended_seconds=5.2)
    assert "cut" not in judged(stream)


def test_a_proxy_that_closes_late_what_it_has_cut_for_its_age_has_not_cut_a_silence():
    events = [(tenth / 10, b"data: {}\n\n") for tenth in range(31)]
    stream = recorded(*events, ending=Ending.TRUNCATED, ended_seconds=4.05, http_version="1.1")
    stream.headers.append(("Server", "envoy"))
    assert "cut" not in judged(stream)


def test_a_proper_end_after_a_silence_is_no_cut():
    stream = recorded((0.1, b"data: {}\n\n"), ending=Ending.COMPLETE, ended_seconds=60.1)
    assert "cut" not in judged(stream)


@pytest.mark.slow
def test_a_proxy_that_cuts_a_silent_stream_is_found(origin):
    with nginx(origin, location=SOUND.replace("330s", "2s")) as url:
        report = examine(url + path(events=3, interval=0.1, silence=5), groups=("silence",))
    check = report.check("silence.cut")
    assert check.verdict is Verdict.FAULT
    # Of five, which it would be without the cut.
    assert 1.5 < check.numbers["silence_seconds"] < 4.5


@pytest.mark.slow
def test_a_proxy_lets_a_stream_live_that_has_comments(origin):
    with nginx(origin, location=SOUND.replace("330s", "2s")) as url:
        script = path(events=3, interval=0.1, silence=3, heartbeat=0.3)
        report = examine(url + script, groups=("silence",))
    assert [check.full_name for check in report.checks] == ["silence.keep-alive"]


# Long silences.


@pytest.mark.slow
def test_a_connection_that_lives_through_all_silences_is_well():
    with werkzeug_server(flask_app()) as url:
        check = on_real_server(f"{url}/events")
    assert check.verdict is Verdict.OK
    assert check.numbers["silence_seconds"] >= 1.5


@pytest.mark.slow
def test_a_silent_connection_that_a_proxy_cuts_is_found():
    with (
        werkzeug_server(flask_app()) as app,
        nginx(app, location=SOUND.replace("330s", "1s")) as url,
    ):
        check = on_real_server(f"{url}/events", silences=(0.5, 3.0))
    assert check.verdict is Verdict.FAULT
    # Of three, which it would be without the cut.
    assert 0.5 < check.numbers["silence_seconds"] < 2.7
    assert "FIN" in check.evidence


@pytest.mark.slow
def test_keep_alives_keep_the_connection_alive():
    with Server(keepalive_seconds=0.3) as server:
        check = on_real_server(f"{server.url}/v1/doctor/stream?events=400", preset="eventsource")
    assert check.verdict is Verdict.OK
    assert "keep-alives" in check.evidence


@contextlib.contextmanager
def silent_server(close) -> Iterator[str]:
    """Sends one event, and closes the connection after a second by ``close(sock)``."""

    def answer(sock, _request) -> None:
        sock.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"
        )
        sock.settimeout(1.0)
        with contextlib.suppress(TimeoutError):
            sock.recv(1)
        close(sock)

    with RawUpstream(answer) as server:
        yield f"http://{server.host}/events"


@pytest.mark.slow
@pytest.mark.parametrize(("close", "how"), [(hang_up, "FIN"), (reset, "RST")])
def test_a_server_without_help_is_read_on_if_it_is_silent_by_itself(close, how):
    with silent_server(close) as url:
        check = on_real_server(url, silences=(0.5, 3.0))
    assert check.verdict is Verdict.FAULT
    assert how in check.evidence


@pytest.mark.slow
def test_a_stream_that_is_never_silent_says_nothing_of_silence(origin):
    check = on_real_server(origin + path(events=0, interval=0.05))
    assert check.verdict is Verdict.SKIPPED
    assert "DoctorMiddleware" in check.evidence


@pytest.mark.slow
def test_a_silent_stream_of_a_server_without_help_lives():
    with raw_origin() as url:
        check = on_real_server(url + path(events=2, interval=0.0, silence=60))
    assert check.verdict is Verdict.OK
