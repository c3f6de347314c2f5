"""Answers a request for a new response: to its client while it is made, or in the background."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import msgspec
from flask import Response

from flask_sluice.extension.streams import AppStreams
from flask_sluice.gateway.api.simulated.answering import Answering
from flask_sluice.gateway.api.simulated.responses.events import (
    WIRE_FAULTS,
    ResponseFeed,
    ResponseReader,
    event_response,
    read_until_end,
    with_comment,
)
from flask_sluice.gateway.api.simulated.responses.store import (
    Items,
    ResponseStore,
    decode_items,
    with_input,
)
from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.body import read_json
from flask_sluice.gateway.request.client_identity import note_user, owner_name
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.answers.texts import count_tokens
from flask_sluice.gateway.simulator.apis.openai_errors import invalid
from flask_sluice.gateway.simulator.apis.responses.items import encoded_items
from flask_sluice.gateway.simulator.apis.responses.request import ResponsesRequest
from flask_sluice.gateway.simulator.bounds import MAX_BODY_BYTES, SMALL_BODY_BYTES
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.give_way import heavy_work
from flask_sluice.stream.responses import context_of


class _Undecoded(msgspec.Struct):
    """What a response repeats as it came."""

    input: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))
    tools: list[msgspec.Raw] | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request that has been read.

    items: of the conversation, up to its input; what is kept of it
    """

    asked: ResponsesRequest
    items: Items


class NewResponses:
    """The views of one worker that make a response."""

    def __init__(
        self, answering: Answering, streams: AppStreams, store: ResponseStore, settings: Settings
    ) -> None:
        self._answering = answering
        self._streams = streams
        self._store = store
        self._settings = settings
        self._options = settings.generation_options

    def create(self) -> Response:
        prepared = self._read()
        if prepared.asked.background:
            self._streams.require_shared()
            return self._in_background(prepared)
        return self._at_once(prepared)

    def count_input(self) -> dict[str, object]:
        asked = self._read().asked.asked(SimulatorOptions())
        with heavy_work() if asked.prompt_length > SMALL_BODY_BYTES else nullcontext():
            count = count_tokens(asked.prompt_text) + asked.more_prompt_tokens
        return {"object": "response.input_tokens", "input_tokens": count}

    def _read(self) -> _Prepared:
        """Return the current request with what it refers to. Raises ApiError."""
        body = read_json(current_request())
        asked = self._answering.read(ResponsesRequest, body)
        asked.check()
        note_user(current_request(), body)
        with heavy_work() if len(body) > SMALL_BODY_BYTES else nullcontext():
            undecoded = msgspec.json.decode(body, type=_Undecoded)
            asked.made.tools = undecoded.tools or []
            before = self._items_before(asked)
            asked.made.history = decode_items(before)
            references = self._resolve_references(asked)
            own: Items = []
            if asked.input is not None:
                own = encoded_items(undecoded.input, asked.items, f"{asked.made.token}i")
            items = [*before, *(references.get(place, item) for place, item in enumerate(own))]
        return _Prepared(asked, items)

    def _items_before(self, asked: ResponsesRequest) -> Items:
        """Return the items of the conversation that the request goes on with."""
        previous_id = asked.previous_response_id
        if previous_id is None:
            return []
        try:
            previous = self._store.find(previous_id)
        except ApiError as error:
            if error.status >= 500:
                raise
            text = f"Previous response with id '{previous_id[:64]}' not found."
            code = "previous_response_not_found"
            raise invalid("previous_response_id", text, code) from None
        if previous.is_running:
            text = f"Previous response with id '{previous_id}' has not ended yet."
            raise invalid("previous_response_id", text)
        items = [*previous.items, *previous.output]
        if sum(len(bytes(item)) for item in items) > MAX_BODY_BYTES:
            text = "Your input exceeds the context window of this model. Please adjust your input and try again."
            raise invalid("input", text, "context_length_exceeded")
        return items

    def _resolve_references(self, asked: ResponsesRequest) -> dict[int, msgspec.Raw]:
        """Put the items in place of the references to them. Return them by their place, undecoded."""
        resolved = {}
        for place, item in enumerate(asked.input if isinstance(asked.input, list) else ()):
            if item.kind != "item_reference":
                continue
            found = self._store.item(item.id or "")
            if found is None:
                text = (
                    f"Item with id '{(item.id or '')[:64]}' not found. Items of responses with 'store' set to false "
                    "are not kept: leave it out, or send the item itself."
                )
                raise ApiError(404, "not_found", text, param="input")
            assert isinstance(asked.input, list)
            asked.input[place], resolved[place] = found
        return resolved

    def _at_once(self, prepared: _Prepared) -> Response:
        """Answer the client, whose leaving ends the response."""
        asked, made = prepared.asked, prepared.asked.made
        if not (asked.is_stored and self._store.can_keep):
            return self._answering.respond(asked)
        made.keeper = keeper = self._store.keeper(made.id, prepared.items)
        with _closing_on_failure(keeper.close):
            response = self._answering.respond(asked)
        response.call_on_close(keeper.close)
        return response

    def _in_background(self, prepared: _Prepared) -> Response:
        """Begin the response, which goes on without its client."""
        asked = prepared.asked
        is_stream, asked.stream = bool(asked.stream), True
        context = StreamContext()
        context.notes.update(model=asked.model, stream=is_stream)
        feed, render_error, fault = self._answering.begin(asked, context, WIRE_FAULTS)
        comment = with_input(prepared.items)
        response_id = asked.made.id
        self._streams.generate(
            feed,
            context,
            self._options,
            ResponseReader(comment),
            render_error=with_comment(comment, render_error),
            owner=owner_name(self._settings),
            key=self._store.key,
            stream_id=response_id,
        )
        journal = self._streams.journal
        read_until_end(journal, response_id)
        if is_stream:
            reader_context = context_of(current_request())
            follow = self._streams.reader(response_id, 0)
            return event_response(ResponseFeed(follow, reader_context, 0, fault), self._settings)
        body = {**asked.told(), "status": "queued"}
        head = {"id": response_id, "object": "response", "created_at": asked.made.created_at}
        return Response(msgspec.json.encode({**head, **body}), content_type="application/json")


@contextmanager
def _closing_on_failure(close: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        close()
        raise
