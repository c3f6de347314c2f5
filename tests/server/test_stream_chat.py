"""GET /stream_chat: a stream for EventSource that survives a reconnection."""

import json
from urllib.parse import quote

import pytest

from flask_sluice.gateway.simulator.answers.texts import write_answer
from flask_sluice.sse import EventParser, ReceivedEvent
from tests.server.observer import Observer
from tests.support.server import Server, wait_until
from tests.support.stream import Response, get

QUESTION = "Què és això?"
PATH = f"/stream_chat?name={quote(QUESTION)}"
ANSWER = "".join(write_answer(QUESTION, 0))
DONE_ID = len(ANSWER) + 1


def read(server: Server, path: str = PATH, events: int = 3, **headers: str) -> list[ReceivedEvent]:
    """Return the first events of the stream, or all if it has fewer; then leave."""
    parser = EventParser()
    seen: list[ReceivedEvent] = []
    with server.connect() as sock:
        sock.sendall(get(path, **headers))
        response = Response(sock)
        assert response.status == 200
        while len(seen) < events and (chunk := response.chunk()):
            seen += parser.feed(chunk)
    return seen[:events]


def characters(events: list[ReceivedEvent]) -> str:
    return "".join(json.loads(event.data)["event"]["data"] for event in events)


def test_each_event_carries_a_number_and_one_character(sluice):
    events = read(sluice)
    assert [event.id for event in events] == ["1", "2", "3"]
    assert characters(events) == ANSWER[:3]
    stream_ids = {json.loads(event.data)["event"]["id"] for event in events}
    assert len(stream_ids) == 1
    first = json.loads(events[0].data)
    assert (first["code"], first["message"]) == (200, "success")


def test_a_comment_comes_first_and_retry_with_the_first_event(sluice):
    with sluice.connect() as sock:
        sock.sendall(get(PATH))
        response = Response(sock)
        assert response.chunk() == b": stream\n"
        assert b"retry: 2000\n" in response.chunk()
        assert b"retry:" not in response.chunk()


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"Last_Event_ID": "10"}),
        ("&last_event_id=10", {}),
        ("&lastEventId=10", {}),
        ("&last_event_id=&lastEventId=10", {}),
        ("&last_event_id=10&lastEventId=", {}),
        # An app begins at an event, and what a reconnection adds is newer.
        ("&last_event_id=5&lastEventId=10", {}),
        ("&lastEventId=5&lastEventId=10", {}),
        ("&last_event_id=5", {"Last_Event_ID": "10"}),
        ("&lastEventId=5", {"Last_Event_ID": "10"}),
    ],
)
def test_it_continues_after_the_newest_event_that_the_client_says_it_has(sluice, query, headers):
    events = read(sluice, PATH + query, **headers)
    assert [event.id for event in events] == ["11", "12", "13"]
    assert characters(events) == ANSWER[10:13]
    assert events[0].retry == 2000


def test_it_ends_with_done(sluice):
    *rest, done = read(sluice, events=10, Last_Event_ID=str(len(ANSWER) - 1))
    assert characters(rest) == ANSWER[-1]
    assert (done.event, done.id) == ("done", str(DONE_ID))
    assert json.loads(done.data)["finish_reason"] == "stop"


def test_a_client_that_has_seen_the_end_gets_204(sluice):
    with sluice.connect() as sock:
        sock.sendall(get(PATH, Last_Event_ID=str(DONE_ID)))
        assert Response(sock).status == 204


@pytest.mark.parametrize("garbage", ["x", "-1", "1.5", "٣", "1" * 5000, str(DONE_ID + 1)])
def test_a_last_event_id_that_is_not_an_id_of_the_stream_is_400(sluice, garbage):
    with sluice.connect() as sock:
        sock.sendall(get(PATH, Last_Event_ID=garbage).replace("٣".encode(), b"\xd9\xa3"))
        response = Response(sock)
        assert response.status == 400
        assert response.json()["error"]["param"] == "last_event_id"


@pytest.mark.parametrize("name", ["last_event_id", "lastEventId"])
def test_an_id_in_the_query_that_is_not_one_of_the_stream_is_400(sluice, name):
    with sluice.connect() as sock:
        sock.sendall(get(f"{PATH}&{name}=x"))
        assert Response(sock).status == 400


def test_a_request_without_a_question_is_400(sluice):
    with sluice.connect() as sock:
        sock.sendall(get("/stream_chat?name=%20"))
        response = Response(sock)
        assert response.status == 400
        assert response.json()["error"]["param"] == "name"


def test_head_is_answered_without_starting_a_stream():
    with Server("tests.server.inspected_app:app") as server:
        observer = Observer(server)
        with server.connect() as sock:
            sock.sendall(get(PATH).replace(b"GET", b"HEAD"))
            response = Response(sock)
            assert response.status == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            assert observer.ask("/inspect")["inflight"] == 0


def test_the_generation_stops_when_the_reader_leaves(sluice):
    read(sluice, X_Request_Id="chat-reader")
    end = {"request_id": "chat-reader", "outcome": "cancelled"}
    wait_until(lambda: sluice.logged("stream ended", **end))
