"""Answers a request of any API from the simulator."""

from collections.abc import Container, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import NamedTuple, TypeVar

import msgspec
from flask import Request, Response, g

from flask_sluice.gateway.api.simulated.request_memory import RequestMemory
from flask_sluice.gateway.request import current_request
from flask_sluice.gateway.request.body import decode, read_json
from flask_sluice.gateway.request.models import check_model
from flask_sluice.gateway.settings import Settings
from flask_sluice.gateway.simulator.apis.request import ApiRequest
from flask_sluice.gateway.simulator.bounds import SMALL_BODY_BYTES, check_size
from flask_sluice.gateway.simulator.options import Fault, SimulatorOptions
from flask_sluice.gateway.simulator.scenarios.answers import given_by_request
from flask_sluice.gateway.simulator.scenarios.live import LiveScenario
from flask_sluice.gateway.simulator.scenarios.match import SeenRequest
from flask_sluice.gateway.simulator.simulate import Simulation
from flask_sluice.gateway.simulator.timed_feed import Pause, TimedFeed
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.event_stream import EventStream
from flask_sluice.stream.headers_and_errors import RenderError, stream_headers
from flask_sluice.stream.loop.give_way import heavy_work
from flask_sluice.stream.options import StreamOptions
from flask_sluice.stream.responses import StreamResponse, context_of
from flask_sluice.stream.transport.client_socket import client_of

Asked = TypeVar("Asked", bound=ApiRequest)
_EVENT_STREAM = "text/event-stream"


class Begun(NamedTuple):
    """An answer whose first event is made.

    render_error: makes its error event
    connection_fault: what the caller is to do to the client's connection
    """

    feed: TimedFeed
    render_error: RenderError
    connection_fault: Fault | None


class Answering:
    """Answers the requests of one worker.

    scenario: says how, where a request does not say it itself
    memory: is told of each request; None: no request is remembered
    """

    def __init__(
        self, settings: Settings, scenario: LiveScenario, memory: RequestMemory | None = None
    ) -> None:
        self._settings = settings
        self._scenario = scenario
        self._memory = memory
        # A comment would spoil a document.
        self._document_options = replace(settings.stream_options, keepalive_seconds=0)

    def read(self, type_: type[Asked], body: bytes | None = None) -> Asked:
        """Return the current request's body as a ``type_``.

        body: None: it is read

        Raises ApiError for a body that is not of the type, names a model that is not accepted, or would take long to decode.
        """
        asked = self.read_for_any_model(type_, body)
        check_model(asked.model, self._settings.models)
        return asked

    def read_for_any_model(self, type_: type[Asked], body: bytes | None = None) -> Asked:
        """Do as ``read`` for an API that names its models elsewhere than in the body, or in its own way."""
        if body is None:
            body = read_json(current_request())
        if self._memory is not None:
            self._memory.note_body(api_of(type_), body)
        # The scenario looks at it. Flask forgets it before the answer is streamed.
        g.simulated_body = body
        if len(body) <= SMALL_BODY_BYTES:
            asked = decode(body, type_, type_.explain)
        else:
            with heavy_work():
                check_size(body)
                asked = decode(body, type_, type_.explain)
        return asked

    def feed(self, asked: ApiRequest, context: StreamContext) -> TimedFeed:
        """Return the feed of the answer, to be read by something else than the request's client."""
        return self._feed(asked, self._simulation(asked, context).items(), context)

    def begin(
        self, asked: ApiRequest, context: StreamContext, connection_faults: Container[str]
    ) -> Begun:
        """Begin an answer that is read by something else than the request's client.

        connection_faults: the kinds of faults that the caller produces itself

        Raises what refuses the request.
        """
        options = self._options(asked)
        fault = options.fault
        if fault is not None and fault.kind in connection_faults:
            options = msgspec.structs.replace(options, fault=None)
        else:
            fault = None
        simulation = Simulation(asked, options, context)
        items = simulation.items()
        first = next(items)

        def with_first() -> Iterator[bytes | Pause]:
            yield first
            yield from items

        return Begun(self._feed(asked, with_first(), context), simulation.error_event, fault)

    def respond(self, asked: ApiRequest) -> Response:
        """Return the response to the current request."""
        request = current_request()
        context = self._context(request, asked)
        simulation = self._simulation(asked, context)
        is_event_stream = asked.stream and asked.format_type.content_type == _EVENT_STREAM
        stream = EventStream(
            self._feed(asked, simulation.items(), context),
            context=context,
            render_error=simulation.error_event,
            client=client_of(request.environ),
            options=self._stream_options(asked) if is_event_stream else self._document_options,
        )
        # An answer that is not streamed sends no header before it is complete, so a failure keeps its status.
        stream.wait_for_first_event(self._settings.commit_seconds if asked.stream else None)
        if is_event_stream:
            return StreamResponse(stream, stream_headers(context.request_id))
        headers = dict(stream_headers(context.request_id)) if asked.stream else {}
        headers["Content-Type"] = (
            asked.format_type.content_type if asked.stream else "application/json"
        )
        headers["X-Request-Id"] = context.request_id
        return StreamResponse(stream, list(headers.items()))

    def _stream_options(self, asked: ApiRequest) -> StreamOptions:
        options, keepalive = self._settings.stream_options, asked.format_type.keepalive
        if keepalive == b"":
            return self._document_options
        return options if keepalive is None else replace(options, keepalive_event=keepalive)

    def _context(self, request: Request, asked: ApiRequest) -> StreamContext:
        context = context_of(request)
        context.notes.update(model=asked.model, stream=asked.stream)
        return context

    def _simulation(self, asked: ApiRequest, context: StreamContext) -> Simulation:
        return Simulation(asked, self._options(asked), context)

    def _options(self, asked: ApiRequest) -> SimulatorOptions:
        own = asked.simulator or SimulatorOptions()
        if self._scenario.is_empty:
            return own
        request, body = current_request(), g.simulated_body
        with heavy_work() if len(body) > SMALL_BODY_BYTES else nullcontext():
            seen = SeenRequest(
                asked.asked(own),
                api=api_of(type(asked)),
                path=request.path,
                headers=request.headers,
                body=body,
            )
            given = given_by_request(asked.simulator, body)
            return self._scenario.options_for(given, seen).options

    def _feed(
        self, asked: ApiRequest, items: Iterator[bytes | Pause], context: StreamContext
    ) -> TimedFeed:
        format_type = asked.format_type
        return TimedFeed(
            items,
            context,
            self._settings.channel_size,
            is_terminal=format_type.is_terminal,
            is_event_stream=not asked.stream or format_type.content_type == _EVENT_STREAM,
        )


def api_of(type_: type[ApiRequest]) -> str:
    """Return the name of the API that a request is of: that of its folder in ``apis``."""
    return type_.__module__.rpartition("apis.")[2].partition(".")[0]
