"""How the doctor judges the end of a stream: terminal events, the body's end, cuts, and errors."""

import json

import pytest

from flask_sluice.doctor import Verdict, examine
from flask_sluice.doctor.checks.ending.body import body_end
from flask_sluice.doctor.events import take_apart
from flask_sluice.doctor.http.recording import Ending, Recording
from flask_sluice.doctor.http.request import HttpRequest
from flask_sluice.doctor.presets.preset import Preset
from tests.doctor.examined import examined, examined_chat
from tests.doctor.zoo.origins.raw_origin import raw_origin
from tests.doctor.zoo.origins.script import path
from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    RawUpstream,
    breaks_off,
    chunk,
    head,
    headers_of,
    sends,
    sends_and_closes,
    streams,
    whole,
)
from tests.support.stream import reset

CHUNK = b'data: {"choices": [{"delta": {"content": "one"}, "finish_reason": null}]}\n\n'
FINISH = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error": {"message": "out of memory", "type": "server_error"}}\n\n'
ONE, TWO = b"data: one\n\n", b"data: two\n\n"
REFUSAL = whole(b'{"error": {"message": "not JSON"}}', "400 Bad Request")


def ending(name, handler, **options):
    return examined(handler, "end", **options).check(f"end.{name}")


def chat_ending(name, *writes, refusal=REFUSAL):
    return examined_chat(chat(*writes, refusal=refusal), "end").check(f"end.{name}")


def chat(*writes, refusal=REFUSAL):
    """A server that streams to a body that is JSON, and refuses another."""

    def handler(sock, request):
        try:
            json.loads(request.partition(b"\r\n\r\n")[2])
        except ValueError:
            sock.sendall(refusal)
        else:
            streams(*writes)(sock, request)

    return handler


def first_then(first, second):
    """Answers the first request in one way, and each that comes back in another."""
    answers = iter([first])

    def handler(sock, request):
        next(answers, second)(sock, request)

    return handler


# Terminal events.


def test_a_chat_that_ends_with_done_says_its_end():
    check = chat_ending("terminal-event", CHUNK, FINISH, DONE)
    assert check.verdict is Verdict.OK
    assert "Event 3 of 3" in check.evidence


def test_a_chat_without_done_is_a_fault_even_after_its_finish_reason():
    check = chat_ending("terminal-event", CHUNK, FINISH)
    assert check.verdict is Verdict.FAULT
    assert check.numbers == {"content_finished": True}
    assert "data: [DONE]" in check.remedies[0].line


def test_a_chat_that_stops_in_the_middle_is_told_apart_from_a_finished_one():
    assert chat_ending("terminal-event", CHUNK).numbers == {"content_finished": False}


def test_no_terminal_event_is_due_behind_an_error():
    assert chat_ending("terminal-event", CHUNK, ERROR).verdict is Verdict.SKIPPED


def test_a_stream_that_goes_on_has_not_missed_its_terminal_event():
    report = examined_chat(sends(STREAM_HEAD, chunk(CHUNK)), "end")
    assert report.check("end.terminal-event").verdict is Verdict.SKIPPED


def test_a_message_ends_with_message_stop():
    stop = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'
    options = {"preset": "anthropic", "post": b"{}"}
    assert ending("terminal-event", streams(stop), **options).verdict is Verdict.OK
    assert ending("terminal-event", streams(ONE), **options).verdict is Verdict.FAULT


def test_an_event_source_that_would_get_everything_again_is_a_warning():
    check = ending("terminal-event", streams(ONE, TWO))
    assert check.verdict is Verdict.WARNING
    assert "the second connection begins with the same 2 events" in check.evidence


def test_times_in_the_data_do_not_hide_that_it_is_the_same():
    first = streams(b'data: {"n": 1, "at": 1795176900.5}\n\n', TWO)
    second = streams(b'data: {"n": 1, "at": 1795176977.2}\n\n', TWO)
    check = ending("terminal-event", first_then(first, second))
    assert "begins with the same 2 events" in check.evidence


def test_an_event_source_that_is_told_204_stops():
    no_more = sends(head("204 No Content"))
    check = ending("terminal-event", first_then(streams(ONE), no_more))
    assert check.verdict is Verdict.OK
    assert "204" in check.evidence


def test_a_stream_that_goes_on_at_the_next_connection_needs_no_terminal_event():
    check = ending("terminal-event", first_then(streams(ONE, TWO), streams(b"data: 3\n\n")))
    assert check.verdict is Verdict.OK


def test_empty_streams_again_and_again_are_a_warning():
    check = ending("terminal-event", first_then(streams(ONE), streams(b": nothing\n")))
    assert check.verdict is Verdict.WARNING
    assert "again and again" in check.evidence


def test_an_event_source_is_judged_with_the_id_that_it_would_send():
    with raw_origin() as url:
        report = examine(url + path(ids="ascending", events=3), groups=("end",))
    assert report.check("end.terminal-event").verdict is Verdict.OK


def test_a_post_needs_no_terminal_event_for_an_event_source_that_cannot_send_it():
    assert ending("terminal-event", streams(ONE), post=b"{}").verdict is Verdict.OK


def test_an_event_in_the_middle_that_sounds_like_an_end_is_content():
    check = ending("terminal-event", streams(b'data: {"done": true}\n\n', ONE))
    assert check.verdict is Verdict.WARNING


def test_a_live_stream_that_reports_what_is_done_has_not_ended():
    handler = sends(STREAM_HEAD, chunk(ONE), chunk(b'data: {"done": true}\n\n'))
    assert ending("body-end", handler, read_seconds=0.3).verdict is Verdict.SKIPPED


# The end of the body.


def test_a_chunked_body_ends_properly():
    check = ending("body-end", streams(ONE))
    assert check.verdict is Verdict.OK
    assert "the last chunk" in check.evidence


def test_a_body_of_a_known_length_ends_properly():
    check = ending("body-end", sends(whole(ONE, Content_Type="text/event-stream")))
    assert check.verdict is Verdict.OK
    assert "Content-Length: 11" in check.evidence


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_a_body_that_ends_with_its_connection_hides_truncation(version):
    start = version + b" 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    report = examined(sends_and_closes(start, ONE), "end")
    check = report.check("end.body-end")
    assert check.verdict is Verdict.FAULT
    assert version.decode() in check.evidence
    assert any("proxy_http_version 1.1" in remedy.line for remedy in check.remedies)
    assert report.check("end.truncation-visible").verdict is Verdict.SKIPPED


def test_with_a_terminal_event_it_is_a_warning():
    start = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    handler = sends_and_closes(start, ONE, b"event: done\ndata: bye\n\n")
    assert ending("body-end", handler).verdict is Verdict.WARNING


def test_a_chunked_body_without_its_last_chunk_is_a_fault_with_its_place():
    check = ending("body-end", breaks_off(ONE, TWO))
    assert check.verdict is Verdict.FAULT
    assert "2 events, the connection was closed (FIN)" in check.evidence
    assert check.numbers["events"] == 2


def test_a_connection_that_is_reset_is_told_apart():
    def resets(sock, request):
        sends(STREAM_HEAD, chunk(ONE))(sock, request)
        reset(sock)

    assert "RST" in ending("body-end", resets).evidence


def cut_recording(ended_seconds, last_byte_seconds):
    """A stream of ten events that was cut, as its reader recorded it."""
    recording = Recording(HttpRequest("http://host/"), status=200, http_version="1.1")
    recording.headers = [("Transfer-Encoding", "chunked")]
    for number in range(10):
        recording.add(last_byte_seconds * number / 9, ONE)
    recording.end(Ending.TRUNCATED, ended_seconds)
    return take_apart(recording)


def test_a_cut_after_a_silence_is_not_blamed_on_the_process():
    preset = Preset(HttpRequest("http://host/"))
    silent = body_end(cut_recording(20, 1), preset)
    busy = body_end(cut_recording(20, 19.9), preset)
    assert "silence.cut" in silent.evidence
    assert "comment line" in silent.remedies[0].where
    assert "a process that was killed" in busy.evidence


def test_a_cut_at_the_usual_age_of_an_answer_names_who_cuts_then():
    check = body_end(cut_recording(15, 14.9), Preset(HttpRequest("http://host/")))
    assert "Envoy" in check.evidence
    assert check.remedies[0].where.startswith("Envoy")


def test_a_reset_behind_the_terminal_event_is_a_warning():
    handler = breaks_off(ONE, b"event: done\ndata: bye\n\n")
    assert ending("body-end", handler).verdict is Verdict.WARNING


@pytest.mark.slow
def test_a_body_that_stays_open_behind_its_terminal_event_is_a_warning():
    handler = sends(STREAM_HEAD, chunk(CHUNK), chunk(DONE))
    check = examined_chat(handler, "end", read_seconds=1.3).check("end.body-end")
    assert check.verdict is Verdict.WARNING
    assert check.numbers["open_seconds"] >= 1


def test_a_body_that_was_read_for_a_moment_longer_is_not_said_to_stay_open():
    handler = sends(STREAM_HEAD, chunk(CHUNK), chunk(DONE))
    assert examined_chat(handler, "end").check("end.body-end").verdict is Verdict.SKIPPED


def test_a_cut_would_be_seen_in_a_stream_that_goes_on():
    report = examined(sends(STREAM_HEAD, chunk(ONE)), "end")
    assert report.check("end.body-end").verdict is Verdict.SKIPPED
    assert report.check("end.truncation-visible").verdict is Verdict.OK


def test_a_cut_would_not_be_seen_without_chunks():
    handler = sends(head(Content_Type="text/event-stream"), ONE)
    assert ending("truncation-visible", handler).verdict is Verdict.WARNING


# Errors instead of a stream.


def test_an_error_as_the_only_event_is_a_success_that_is_none():
    check = chat_ending("error-status", ERROR)
    assert check.verdict is Verdict.FAULT
    assert "out of memory" in check.evidence


def test_an_error_and_then_done_is_the_same():
    assert chat_ending("error-status", ERROR, DONE).verdict is Verdict.FAULT


def test_an_error_with_events_behind_it_may_be_meant():
    assert chat_ending("error-status", ERROR, CHUNK, DONE).verdict is Verdict.WARNING


def test_a_null_error_is_none():
    check = chat_ending("error-status", b'data: {"error": null, "choices": []}\n\n', DONE)
    assert check.verdict is Verdict.OK


def test_a_json_error_that_calls_itself_a_stream_is_a_fault():
    check = ending("error-status", streams(b'{"error": "no such chat"}'))
    assert check.verdict is Verdict.FAULT
    assert "no such chat" in check.evidence


# Errors in the middle.


def test_an_error_in_the_middle_in_the_right_form_is_a_warning_with_its_place():
    check = chat_ending("error-after", CHUNK, CHUNK, ERROR)
    assert check.verdict is Verdict.WARNING
    assert check.numbers == {"error_event": 3}


def test_a_done_behind_an_error_makes_it_a_success():
    check = chat_ending("error-after", CHUNK, ERROR, DONE)
    assert check.verdict is Verdict.FAULT
    assert "The terminal event follows" in check.evidence


def test_an_error_in_words_is_not_what_clients_parse():
    check = chat_ending("error-after", CHUNK, b"event: error\ndata: out of memory\n\n")
    assert check.verdict is Verdict.FAULT


def test_words_are_right_where_the_data_is_not_json():
    check = ending("error-after", streams(ONE, b"event: error\ndata: out of memory\n\n"))
    assert check.verdict is Verdict.WARNING


def test_a_stream_without_an_error_shows_no_form_of_one():
    assert chat_ending("error-after", CHUNK, DONE).verdict is Verdict.SKIPPED


def test_events_about_errors_are_content_where_no_api_says_otherwise():
    line = b'data: {"level": "error", "error": "disk full"}\n\n'
    report = examined(streams(line, ONE, line, ONE), "end")
    assert report.check("end.error-status").verdict is Verdict.OK
    assert report.check("end.error-after").verdict is Verdict.SKIPPED


def test_the_last_of_such_events_is_an_error():
    check = ending("error-after", streams(ONE, b'data: {"error": "disk full"}\n\n'))
    assert check.verdict is Verdict.WARNING


# Errors before.


def test_a_refusal_with_its_status_and_a_message_is_right():
    check = chat_ending("error-before", CHUNK, DONE)
    assert check.verdict is Verdict.OK
    assert "400" in check.evidence
    assert "not JSON" in check.evidence


@pytest.mark.parametrize(
    ("refusal", "verdict"),
    [
        (whole(b'{"error": {"message": "x"}}'), Verdict.FAULT),
        (STREAM_HEAD + chunk(ERROR) + LAST_CHUNK, Verdict.FAULT),
        (whole(b'{"error": {"message": "x"}}', "500 Oops"), Verdict.WARNING),
        (whole(b"<h1>No</h1>", "400 No", Content_Type="text/html"), Verdict.WARNING),
        (whole(b'{"detail": [{"msg": "x"}]}', "422 No"), Verdict.OK),
        (whole(b'{"error": {"message": "x"}}', "429 Slow Down"), Verdict.SKIPPED),
    ],
)
def test_other_answers_to_a_broken_body_are_told_apart(refusal, verdict):
    assert chat_ending("error-before", CHUNK, DONE, refusal=refusal).verdict is verdict


def test_where_no_request_must_be_refused_none_is_sent():
    with RawUpstream(streams(ONE, b"event: done\ndata: bye\n\n")) as server:
        report = examine(f"http://{server.host}/events", groups=("end",))
        assert report.check("end.error-before").verdict is Verdict.SKIPPED
        assert len(server.requests) == 1
        assert "last-event-id" not in headers_of(server.requests[0])
