"""The command ``sluice``: what it prints, its exit codes, and what it starts."""

import re

import pytest

from tests.client.answers import DONE, start_command
from tests.server.raw_upstream import breaks_off, sends, streams, whole


def chunk_of(text: str) -> bytes:
    return b'data: {"choices": [{"delta": {"content": "%b"}}]}\n\n' % text.encode()


ANSWER = [b'data: {"choices": []}\n\n', chunk_of("Grüße, "), chunk_of("Welt 🌊"), DONE]


def test_the_answer_is_printed_and_its_pace_told(server):
    server.handler = streams(*ANSWER)
    process = start_command("--url", f"http://{server.host}", "--model", "m", "Why?")
    out, err = process.communicate(timeout=50)
    assert (process.returncode, out) == (0, "Grüße, Welt 🌊\n")
    assert re.fullmatch(r"first token after \d\.\d{3} s, 2 tokens, \d+\.\d tokens/s\n", err)
    (request,) = server.requests
    assert request.startswith(b"POST /v1/chat/completions ")
    assert b'"model":"m","messages":[{"role":"user","content":"Why?"}],"stream":true' in request


def test_the_url_may_end_with_v1(server, run):
    server.handler = streams(*ANSWER)
    assert run("--url", server.url, "?")[:2] == (0, "Grüße, Welt 🌊\n")
    assert server.requests[0].startswith(b"POST /v1/chat/completions ")


def test_a_server_that_does_not_stream_will_do(server, run):
    server.handler = sends(whole(b'{"choices": [{"message": {"content": "Hi"}}]}'))
    code, out, err = run("--url", server.url, "?")
    assert (code, out) == (0, "Hi\n")
    assert re.fullmatch(r"first token after .* s, 1 token\n", err)


# Each kind of failure has one line and an exit code of its own.


def test_no_server(server, run):
    server.stop()
    line = f"no connection to {server.host}: Connection refused (connect_error)\n"
    assert run("--url", server.url, "?") == (3, "", line)


def test_a_page_of_html(server, run):
    server.handler = sends(whole(b"<html>Sign in", Content_Type="text/html"))
    line = "the answer is a page of HTML, not a stream: <html>Sign in (unreadable)\n"
    assert run("--url", server.url, "?") == (5, "", line)


@pytest.mark.parametrize("data", ['{"choices": [{"delta', '{"code": 503}', "Hello"])
def test_something_else_than_an_answer(server, run, data):
    server.handler = streams(f"data: {data}\n\n".encode(), DONE)
    assert run("--url", server.url, "?") == (5, "", f"not a chat completion: {data}\n")


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (breaks_off(*ANSWER[:2]), r"the connection broke .* \(transport_error\)"),
        (streams(*ANSWER[:2]), r"the answer was cut off: .* \(truncated\)"),
        (streams(*ANSWER[:2], b'data: {"error": {"message": "m", "code": "c"}}\n\n'), r"m \(c\)"),
    ],
    ids=["broken", "truncated", "error-event"],
)
def test_an_answer_that_is_not_whole(server, run, handler, reason):
    server.handler = handler
    code, out, err = run("--url", server.url, "?")
    assert (code, out) == (6, "Grüße, \n")
    assert re.fullmatch(rf"first token after .* s, 1 token\n{reason}\n", err)


def test_a_url_that_is_not_http_is_a_wrong_argument(run):
    assert run("--url", "localhost", "?") == (
        2,
        "",
        "--url: not an http or https URL: 'localhost'\n",
    )
