"""The error events that the gateway adds to relayed streams, in the shape of each stream's own API."""

from typing import Protocol

from flask_sluice.gateway.relay.answer.state import AnswerState, Api
from flask_sluice.stream.headers_and_errors import (
    error_for_messages,
    error_for_openai,
    error_for_other_routes,
    error_for_responses,
)


class Answer(Protocol):
    """An answer that has begun to come."""

    @property
    def answer(self) -> AnswerState: ...


class RelayFeed(Protocol):
    """The feed of a relayed stream; ``source`` is None before the upstream has answered."""

    @property
    def source(self) -> Answer | None: ...


def error_event(feed: RelayFeed, route: str, error: Exception) -> bytes:
    """Return a stream's error event: in the shape that its events show, or before the first in that of the route.

    route: below /v1
    """
    answer = None if feed.source is None else feed.source.answer
    api = api_of_route(route) if answer is None or answer.api is None else answer.api
    if api is Api.RESPONSES:
        return error_for_responses(error, 0 if answer is None else answer.sequence_number + 1)
    if api is Api.MESSAGES:
        return error_for_messages(error)
    return error_for_openai(error) if api is Api.CHAT else error_for_other_routes(error)


def api_of_route(route: str) -> Api | None:
    """Return the API that a route belongs to, by the segments of its path below /v1; None if it is not known."""
    segments = route.split("/")
    if "completions" in segments:
        return Api.CHAT
    if "responses" in segments:
        return Api.RESPONSES
    return Api.MESSAGES if "messages" in segments else None
