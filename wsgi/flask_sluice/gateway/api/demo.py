"""The demo page, and the stream that its EventSource part reads."""

import hashlib
from collections.abc import Iterator

import msgspec
from flask import Blueprint, Response, render_template, request

from flask_sluice.extension.reading import RETRY_MS, last_event_id, no_more_events
from flask_sluice.gateway.api.event_source import feed_response
from flask_sluice.gateway.api.openapi.operation import Operation, Operations
from flask_sluice.gateway.api.simulated.models import DEFAULT_MODEL
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.answers.texts import tokenize, write_answer
from flask_sluice.gateway.simulator.timed_feed import Pause, TimedFeed
from flask_sluice.sse import Event
from flask_sluice.stream.admission import Pool
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.responses import context_of

_CHARACTER_SECONDS = 0.03
_MAX_STREAMS = 20
"""How many of these streams a worker has at once: anybody may ask for them, and they are in no client's account."""

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


OPERATIONS: Operations = {
    ("GET", "/"): Operation("Show the demonstration", "Demonstration", other="text/html"),
    ("GET", "/stream_chat"): Operation(
        "Answer a question, character by character",
        "Demonstration",
        streams="text/event-stream",
        query={"name": "the question", "last_event_id": "the event after which to go on"},
    ),
}


def blueprint(settings: Settings) -> Blueprint:
    """Return the routes ``/`` and, unless the server has keys or an upstream, ``/stream_chat``."""
    routes = Blueprint("demo", __name__)
    has_stream_chat = settings.demo or not (settings.api_keys or settings.upstream)
    pool = Pool(_MAX_STREAMS)

    @routes.get("/")
    def page() -> Response:
        model = settings.models[0] if settings.models else DEFAULT_MODEL
        return Response(
            render_template(
                "index.html",
                model=model,
                simulates=not settings.upstream,
                has_stream_chat=has_stream_chat,
            ),
            headers={
                "Content-Type": "text/html; charset=utf-8",
                "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
            },
        )

    def stream_chat() -> Response:
        question = request.args.get("name", "")
        if not question.strip():
            raise ApiError(400, "invalid_request", "?name= takes the question", param="name")
        answer = "".join(write_answer(question, seed=0))
        done_id = len(answer) + 1
        seen = last_event_id(newest=done_id)
        if seen == done_id:
            return no_more_events()
        context = context_of(request)
        context.pool = pool
        feed = TimedFeed(_characters(question, answer, seen), context, settings.channel_size)
        return feed_response(feed, context, settings)

    if has_stream_chat:
        routes.get("/stream_chat")(stream_chat)
    return routes


def _characters(question: str, answer: str, seen: int) -> Iterator[Event | Pause]:
    """Yield the events after number ``seen``.

    The answer is a function of the question, so a client that reconnects continues although nothing was stored.
    """
    stream_id = hashlib.sha256(question.encode("utf-8", "replace")).hexdigest()[:32]
    for number, character in enumerate(answer[seen:], start=seen + 1):
        yield Pause(_CHARACTER_SECONDS)
        data = {
            "code": 200,
            "message": "success",
            "event": {"id": stream_id, "data": character},
        }
        yield Event(
            data=msgspec.json.encode(data).decode(),
            id=str(number),
            retry=RETRY_MS if number == seen + 1 else None,
        )
    prompt_tokens, completion_tokens = len(tokenize(question)), len(tokenize(answer))
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    end = {"finish_reason": "stop", "usage": usage}
    yield Event(data=msgspec.json.encode(end).decode(), event="done", id=str(len(answer) + 1))
