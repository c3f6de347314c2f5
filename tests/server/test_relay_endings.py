"""Each way in which an upstream's stream ends, and what the client and the log are told.

``relay-endings.json`` has complete exchanges, and says what must come of each.
"""

import json
import re
import time
from pathlib import Path

import pytest

from tests.server.raw_upstream import LAST_CHUNK, STREAM_HEAD, chunk, hang_up
from tests.server.relayed import DONE, logged_end
from tests.support.stream import ask, post

CASES = json.loads(Path(__file__).with_name("relay-endings.json").read_text())["cases"]
CUT = "\0cut"
PIECES_APART_SECONDS = 0.03


def plays(pieces):
    """Return the handler of an upstream that sends these pieces one by one, each as a chunk."""

    def handler(sock, request):
        sock.sendall(STREAM_HEAD)
        for piece in pieces:
            if piece == CUT:
                hang_up(sock)
                return
            sock.sendall(chunk(piece.encode()))
            time.sleep(PIECES_APART_SECONDS)  # The relay reads each by itself.
        sock.sendall(LAST_CHUNK)

    return handler


def exchange(relay, upstream, pieces, path="/v1/chat/completions", **fields):
    """Return status, body and log line of a request to which the upstream sends these pieces."""
    upstream.handler = plays(pieces)
    request = {"model": "m", "stream": True, "messages": [], **fields}
    response, body = ask(relay, post(path, request))
    return response.status, body, logged_end(relay, response.headers["x-request-id"])


def tells_an_error(status, body):
    return (
        status >= 400 or re.search(rb'"error"|(?m:^(event: error|error:))|failed', body) is not None
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_comes_of_it_is_what_the_case_says(relay, upstream, case):
    request = case["request"]
    status, body, line = exchange(relay, upstream, case["pieces"], case["path"], **request)
    assert (status, line["outcome"]) == (case["status"], case["outcome"]), body
    assert tells_an_error(status, body) == case["error"]
    if case["never_done"]:
        assert DONE.strip() not in body
    if case["code"]:
        assert f'"code":"{case["code"]}"'.encode() in body
        assert line["code"] == case["code"]
