"""What is hidden in a recording, and what is not."""

import json
import time

import pytest

from flask_sluice.gateway.relay.recording.lines import body_fields, event_fields, line
from flask_sluice.gateway.relay.recording.redaction import Redactor, secrets_of

KNOWN = "known-secret/+1"


@pytest.mark.parametrize(
    "value",
    [
        {"usage": {"prompt_tokens": 5, "completion_tokens": 6}, "max_tokens": 7},
        {"logprobs": {"content": [{"token": "Hello", "logprob": -0.1, "bytes": [72]}]}},
        {"tools": [{"parameters": {"properties": {"password": {"type": "string"}}}}]},
        {"error": {"code": "invalid_api_key", "message": "no such key", "param": None}},
        {"author": "Ann", "keyboard": "qwerty", "content": "a **bold** word, and a token"},
        {"messages": [{"role": "user", "content": "https://example.com/a@b?c=d"}]},
    ],
)
def test_what_only_sounds_secret_stays(value):
    assert Redactor().value(value) == value


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "apiKey", "API-Key", "x-api-key", "password", "token", "access_token"),
        *("refreshToken", "client_secret", "Authorization", "ticket", "signature", "db_password"),
        "aws_secret_access_key",
    ],
)
def test_a_value_under_the_name_of_a_secret_is_hidden_at_any_depth(name):
    shown = json.dumps(Redactor().value({"a": [{name: "hunter2"}, {name: {"value": "hunter2"}}]}))
    assert "hunter2" not in shown
    assert "(hidden)" in shown


@pytest.mark.parametrize("form", [KNOWN, json.dumps(KNOWN), "known-secret%2F%2B1"])
def test_a_known_secret_is_hidden_in_each_form(form):
    assert "known-secret" not in Redactor([KNOWN]).text(f"before{form}after")


@pytest.mark.parametrize(
    "key",
    [
        *("sk-proj-0123456789abcdef", "AIzaSyA0123456789abcdefghij", "hf_abcdefghijklmno"),
        *("Bearer abcdef0123456789", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "sk-ab****wxyz"),
        "xai-0123456789abcdef",
    ],
)
def test_a_word_with_the_shape_of_a_key_is_hidden(key):
    assert Redactor().text(f"my key is {key}.").startswith("my key is (hidden)")


def test_a_secret_in_json_within_json_is_hidden():
    inner = json.dumps({"deeper": json.dumps({"password": "hunter2"})})
    assert "hunter2" not in json.dumps(Redactor().value({"arguments": inner}))


def test_a_name_written_with_escapes_is_hidden_in_an_event():
    event = b'data: {"\\u0061pi_key": "hunter2"}\n\n'
    ((written),) = event_fields(event, Redactor())
    assert "hunter2" not in written["event"]


def test_an_event_without_secrets_stays_as_it_came():
    event = 'event: a\ndata: {"b" : 1.0,  "prompt_tokens":2, "text": "Grüße"}\r\n\r\n'
    assert [each["event"] for each in event_fields(event.encode(), Redactor())] == [event]


def test_a_secret_of_the_request_is_hidden_in_the_answer():
    redactor = Redactor(secrets_of({"authorization": "Bearer from-header"}, "/v1/a?key=from-query"))
    body_fields(b'{"tools": [{"authorization": "from-body"}]}', "application/json", redactor)
    answer = redactor.value({"text": "from-header, from-query, from-body"})
    assert answer == {"text": "(hidden), (hidden), (hidden)"}


@pytest.mark.parametrize(
    "text", ["a" * 900_000, "://" * 300_000, '"token' * 100_000, "\\" * 500_000]
)
def test_a_text_that_is_made_to_be_slow_is_not(text):
    """It is looked through in another thread; a search that is not linear would take minutes."""
    began_at = time.process_time()
    Redactor([KNOWN]).value({"content": text})
    assert time.process_time() - began_at < 5


@pytest.mark.parametrize("value", ["\ud800", "Grüße", "a\nb"])
def test_a_line_is_one_line_whatever_it_holds(value):
    written = line({"json": value})
    assert written.count(b"\n") == 1
    assert json.loads(written) == {"json": value}
