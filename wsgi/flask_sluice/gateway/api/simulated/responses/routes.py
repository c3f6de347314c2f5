"""OpenAI's Responses API."""

from typing import Any

import msgspec
from flask import Blueprint, Response, request

from flask_sluice.extension.streams import AppStreams
from flask_sluice.gateway.api.openapi.operation import (
    INTEGER,
    OBJECT,
    TEXT,
    Operation,
    Operations,
    array_of,
    json_object,
)
from flask_sluice.gateway.api.simulated.answering import Answering
from flask_sluice.gateway.api.simulated.responses.events import ResponseFeed, event_response
from flask_sluice.gateway.api.simulated.responses.making import NewResponses
from flask_sluice.gateway.api.simulated.responses.store import (
    KeptResponse,
    ResponseStore,
    decode_items,
)
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.apis.responses.request import ResponsesRequest
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.responses import context_of

_LISTED = 20
_MOST_LISTED = 100
_MAX_DIGITS = 18

_RESPONSE = json_object(
    *("id", "object", "created_at", "status", "model", "output"),
    id=TEXT,
    object={"const": "response"},
    created_at=INTEGER,
    status=TEXT,
    model=TEXT,
    output=array_of(OBJECT),
)
_TAG = "OpenAI"
_ONE = "/v1/responses/<response_id>"
OPERATIONS: Operations = {
    ("POST", "/v1/responses"): Operation(
        "Answer a conversation, and keep the answer",
        _TAG,
        body=ResponsesRequest,
        answer=_RESPONSE,
        streams="text/event-stream",
        errors=(400, 404),
    ),
    ("POST", "/v1/responses/input_tokens"): Operation(
        "Count the tokens of an input",
        _TAG,
        body=ResponsesRequest,
        answer=json_object("object", "input_tokens", object=TEXT, input_tokens=INTEGER),
    ),
    ("GET", _ONE): Operation(
        "Read a response, or its events from any one on",
        _TAG,
        answer=_RESPONSE,
        streams="text/event-stream",
        query={
            "stream": "true: its events",
            "starting_after": "the number of the event after which to go on",
        },
        errors=(404,),
    ),
    ("DELETE", _ONE): Operation(
        "Forget a response",
        _TAG,
        answer=json_object("id", "object", "deleted", id=TEXT, object=TEXT),
        errors=(404,),
    ),
    ("POST", f"{_ONE}/cancel"): Operation(
        "Stop a response in the background", _TAG, answer=_RESPONSE, errors=(400, 404)
    ),
    ("GET", f"{_ONE}/input_items"): Operation(
        "List what a response answers",
        _TAG,
        answer=json_object("object", "data", object=TEXT, data=array_of(OBJECT)),
        query={
            "order": "asc or desc",
            "limit": f"how many, up to {_MOST_LISTED}",
            "after": "the id of the item after which to go on",
        },
        errors=(404,),
    ),
}


def add(routes: Blueprint, answering: Answering, streams: AppStreams, settings: Settings) -> None:
    """Add the routes. streams: keeps the responses"""
    store = ResponseStore(streams, settings)
    new = NewResponses(answering, streams, store, settings)
    views = ResponseViews(store, streams, settings)
    routes.post("/v1/responses")(new.create)
    routes.post("/v1/responses/input_tokens")(new.count_input)
    routes.get(_ONE)(views.read_response)
    routes.delete(_ONE)(views.delete_response)
    routes.post(f"{_ONE}/cancel")(views.cancel_response)
    routes.get(f"{_ONE}/input_items")(views.list_input)


class ResponseViews:
    """The views of one worker that find a response that is kept."""

    def __init__(self, store: ResponseStore, streams: AppStreams, settings: Settings) -> None:
        self._store = store
        self._streams = streams
        self._settings = settings

    def read_response(self, response_id: str) -> Any:
        after = _number("starting_after", -1)
        if _is_true("stream"):
            return self._stream(response_id, after + 1)
        if after >= 0:
            text = "The 'starting_after' parameter is only allowed when 'stream' is enabled."
            raise ApiError(400, "invalid_value", text, param="starting_after")
        return self._store.find(response_id).response

    def delete_response(self, response_id: str) -> dict[str, object]:
        self._store.delete(response_id)
        return {"id": response_id, "object": "response", "deleted": True}

    def cancel_response(self, response_id: str) -> dict[str, Any]:
        kept = self._store.find(response_id)
        if not kept.response["background"]:
            raise ApiError(400, "invalid_request", "Cannot cancel a synchronous response.")
        status = kept.response["status"]
        if kept.is_running:
            self._store.stop(response_id)
            return self._store.find(response_id).response
        if status != "cancelled":
            raise ApiError(400, "invalid_request", f"Cannot cancel a {status} response.")
        return kept.response

    def list_input(self, response_id: str) -> Any:
        kept = self._store.find(response_id)
        limit = _number("limit", _LISTED)
        if not 1 <= limit <= _MOST_LISTED:
            text = f"Invalid 'limit': expected a value from 1 to {_MOST_LISTED}, but got {limit} instead."
            raise ApiError(400, "invalid_value", text, param="limit")
        order = request.args.get("order", "desc")
        if order not in ("asc", "desc"):
            text = f"Invalid value: '{order[:64]}'. Supported values are: 'asc' and 'desc'."
            raise ApiError(400, "invalid_value", text, param="order")
        items, ids = _listed(kept, order, request.args.get("after"))
        body = {
            "object": "list",
            "data": items[:limit],
            "first_id": ids[0] if ids else None,
            "last_id": ids[:limit][-1] if ids else None,
            "has_more": len(items) > limit,
        }
        return Response(msgspec.json.encode(body), content_type="application/json")

    def _stream(self, response_id: str, after: int) -> Response:
        description = self._store.describe(response_id)
        if after > description.last_id:
            text = f"Invalid 'starting_after': the last event so far is {description.last_id - 1}."
            raise ApiError(400, "invalid_value", text, param="starting_after")
        feed = ResponseFeed(self._streams.reader(response_id, after), context_of(request), after)
        return event_response(feed, self._settings)


def _listed(
    kept: KeptResponse, order: str, after: str | None
) -> tuple[list[msgspec.Raw], list[str | None]]:
    """Return the items that are to be listed, and their ids."""
    items = [*zip(kept.items, (item.id for item in decode_items(kept.items)), strict=True)]
    if order == "desc":
        items.reverse()
    if after is not None:
        place = next((place for place, (_, id_) in enumerate(items) if id_ == after), None)
        if place is None:
            text = f"Item with id '{after[:64]}' not found."
            raise ApiError(404, "not_found", text, param="after")
        items = items[place + 1 :]
    return [item for item, _ in items], [id_ for _, id_ in items]


def _is_true(name: str) -> bool:
    return request.args.get(name, "").lower() in ("true", "1")


def _number(name: str, default: int) -> int:
    """Return a parameter of the query. Raises ApiError 400 for anything but a whole number."""
    given = request.args.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) <= _MAX_DIGITS):
        text = f"Invalid type for '{name}': expected an integer, but got a string instead."
        raise ApiError(400, "invalid_request", text, param=name)
    return int(given)
