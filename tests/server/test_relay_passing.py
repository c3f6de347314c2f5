"""What goes through a relay that is no stream of a completion: other answers, methods, headers, paths."""

import json
import re

import pytest

from tests.server.raw_upstream import (
    LAST_CHUNK,
    STREAM_HEAD,
    chunk,
    head,
    headers_of,
    sends,
    sends_and_closes,
    streams,
    target_of,
    whole,
)
from tests.server.relayed import ANSWER, JSON_ANSWER, PATH, ask_chat, stream_of
from tests.support.server import Server
from tests.support.stream import Response, ask, chat, get, post


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(JSON_ANSWER, "application/json"), (bytes(range(256)) * 1000, "audio/mpeg")],
    ids=["json", "binary"],
)
def test_an_answer_that_is_no_stream_passes_byte_for_byte(relay, upstream, body, content_type):
    upstream.handler = sends(whole(body, Content_Type=content_type))
    response, received = ask(relay, post("/v1/audio/speech", {"model": "m"}))
    assert (response.status, received) == (200, body)
    assert response.headers["content-type"] == content_type
    assert response.headers["content-length"] == str(len(body))


def test_a_chunked_answer_that_is_no_stream_passes(relay, upstream):
    chunks = [chunk(JSON_ANSWER[:10]), chunk(JSON_ANSWER[10:]), LAST_CHUNK]
    upstream.handler = sends(
        head(Content_Type="application/json", Transfer_Encoding="chunked"), *chunks
    )
    assert ask_chat(relay, stream=False)[1] == JSON_ANSWER


def test_a_content_length_beside_chunks_does_not_count(relay, upstream):
    both = head(Content_Type="application/json", Content_Length=3, Transfer_Encoding="chunked")
    upstream.handler = sends(both, chunk(JSON_ANSWER), LAST_CHUNK)
    assert ask_chat(relay, stream=False)[1] == JSON_ANSWER


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH"])
def test_other_methods_pass(relay, upstream, method):
    upstream.handler = sends(whole(b'{"deleted":true}'))
    request = post("/v1/files/file-1", {"name": "x"}).replace(b"POST", method.encode(), 1)
    assert ask(relay, request)[1] == b'{"deleted":true}'
    assert upstream.requests[0].startswith(method.encode() + b" /v1/files/file-1 HTTP/1.1\r\n")
    assert upstream.requests[0].endswith(b'\r\n\r\n{"name": "x"}')


def test_a_head_request_has_no_body(relay, upstream):
    upstream.handler = sends(head(Content_Type="application/json", Content_Length=5))
    with relay.connect() as sock:
        for _ in range(2):
            sock.sendall(get("/v1/models").replace(b"GET", b"HEAD"))
            response = Response(sock)
            assert (response.status, response.headers["content-length"]) == (200, "5")
    assert [request[:4] for request in upstream.requests] == [b"HEAD"] * 2


def test_a_204_has_no_body(relay, upstream):
    upstream.handler = sends(head("204 No Content"))
    with relay.connect() as sock:
        for _ in range(2):
            sock.sendall(get("/v1/files/file-1").replace(b"GET", b"DELETE"))
            assert Response(sock).status == 204


def test_interim_responses_are_read_over(relay, upstream):
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    upstream.handler = sends(interim + STREAM_HEAD, chunk(ANSWER), LAST_CHUNK)
    assert stream_of(relay) == ANSWER


def test_end_to_end_headers_reach_the_upstream_and_hop_by_hop_ones_do_not(relay, upstream):
    upstream.handler = streams(ANSWER)
    request = post(
        PATH,
        chat(),
        Authorization="Bearer client",
        OpenAI_Beta="assistants=v2",
        anthropic_version="2023-06-01",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        X_Request_Id="end-to-end",
        User_Agent="test/1",
        Accept_Encoding="gzip, br",
        Connection="keep-alive, X-Hop",
        X_Hop="1",
        Keep_Alive="timeout=5",
        TE="trailers",
        Proxy_Authorization="Basic eA==",
        Upgrade="h2c",
    )
    ask(relay, request)
    received = headers_of(upstream.requests[0])
    length = str(len(json.dumps(chat())))
    assert received == {
        "host": upstream.host,
        "content-type": "application/json",
        "content-length": length,
        "authorization": "Bearer client",
        "openai-beta": "assistants=v2",
        "anthropic-version": "2023-06-01",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "x-request-id": "end-to-end",
        "user-agent": "test/1",
        "accept-encoding": "identity",
    }


def test_without_a_stream_the_clients_accept_encoding_goes_through(relay, upstream):
    upstream.handler = sends(whole(JSON_ANSWER))
    ask(relay, post(PATH, chat(stream=False), Accept_Encoding="gzip"))
    assert headers_of(upstream.requests[0])["accept-encoding"] == "gzip"


def test_a_request_without_an_id_gets_one_for_upstream_and_client(relay, upstream):
    upstream.handler = streams(ANSWER)
    response, _ = ask_chat(relay)
    request_id = response.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    assert headers_of(upstream.requests[0])["x-request-id"] == request_id


@pytest.mark.parametrize("is_stream", [True, False])
def test_end_to_end_headers_reach_the_client_and_hop_by_hop_ones_do_not(relay, upstream, is_stream):
    extra = {
        "openai_processing_ms": "12",
        "x_ratelimit_remaining_requests": "59",
        "Connection": "X-Hop",
        "X_Hop": "1",
        "Keep_Alive": "timeout=5",
        "Proxy_Authenticate": "Basic",
        "X_Request_Id": "the-upstreams",
        "Server": "uvicorn",
    }
    if is_stream:
        upstream.handler = sends_and_closes(head(Content_Type="text/event-stream", **extra), ANSWER)
    else:
        upstream.handler = sends(whole(JSON_ANSWER, **extra))
    response, _ = ask(relay, post(PATH, chat(stream=is_stream), X_Request_Id="mine"))
    assert response.headers["openai-processing-ms"] == "12"
    assert response.headers["x-ratelimit-remaining-requests"] == "59"
    assert response.headers["x-request-id"] == "mine"
    assert not {"x-hop", "keep-alive", "proxy-authenticate"} & response.headers.keys()
    assert "uvicorn" not in response.headers.values()


def test_the_upstreams_key_replaces_the_clients(upstream):
    upstream.handler = streams(ANSWER)
    with Server(upstream=upstream.url, upstream_api_key="sk-secret") as server:
        response, _ = ask(server, post(PATH, chat(), Authorization="Bearer client"))
        assert headers_of(upstream.requests[0])["authorization"] == "Bearer sk-secret"
        assert "sk-secret" not in server.log + str(response.headers)


@pytest.mark.parametrize(
    "target",
    [
        "/v1/files?purpose=a%20b&after=%2Fx&u=http://x/../y",
        "/v1/models/org%2Fname",
        "/v1/models/caf%C3%A9%20x",
        "/v1/files?",
        "/v1/files/",
        "/v1/%252e%252e/x",
        "/v1/files/http://elsewhere/v1/x",
    ],
)
def test_path_and_query_are_kept_as_they_came(relay, upstream, target):
    upstream.handler = sends(whole(b"{}"))
    assert ask(relay, get(target))[0].status == 200
    assert target_of(upstream.requests[0]) == target


@pytest.mark.parametrize(
    "target",
    [
        "/v1/../x",
        "/v1/..",
        "/v1/a/../../x",
        "/v1/%2e%2e/x",
        "/v1/.%2E/x",
        "/v1/%2e%2e%2fx",
        "/v1/..%5cx",
        "/v1/..\\x",
        "/v1/./x",
        "//elsewhere/v1/x",
        "//v1/x",
        "/v1//elsewhere/x",
        "/x/v1/y",
        "http://elsewhere/x",
        "http://elsewhere/v1/../x",
        "elsewhere/v1/x",
        "@elsewhere/v1/x",
        "*",
    ],
)
def test_no_target_leads_out_of_the_upstreams_url(relay, upstream, target):
    upstream.handler = sends(whole(b"{}"))
    response, _ = ask(relay, get(target, Connection="close"))
    assert response.status in (308, 400, 404)
    assert upstream.requests == []


def test_a_target_in_absolute_form_goes_to_the_upstream(relay, upstream):
    upstream.handler = sends(whole(b"{}"))
    ask(relay, get("http://127.0.0.1:1/v1/models?x=1"))
    assert target_of(upstream.requests[0]) == "/v1/models?x=1"
    assert headers_of(upstream.requests[0])["host"] == upstream.host
