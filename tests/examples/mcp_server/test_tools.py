"""How the tools of the MCP server answer: the quick ones with JSON, the slow ones with a stream."""

import json

import msgspec
import pytest

from flask_sluice.testing import open_stream, read_events
from tests.examples.mcp_server.messages import PREFIX, call, error_of, send, text_of


def test_a_quick_tool_answers_with_json(client):
    response = send(client, call("count_words", text="one two three"))
    assert (response.status_code, response.mimetype) == (200, "application/json")
    assert response.json == {
        "jsonrpc": "2.0",
        "id": 7,
        "result": {
            "resultType": "complete",
            "content": [{"type": "text", "text": "3 words"}],
            "isError": False,
            "_meta": {f"{PREFIX}serverInfo": {"name": "sluice-example", "version": "1.0.0"}},
        },
    }


def test_a_slow_tool_streams_its_progress_and_then_its_result(client):
    with open_stream(client, "/mcp", **call("read_pages", token="t", pages=2, seconds=0.1)) as seen:
        progress = [next(seen) for _ in range(2)]
        assert [event.json() for event in progress] == [
            {
                "jsonrpc": "2.0",
                "method": "notifications/progress",
                "params": {"progressToken": "t", "progress": page, "total": 2, "message": text},
            }
            for page, text in [(1, "page 1"), (2, "page 2")]
        ]
        assert progress[1].at_seconds - progress[0].at_seconds >= 0.09
        (result,) = list(seen)
    assert (result.json()["id"], text_of(result.json())) == (7, "2 pages read")
    assert (seen.status, seen.outcome) == (200, "complete")
    assert seen.headers["X-Accel-Buffering"] == "no"


def test_clients_see_each_message_as_a_plain_event_without_an_id(client):
    stream = read_events(client, "/mcp", **call("read_pages", token=1, pages=2, seconds=0))
    assert {(event.event, event.id, event.retry) for event in stream.events} == {
        ("message", "", None)
    }


def test_a_client_that_asks_for_no_progress_gets_the_result_alone(client):
    stream = read_events(client, "/mcp", **call("read_pages", pages=3, seconds=0))
    assert [text_of(event.json()) for event in stream.events] == ["3 pages read"]


@pytest.mark.parametrize("token", ["a", 5, 0, ""])
def test_a_progress_token_comes_back_as_it_was_sent(client, token):
    stream = read_events(client, "/mcp", **call("read_pages", token=token, pages=1, seconds=0))
    assert stream.events[0].json()["params"]["progressToken"] == token


@pytest.mark.parametrize("message_id", ["a", 0, -1, "", 2**53 + 1])
def test_an_id_comes_back_as_it_was_sent(client, message_id):
    quick, slow = call("count_words", text="a"), call("read_pages", pages=1, seconds=0)
    quick["json"]["id"] = slow["json"]["id"] = message_id
    assert send(client, quick).json["id"] == message_id
    assert read_events(client, "/mcp", **slow).events[0].json()["id"] == message_id


def test_a_client_that_closes_the_stream_ends_the_tool(client):
    request = call("read_pages", token=1, pages=100, seconds=0.01)
    stream = read_events(client, "/mcp", leave_after=2, **request)
    assert (stream.outcome, stream.is_generator_closed) == ("left", True)


def test_comments_keep_the_connection_while_the_tool_is_silent(example, client):
    example.app.config["SLUICE_KEEPALIVE_SECONDS"] = 0.05
    stream = read_events(client, "/mcp", **call("read_pages", pages=1, seconds=0.3))
    assert stream.comments.count("keep-alive") >= 2
    assert len(stream.events) == 1


def test_an_unknown_tool_is_refused(client):
    assert error_of(send(client, call("other"))) == (400, -32602)


@pytest.mark.parametrize(
    "request_",
    [
        call("count_words"),
        call("count_words", text=5),
        call("count_words", text="a", other=1),
        call("read_pages", pages=0),
        call("read_pages", pages=True),
    ],
    ids=json.dumps,
)
def test_wrong_arguments_are_an_error_for_the_model(client, request_):
    response = send(client, request_)
    assert (response.status_code, response.mimetype) == (200, "application/json")
    assert response.json["result"]["isError"] is True
    assert text_of(response.json)


def test_a_tool_tells_the_model_of_its_error(example, client):
    class Quick(msgspec.Struct):
        def run(self):
            raise example.ToolError("try 5")

    class Slow(msgspec.Struct):
        def steps(self, report):
            yield report(1, 2, "half")
            raise example.ToolError("try 5")

    example.TOOLS |= {"quick": Quick, "slow": Slow}
    stream = read_events(client, "/mcp", **call("slow"))
    for answer in (send(client, call("quick")).json, stream.events[-1].json()):
        assert (answer["id"], answer["result"]["isError"]) == (7, True)
        assert text_of(answer) == "try 5"
    assert stream.outcome == "complete"


def test_a_tool_that_fails_answers_with_an_error_that_hides_why(example, client):
    class Quick(msgspec.Struct):
        def run(self):
            raise ZeroDivisionError("secret")

    class Slow(msgspec.Struct):
        def steps(self, report):
            yield report(1, 2, "half")
            raise ZeroDivisionError("secret")

    example.TOOLS |= {"quick": Quick, "slow": Slow}
    response = send(client, call("quick"))
    stream = read_events(client, "/mcp", **call("slow", token=1))
    (_, last) = stream.events
    error = {"code": -32603, "message": "Internal error"}
    assert response.json == last.json() == {"jsonrpc": "2.0", "id": 7, "error": error}
    # A client of MCP reads no other events than those without a type.
    assert last.event == "message"
    assert isinstance(stream.error, ZeroDivisionError)


def test_a_stream_that_the_server_ends_ends_with_an_error_that_says_why(example, client):
    example.app.config["SLUICE_STREAM_TIMEOUT_SECONDS"] = 0.1
    stream = read_events(client, "/mcp", **call("read_pages", pages=100, seconds=0.02))
    (last,) = stream.events
    assert last.json()["id"] == 7
    assert last.json()["error"]["code"] == -32603
    assert "0.1" in last.json()["error"]["message"]


def test_a_tool_may_go_on_after_its_result_although_the_client_has_left(example, client):
    """The result is the stream's terminal event."""
    saved = []

    class Saving(msgspec.Struct):
        def steps(self, report):
            yield report(1, 1, "done")
            return "the result"

    original = example.messages

    def messages(message_id, steps):
        yield from original(message_id, steps)
        saved.append(message_id)

    example.TOOLS["saving"] = Saving
    example.messages = messages
    read_events(client, "/mcp", leave_after=2, **call("saving", token=1))
    assert saved == [7]
