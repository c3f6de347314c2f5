"""What the doctor tells of clients that differ from the standard."""

import pytest

from flask_sluice.doctor import Verdict
from tests.doctor.examined import chat_framing, examined, framing
from tests.server.raw_upstream import streams

ONE = b'data: {"n": 1}\n\n'
DONE = b"data: [DONE]\n\n"


def test_a_blank_line_behind_a_comment_is_an_empty_event_for_some():
    check = framing("clients", ONE, b": ping\n\n", ONE)
    assert check.verdict is Verdict.WARNING
    assert "fetch-event-source 2.0 and openai-go before 3.43" in check.evidence
    assert "httpx-sse" not in check.evidence
    assert check.numbers["blank_lines_after_comments"] == 1


def test_behind_an_id_it_is_one_for_more_clients():
    check = framing("clients", b"id: 1\n" + ONE, b": ping\n\n")
    assert "httpx-sse 0.4 and openai-python 3.3" in check.evidence


def test_a_comment_before_an_event_is_no_empty_event():
    assert framing("clients", b": ping\n", ONE, b": ping\n").verdict is Verdict.OK


def test_a_retry_with_a_blank_line_of_its_own_is_an_empty_event_for_some():
    check = framing("clients", b"retry: 3000\n\n", ONE)
    assert check.numbers == {"blocks_without_data": 1}


def test_a_retry_with_the_first_event_is_fine():
    assert framing("clients", b"retry: 3000\n" + ONE).verdict is Verdict.OK


def test_a_line_over_64_kib_stops_readers_in_go():
    check = framing("clients", b"data: " + b"x" * 65_531 + b"\n\n")
    assert check.verdict is Verdict.WARNING
    assert "65,537 bytes" in check.evidence


def test_a_line_of_64_kib_does_not():
    assert framing("clients", b"data: " + b"x" * 65_530 + b"\n\n").verdict is Verdict.OK


@pytest.mark.parametrize(
    ("number", "writes"),
    [
        ("data_without_space", [b'data:{"n": 1}\n\n', DONE]),
        ("events_of_several_lines", [b'data: {\ndata: "n": 1}\n\n', DONE]),
        ("done_count", [ONE, DONE, DONE]),
        ("done_with_spaces", [ONE, b"data: [DONE] \n\n"]),
        ("events_after_done", [ONE, DONE, ONE]),
    ],
)
def test_habits_that_readers_of_models_do_not_bear_are_warnings(number, writes):
    check = chat_framing("clients", *writes)
    assert check.verdict is Verdict.WARNING
    assert list(check.numbers) == [number]
    assert len(check.remedies) == 1


def test_a_usual_chat_completion_is_fine():
    assert chat_framing("clients", ONE, ONE, DONE).verdict is Verdict.OK


def test_data_without_a_space_and_of_several_lines_is_fine_for_an_event_source():
    assert framing("clients", b"data:one\ndata:two\n\n").verdict is Verdict.OK


def test_names_that_onmessage_does_not_see_are_told_but_no_warning():
    check = framing("clients", b"event: price\ndata: 1\n\n")
    assert check.verdict is Verdict.OK
    assert "price" in check.evidence
    assert "onmessage sees none" in check.evidence


def test_one_unnamed_event_is_enough_for_onmessage():
    assert "onmessage" not in framing("clients", b"event: a\ndata: 1\n\n", ONE).evidence


def test_messages_without_names_are_skipped_by_one_of_their_clients():
    stop = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'
    options = {"preset": "anthropic", "post": b"{}"}
    unnamed = streams(b'data: {"type": "ping"}\n\n', stop)
    check = examined(unnamed, **options).check("framing.clients")
    assert check.numbers == {"events_without_name": 1}
    named = streams(b'event: ping\ndata: {"type": "ping"}\n\n', stop)
    assert examined(named, **options).check("framing.clients").verdict is Verdict.OK
