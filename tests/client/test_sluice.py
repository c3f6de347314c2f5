"""The client against Sluice: its simulator with every fault, and its stream for EventSource."""

import re
import signal
from collections.abc import Iterator
from typing import get_args

import pytest

from flask_sluice.client import (
    Ending,
    ErrorEventError,
    IdleEventTimeoutError,
    RefusedError,
    SSEClient,
    Timeouts,
    TransportError,
    TruncatedError,
)
from flask_sluice.gateway.simulator.answers.texts import write_answer
from flask_sluice.gateway.simulator.options import FaultKind
from tests.client.answers import failure_of, start_command
from tests.support.server import Server, wait_until
from tests.support.stream import chat

AFTER = 2


@pytest.fixture(scope="module")
def sluice() -> Iterator[Server]:
    with Server(models="test", keepalive_seconds=0.1) as sluice:
        yield sluice


@pytest.fixture
def client(sluice) -> SSEClient:
    return SSEClient(sluice.url, timeouts=Timeouts(idle_event_seconds=2, total_seconds=10))


def ask(client, *, stream=True, on_comment=None, **simulator):
    body = chat(stream=stream, simulator={"itl_ms": 0, "tokens": 10, **simulator})
    return client.stream("POST", "/v1/chat/completions", json=body, on_comment=on_comment)


def content_of(events) -> str:
    choices = [event.json()["choices"][0] for event in events]
    return "".join(
        choice.get("delta", choice.get("message")).get("content", "") for choice in choices
    )


def test_an_answer_is_the_same_streamed_and_as_one_json_body(client):
    stream = ask(client)
    streamed = content_of(stream)
    assert stream.ending is Ending.COMPLETE
    assert streamed == content_of(ask(client, stream=False)) != ""


FAULTS = {
    "status": (RefusedError, 0),
    "error_event": (ErrorEventError, AFTER),
    "cut": (TransportError, AFTER),
    "reset": (TransportError, AFTER),
    "truncate": (TruncatedError, AFTER),
}
HARMLESS = {"json_body", "malformed", "split_utf8", "no_done", "duplicate", "heartbeat"}


def test_every_fault_is_covered():
    assert FAULTS.keys() | HARMLESS | {"stall"} == set(get_args(FaultKind))


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_an_error_with_the_tokens_before_it(client, kind):
    error_type, tokens = FAULTS[kind]
    error = failure_of(ask(client, fault={"kind": kind, "after": AFTER}))
    assert type(error) is error_type
    # The first chunk, which opens the answer, is an event as well.
    assert error.event_count == (tokens + 1 if tokens else 0)


def test_a_stall_is_noticed_despite_keep_alives(client):
    comments = []
    stall = {"kind": "stall", "after": AFTER}
    error = failure_of(ask(client, on_comment=comments.append, fault=stall))
    assert isinstance(error, IdleEventTimeoutError)
    assert error.event_count == AFTER + 1
    assert set(comments) == {"keep-alive"}


def test_an_event_of_the_simulator_that_is_not_json_is_reported(client):
    with pytest.raises(ValueError, match="not JSON"):
        content_of(ask(client, fault={"kind": "malformed", "after": AFTER}))


def test_a_character_that_is_split_between_chunks_is_joined(client):
    text = "aé🌊"
    assert content_of(ask(client, text=text, fault={"kind": "split_utf8", "after": 0})) == text


# The stream for EventSource.

QUESTION = "Why?"
DONE_ID = len("".join(write_answer(QUESTION, seed=0))) + 1


def test_a_stream_for_eventsource_is_continued_after_an_id_up_to_its_terminal_event(client):
    stream = client.stream("GET", f"/stream_chat?name={QUESTION}", last_event_id=f"{DONE_ID - 2}")
    character, done = stream
    assert (character.id, character.retry) == (str(DONE_ID - 1), 2000)
    assert (done.id, done.event) == (str(DONE_ID), "done")
    assert stream.ending is Ending.COMPLETE


def test_after_the_terminal_event_there_is_no_content(client):
    stream = client.stream("GET", f"/stream_chat?name={QUESTION}", last_event_id=f"{DONE_ID}")
    assert list(stream) == []
    assert stream.ending is Ending.NO_CONTENT


def test_a_request_without_a_question_is_refused_with_the_field(client):
    error = failure_of(client.stream("GET", "/stream_chat"))
    assert (error.status, error.code, error.error.param) == (400, "invalid_request", "name")


# The command line.


def test_ctrl_c_cancels_on_the_server(sluice):
    process = start_command("--url", sluice.url, "--model", "test", "Why?")
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=50)
    assert process.returncode == 130
    assert out.endswith("\n")
    assert re.fullmatch(r"first token after .*\ninterrupted\n", err)
    wait_until(lambda: sluice.logged("stream ended", outcome="cancelled"))


def test_a_reader_that_goes_away_ends_it_quietly(sluice):
    process = start_command("--url", sluice.url, "--model", "test", "Why?")
    with process:
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(50) == 141


def test_a_model_that_there_is_not(sluice, run):
    code, out, err = run("--url", sluice.url, "--model", "unknown", "?")
    assert (code, out) == (4, "")
    assert re.fullmatch(r"404 [^\n]*unknown[^\n]* \(model_not_found\)\n", err)
