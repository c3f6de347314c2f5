"""Streams of the OpenAI SDK, passed on: an SDK that is pointed at this app reads what OpenAI sends."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import openai
from flask import Flask, Response, request
from flask.typing import ResponseReturnValue

from flask_sluice import ApiError, Event, StreamContext, sse_response

HOLD_SECONDS = 30
"""For so long the status waits for the first event, so that OpenAI's refusal is a refusal of this app's, too."""
LAST_EVENTS = {"response.completed", "response.failed", "response.incomplete", "error"}

app = Flask(__name__)
# The variables OPENAI_API_KEY and OPENAI_BASE_URL say whom it asks. It does not try again, since this app's clients do.
client = openai.OpenAI(max_retries=0)


@app.post("/v1/chat/completions")
def stream_chat() -> Response:
    context = StreamContext()
    return sse_response(
        chat_events(asked(), context),
        hold_headers=HOLD_SECONDS,
        error_event=lambda error: Event.json({"error": told(error)}),
        context=context,
    )


def chat_events(body: dict[str, Any], context: StreamContext) -> Iterator[Event]:
    started, finished = set(), set()
    # The client's own fields go into the body alone: as arguments they could be headers, too.
    with client.chat.completions.create(
        model=body.get("model", ""),
        messages=body.get("messages", []),
        stream=True,
        extra_body=body,
    ) as chunks:
        for chunk in read(chunks, context):
            for choice in chunk.choices or ():
                started.add(choice.index)
                if choice.finish_reason:
                    finished.add(choice.index)
            yield Event(data=chunk.to_json(indent=None, warnings=False))
    # The SDK does not tell an answer that breaks off from a whole one.
    if not started or started != finished:
        raise cut_off()
    yield Event(data="[DONE]")


@app.post("/v1/responses")
def stream_response() -> Response:
    answer = NumberedEvents(asked())
    return sse_response(
        answer.events(),
        hold_headers=HOLD_SECONDS,
        is_terminal=lambda event: event.event in LAST_EVENTS,
        error_event=answer.error_event,
        context=answer.context,
    )


class NumberedEvents:
    """The events of a response, which are numbered from 0."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.context = StreamContext()
        self._body = body
        self._next_number = 0

    def events(self) -> Iterator[Event]:
        with client.responses.create(stream=True, extra_body=self._body) as events:
            for event in read(events, self.context):
                self._next_number += 1
                yield Event(data=event.to_json(indent=None, warnings=False), event=event.type)
                if event.type in LAST_EVENTS:
                    return
        raise cut_off()

    def error_event(self, error: Exception) -> Event:
        # OpenAI's SDKs raise what has `error`; other clients look at the fields that its documentation has.
        body = told(error)
        fields = {name: body.get(name) for name in ("code", "message", "param")}
        number = {"sequence_number": self._next_number}
        return Event.json({"type": "error", **fields, **number, "error": body}, event="error")


def asked() -> dict[str, Any]:
    body = request.get_json()
    if not isinstance(body, dict) or body.get("stream") is not True:
        raise ApiError(400, "invalid_request", "This app streams: send stream: true.")
    return body


def read(stream: "openai.Stream[Any]", context: StreamContext) -> Iterator[Any]:
    """Yield what the SDK yields, until the reader leaves."""
    context.on_stop(lambda: hang_up(stream))
    try:
        yield from stream
    except openai.APIError:
        raise
    except Exception as error:
        # SDKs before 3.20 raise the errors of their HTTP library, and all of them those of a chunk that is not JSON.
        message = "OpenAI's answer cannot be read."
        raise openai.APIConnectionError(message=message, request=stream.response.request) from error


def hang_up(stream: "openai.Stream[Any]") -> None:
    """End the connection on which another thread may be waiting for the next chunk; to close it would not wake that thread."""
    if not stream.response.is_closed:
        connection = stream.response.extensions["network_stream"].get_extra_info("socket")
        with contextlib.suppress(OSError):  # OpenAI has ended it at this moment.
            connection.shutdown(socket.SHUT_RDWR)


def cut_off() -> ApiError:
    return ApiError(502, "upstream_truncated", "The answer broke off.")


@app.errorhandler(ApiError)
@app.errorhandler(openai.APIError)
def refuse(error: ApiError | openai.APIError) -> ResponseReturnValue:
    """Answer an error that comes before the first event with its own status."""
    headers: dict[str, str] = {}
    if isinstance(error, ApiError):
        status = error.status
    elif isinstance(error, openai.APIStatusError):
        status, given = error.status_code, error.response.headers
        names = ("retry-after", "retry-after-ms", "x-should-retry")
        headers = {name: given[name] for name in names if name in given}
    else:
        status = 504 if isinstance(error, openai.APITimeoutError) else 502
    return {"error": told(error)}, status, headers


def told(error: Exception) -> Any:
    """Return what a client may know of an error: what OpenAI has said, if it has said anything."""
    if isinstance(error, openai.APIError):
        if isinstance(error.body, dict):
            return error.body
        error = ApiError(502, "upstream_error", str(error.body or error.message))
    # ApiErrors are this app's, and Sluice's: a restart, a deadline.
    if not isinstance(error, ApiError):
        error = ApiError(500, "internal_error", "The app failed.")
    return error.body()
