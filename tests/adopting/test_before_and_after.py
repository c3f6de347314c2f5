"""Six apps in the shapes of public ones answer with ``sse_response`` as they did with Flask's Response."""

import pytest

from tests.adopting.adopt import NAMES
from tests.adopting.variants import (
    ENDING,
    ROUTES,
    noted,
    stream,
    tell,
    until_noted,
    without_ours,
)
from tests.support.server import wait_until

HAVE_CONTEXT = ("metered_answer", "report", "lesson")
"""The apps of streams that end by themselves and are wrapped in ``stream_with_context``."""
FIRST_EVENT = {name: b"stage" if name == "report" else b"data:" for name in NAMES}
"""What is in the first event that is no comment; the generators have begun then."""
PING = b"event:ping\ndata:ping\n\n"
MAY_FAIL = ("metered_answer", "kept_answer", "report", "lesson")
"""The apps that tell their client of a failure by an event of their own."""


@pytest.mark.parametrize("name", ENDING)
def test_the_client_gets_the_same_bytes_but_for_our_comments(pair, name, key):
    before, after = (stream(variant, name, key=key) for variant in pair)
    assert before.status == after.status == 200
    assert before.body
    assert without_ours(after.body) == before.body


@pytest.mark.parametrize("name", MAY_FAIL)
def test_an_apps_own_error_event_is_sent_and_no_other(pair, name, key):
    before, after = (stream(variant, name, key=key, breaks=1) for variant in pair)
    assert b"error" in before.body
    assert without_ours(after.body) == before.body


@pytest.mark.parametrize("name", ENDING)
def test_the_headers_that_an_app_sets_are_sent(pair, name, key):
    before, after = (stream(variant, name, key=key).headers for variant in pair)
    # PEP 3333 leaves Connection to the server, and gunicorn has its own; a test client has no connection.
    for header in before.keys() - {"date", "connection", "set-cookie"}:
        assert after[header] == before[header]
    # Behind the first dot is the time.
    assert _session(after) == _session(before)


@pytest.mark.parametrize("name", ENDING)
def test_nothing_between_server_and_client_is_to_hold_events_back(pair, name, key):
    headers = stream(pair.after, name, key=key).headers
    assert headers["x-accel-buffering"] == "no"
    assert "no-cache" in headers["cache-control"]


@pytest.mark.parametrize("name", ENDING)
def test_the_same_happens_in_the_app_in_the_same_order(pair, name, key):
    happened = []
    for variant in pair:
        stream(variant, name, key=key)
        happened.append(_until_torn_down(variant, name, key))
    assert happened[0] == happened[1]


@pytest.mark.parametrize("name", HAVE_CONTEXT)
def test_the_context_is_torn_down_after_the_generator(variant, name, key):
    stream(variant, name, key=key)
    assert _until_torn_down(variant, name, key)[-2:] == ["generator over", "torn down"]


@pytest.mark.parametrize("name", HAVE_CONTEXT)
def test_the_context_is_torn_down_after_the_generator_of_a_client_that_leaves(variant, name, key):
    with variant.reading(name, key=key, words=5000) as body:
        body.until(FIRST_EVENT[name])
        assert "generator over" not in noted(variant, name, key)
    assert _until_torn_down(variant, name, key)[-2:] == ["generator over", "torn down"]


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_of_a_client_that_leaves_ends(variant, name, key):
    over = "aborted" if name == "kept_answer" else "generator over"
    with variant.reading(name, key=key, words=5000, ping=0.02) as body:
        body.until(FIRST_EVENT[name])
        assert over not in noted(variant, name, key)
    until_noted(variant, name, key, over)


def test_a_conversation_is_saved_after_its_last_word(variant, key):
    assert b'"type": "end"' in stream(variant, "kept_answer", key=key, words=2).body
    assert tell(variant, "kept_answer", f"/saved/{key}")["texts"] == ["wörd-0 wörd-1 "]


def test_what_there_is_of_a_conversation_is_saved_when_the_client_leaves(variant, key):
    with variant.reading("kept_answer", key=key, words=5000) as body:
        body.until(b"rd-1")
    (text,) = wait_until(lambda: tell(variant, "kept_answer", f"/saved/{key}")["texts"])
    assert text.startswith("wörd-0 wörd-1 ")


def test_an_apps_own_keep_alive_thread_still_sends_its_comments(variant, key):
    body = stream(variant, "kept_answer", key=key, prefill=0.3, comments=0.05).body
    assert b": alive\n\n" in body
    events = without_ours(body).replace(b": alive\n\n", b"")
    assert events == stream(variant, "kept_answer", key=key).body.replace(b": stream\n", b"")


def test_a_database_session_lives_through_the_stream(variant, key):
    stream(variant, "lesson", key=key, words=2)
    wait_until(lambda: tell(variant, "lesson", f"/blocks/{key}")["texts"] == ["wörd-0 ", "wörd-1 "])


def test_a_database_session_is_rolled_back_when_the_client_leaves(variant, key):
    with variant.reading("lesson", key=key, words=5000) as body:
        body.until(b"rd-1")
    seen = until_noted(variant, "lesson", key, "generator over")
    assert "the client has left" in seen
    assert tell(variant, "lesson", f"/blocks/{key}")["texts"] == []


def test_a_producers_heartbeats_are_events_between_its_messages(variant, key):
    body = stream(variant, "lesson", key=key, words=2, prefill=0.3, producer=1).body
    assert b'data: {"type": "heartbeat"}\n\n' in body
    events = without_ours(body).replace(b'data: {"type": "heartbeat"}\n\n', b"")
    assert events == without_ours(stream(variant, "lesson", key=key, words=2).body)


def test_the_lock_that_a_generator_holds_is_released_when_the_client_leaves(variant, key):
    with variant.reading("lesson", key=key, words=5000, producer=1) as body:
        body.until(b"rd-1")
        assert tell(variant, "lesson", "/lock")["locked"]
    wait_until(lambda: not tell(variant, "lesson", "/lock")["locked"])


def test_a_place_that_an_iterator_holds_is_given_back_at_the_end(variant, key):
    stream(variant, "metered_answer", key=key)
    wait_until(lambda: not tell(variant, "metered_answer", f"/open/{key}")["open"])


def test_a_place_that_an_iterator_holds_is_given_back_when_the_client_leaves(variant, key):
    with variant.reading("metered_answer", key=key, words=5000) as body:
        body.until(b"rd-1")
        assert tell(variant, "metered_answer", f"/open/{key}")["open"]
    wait_until(lambda: not tell(variant, "metered_answer", f"/open/{key}")["open"])
    until_noted(variant, "metered_answer", f"work%20of%20{key}", "stopped")


def test_the_request_its_session_and_g_are_there_in_the_generator(variant, key):
    body = stream(variant, "report", key=key, user="bob").body
    assert b'"user": "bob", "role": "auditor"' in body
    assert b'"path": "/report"' in body


def test_a_published_event_has_the_same_bytes(pair, key):
    heard = []
    for variant in pair:
        with variant.reading("notifications", key=key, ping=2) as body:
            assert without_ours(body.until(PING)) == PING
            assert key in tell(variant, "notifications", "/events", method="POST")["told"]
            heard.append(body.until(b"data:two\ndata:lines\n\n").replace(PING, b""))
    assert heard[0] == heard[1]
    assert b'event:notification\ndata:{"title": "Hint"}\nid:1\n\n' in heard[0]


def test_a_listener_that_leaves_is_forgotten(variant, key):
    with variant.reading("notifications", key=key, ping=0.02) as body:
        body.until(b"data:ping\n\n")
        assert key in tell(variant, "notifications", "/listeners")["keys"]
    wait_until(lambda: key not in tell(variant, "notifications", "/listeners")["keys"])


def test_the_same_helper_still_answers_with_json(variant):
    path = f"{ROUTES['metered_answer'][1]}?key=x&response_mode=blocking&words=1"
    assert tell(variant, "metered_answer", path, method="POST") == {"answer": "wörd-0 "}


def _until_torn_down(variant, name: str, key: str) -> list[str]:
    """Waits until nothing of the request is left to happen."""
    if name in HAVE_CONTEXT:
        last = ["generator over", "torn down"]
        return wait_until(lambda: (seen := noted(variant, name, key))[-2:] == last and seen)
    over = "logged" if name == "kept_answer" else "generator over"
    return wait_until(
        lambda: {over, "torn down"} <= set(seen := noted(variant, name, key)) and seen
    )


def _session(headers: dict[str, str]) -> str:
    return headers.get("set-cookie", "").partition(".")[0]
