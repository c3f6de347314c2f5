"""What the clients ask and are answered, and what is compared of it."""

import json
import re
import socket
from typing import Any

import openai

from tests.server.raw_upstream import Handler, RawUpstream, headers_of, sends, whole
from tests.support.server import Server, wait_until

PROMPT = {"model": "llama-3-70b", "prompt": "Once upon a time"}
TOOL_CALL = {"name": "get_weather", "arguments": {"city": "Paris"}}
USAGE = {"stream_options": {"include_usage": True}}

CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}]}\n\n'
)
LAST = CHUNK.replace(b'"finish_reason":null', b'"finish_reason":"stop"')
DONE = b"data: [DONE]\n\n"

ERRORS: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
}


class Script:
    """Each request gets the next answer.

    url: of the upstream itself
    relay_url: of a relay in front of it
    headers: of the requests that came
    """

    def __init__(self, raw: RawUpstream, relay: Server) -> None:
        self.url = raw.url.removesuffix("/v1")
        self.relay_url = relay.url
        self.answers: list[Handler] = []
        self.headers: list[dict[str, str]] = []
        raw.handler = self._answer

    def _answer(self, sock: socket.socket, request: bytes) -> None:
        self.headers.append(headers_of(request))
        self.answers.pop(0)(sock, request)


def answers_json(body: object, status: str = "200 OK", **headers: object) -> Handler:
    return sends(whole(json.dumps(body).encode(), status, **headers))


def comparable(value: Any) -> Any:
    """JSON without what is new in every answer of the simulator: ids and times."""
    text = re.sub(r"\b(chatcmpl-|cmpl-|call_)[0-9a-f]{24,}", r"\1", json.dumps(value))
    return json.loads(re.sub(r'"created": \d+', '"created": 0', text))


def ended(server: Server, request_id: str) -> list[object]:
    """The outcomes of the streams with that id, as the log has them."""
    return [line["outcome"] for line in server.logged("stream ended", request_id=request_id)]


def wait_until_cancelled(upstream: Server, relay: Server, request_id: str) -> None:
    for server in (upstream, relay):
        wait_until(lambda server=server: ended(server, request_id) == ["cancelled"])
