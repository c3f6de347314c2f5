"""The log line at the end of a relayed answer."""

from datetime import datetime, timedelta

from tests.server.raw_upstream import (
    breaks_off,
    sends,
    streams,
    whole,
)
from tests.server.relayed import (
    ANSWER,
    DONE,
    HELLO,
    PATH,
    STOP,
    logged_end,
)
from tests.support.stream import ask, chat, post


def test_the_line_at_a_streams_end_says_what_it_was(relay, upstream):
    upstream.handler = streams(HELLO, STOP, DONE)
    ask(relay, post(PATH, chat(), X_Request_Id="logged"))
    line = logged_end(relay, "logged")
    assert datetime.fromisoformat(line.pop("time")).utcoffset() == timedelta(0)
    assert 0 < line.pop("first_event_ms") <= line.pop("total_ms")
    assert line == {
        "message": "stream ended",
        "request_id": "logged",
        "client": "127.0.0.1",
        "method": "POST",
        "path": PATH,
        "route": PATH,
        "model": "test",
        "stream": True,
        "upstream": upstream.host,
        "upstream_status": 200,
        "status": 200,
        "outcome": "complete",
        "code": None,
        "reason": None,
        "events": 3,
        "bytes": len(ANSWER),
        "keepalives": 0,
    }


def test_the_line_of_a_refusal_has_its_status(relay, upstream):
    upstream.handler = sends(whole(b"{}", "429 Slow"))
    ask(relay, post(PATH, chat(), X_Request_Id="refused"))
    line = logged_end(relay, "refused")
    assert (line["status"], line["outcome"], line["code"]) == (429, "error", "upstream_error")


def test_an_upstream_that_breaks_off_does_not_look_like_a_client_that_left(relay, upstream):
    upstream.handler = breaks_off(HELLO)
    ask(relay, post(PATH, chat(), X_Request_Id="broken"))
    line = logged_end(relay, "broken")
    assert (line["outcome"], line["code"]) == ("error", "upstream_truncated")


def test_a_model_name_cannot_forge_a_line_of_the_log(relay, upstream):
    upstream.handler = streams(ANSWER)
    ask(relay, post(PATH, chat() | {"model": "a\nb"}, X_Request_Id="forged"))
    assert logged_end(relay, "forged")["model"] == "a\nb"
