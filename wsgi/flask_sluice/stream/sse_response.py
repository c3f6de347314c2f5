"""``sse_response``: what a generator yields, as the response of any view of any Flask app."""

import logging
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from flask import Response, current_app, has_request_context, request

from flask_sluice.observe.tracing import sentry
from flask_sluice.sse import Event
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.feeds.encode_items import ItemEncoder, StreamItem
from flask_sluice.stream.feeds.item_errors import check_items, hint_for
from flask_sluice.stream.headers_and_errors import error_for_event_source, renderer
from flask_sluice.stream.options import StreamOptions, check_arguments, stream_options
from flask_sluice.stream.responses import (
    GivenHeaders,
    StreamResponse,
    check_status,
    context_of,
    headers_with,
    http_exception,
)
from flask_sluice.stream.serving import TEST_STREAMS, is_test_client, streams_on_gevent

if TYPE_CHECKING:
    from flask_sluice.stream.event_stream import EventStream
    from flask_sluice.stream.threads.thread_stream import ThreadStream

logger = logging.getLogger("sluice.stream")


def sse_response(
    items: Iterable[StreamItem],
    *,
    keepalive: float | None = None,
    deadline: float | None = None,
    retry: int | None = None,
    status: int | str = 200,
    headers: GivenHeaders | None = None,
    hold_headers: float = 0,
    is_terminal: Callable[[Event], bool] | None = None,
    error_event: Callable[[Exception], Event] | None = None,
    interrupt: bool = True,
    on_disconnect: Callable[[], object] | None = None,
    context: StreamContext | None = None,
) -> Response:
    """Stream what a generator yields to the client of the current request, as server-sent events.

    items: yields ``Event``s (``Event.json(value)`` for JSON), or text or bytes that are framed events already, cut anywhere.
        The generator runs outside of the request, with the request's context variables but without Flask's contexts, unless
        ``stream_with_context`` wraps it; otherwise pass it what it needs of ``request`` or ``session``. It ends by
        returning. When the client leaves it gets GeneratorExit. An exception that it raises becomes one error event, and
        a traceback in the log
    keepalive: seconds of silence after which a comment is sent; 0: never; None: ``SLUICE_KEEPALIVE_SECONDS`` of the app's
        config, or else 15
    deadline: seconds after which the stream ends with an error event; None: ``SLUICE_STREAM_TIMEOUT_SECONDS`` of the app's
        config, or else never
    retry: milliseconds after which an EventSource reconnects; None: as it likes
    status, headers: the response's, beside the headers that every stream has; hop-by-hop headers are the server's (PEP 3333)
        and are left out
    hold_headers: seconds for which status and headers wait for the first event, so that an exception before it is
        handled by the app's error handlers
    is_terminal: tells whether an event completes the answer; None: ``event: done`` and ``data: [DONE]`` do. After it the
        generator is left alone to save its answer, and a client that leaves is no disconnect
    error_event: makes the event that tells the client of an exception; None: an ``event: error`` that tells nothing of it
    interrupt: whether GeneratorExit is raised in the generator's waits, too, on servers with gevent; otherwise it ends at its
        next ``yield``
    on_disconnect: called without arguments after the client has left before the end
    context: for a generator that asks whether it has been stopped, or for code elsewhere that stops the stream

    Raises TypeError for ``items`` that are no iterable of events; ValueError for an option or a header that cannot be;
    RuntimeError outside of a request; with ``hold_headers``, what the generator has raised before its first event.
    """
    if not has_request_context():
        raise RuntimeError(
            "sse_response answers the current request, and there is none: call it in a view"
        )
    # Looked up once each: Flask's proxies are a microsecond.
    app, asked = current_app._get_current_object(), request._get_current_object()  # type: ignore[attr-defined]
    check_items(items)
    check_status(status)
    check_arguments(
        hold_headers=hold_headers,
        interrupt=interrupt,
        context=context,
        is_terminal=is_terminal,
        error_event=error_event,
        on_disconnect=on_disconnect,
    )
    _keep_from_compression(app.config, asked.environ)
    call = _Call(
        items=items,
        context=context_of(asked, context),
        encoder=ItemEncoder(is_terminal),
        render_error=renderer(
            error_event, _error_with_its_text if app.debug else error_for_event_source
        ),
        handles_errors=error_event is not None,
        options=stream_options(app.config, keepalive, deadline),
        retry=retry,
        environ=asked.environ,
        interrupt=interrupt,
        on_disconnect=on_disconnect,
    )
    response_headers = headers_with(call.context.request_id, headers)
    with sentry.generators_scope():
        stream = call.on_gevent() if streams_on_gevent(asked.environ) else call.on_threads()
    if hold_headers and asked.method != "HEAD":
        _hold(stream, hold_headers)
    return StreamResponse(stream, response_headers, status)


@dataclass(slots=True)
class _Call:
    """The arguments of a call, of which each kind of server makes a stream."""

    items: Iterable[StreamItem]
    context: StreamContext
    encoder: ItemEncoder
    render_error: Callable[[Exception], bytes]
    handles_errors: bool
    """Whether the app makes the error event. Like an exception that an error handler takes, none then reaches a test."""
    options: StreamOptions
    retry: int | None
    environ: Mapping[str, Any]
    interrupt: bool
    on_disconnect: Callable[[], object] | None

    @property
    def preamble(self) -> bytes:
        if self.retry is None:
            return self.options.preamble
        return self.options.preamble + Event(retry=self.retry).encode()

    def on_gevent(self) -> "EventStream":
        # Not above: this package can be imported where gevent is not installed.
        from flask_sluice.stream.event_stream import EventStream  # noqa: PLC0415
        from flask_sluice.stream.feeds.event_queue import EventQueue  # noqa: PLC0415
        from flask_sluice.stream.feeds.generator_feed import GeneratorFeed  # noqa: PLC0415
        from flask_sluice.stream.transport.client_socket import socket_of  # noqa: PLC0415

        feed = GeneratorFeed(
            self.items,
            self.context,
            EventQueue(self.options.channel_size),
            self.encoder,
            interrupt=self.interrupt,
        )
        return EventStream(
            feed,
            context=self.context,
            render_error=self.render_error,
            client=socket_of(self.environ),
            options=self.options,
            preamble=self.preamble,
            on_disconnect=self.on_disconnect,
        )

    def on_threads(self) -> "ThreadStream":
        from flask_sluice.stream.threads.client import client_of  # noqa: PLC0415
        from flask_sluice.stream.threads.flask_contexts import RequestVariables  # noqa: PLC0415
        from flask_sluice.stream.threads.generator_thread import GeneratorThread  # noqa: PLC0415
        from flask_sluice.stream.threads.thread_stream import ThreadStream  # noqa: PLC0415

        is_test = is_test_client(self.environ)
        if not (is_test or request.is_multithread):
            _warn_of_one_thread()
        generator = GeneratorThread(
            RequestVariables(self.items),
            self.context,
            self.encoder,
            self.options.channel_size,
            is_in_step=is_test,
        )
        stream = ThreadStream(
            generator,
            context=self.context,
            render_error=self.render_error,
            client=client_of(self.environ),
            options=self.options,
            preamble=self.preamble,
            on_disconnect=self.on_disconnect,
            propagates=is_test and not self.handles_errors and _propagates(),
        )
        if is_test:
            self.environ.get(TEST_STREAMS, []).append(stream)
        return stream


def _hold(stream: "EventStream | ThreadStream", seconds: float) -> None:
    try:
        stream.wait_for_first_event(seconds)
    except ApiError as error:
        # Of an app that is not the gateway no error handler knows it.
        raise http_exception(error) from error


def _error_with_its_text(error: Exception) -> bytes:
    """Return the default error event, which in debug mode tells the developer what went wrong."""
    if not isinstance(error, ApiError):
        text = f"{type(error).__name__}: {error}"
        hint = hint_for(error)
        error = ApiError(500, "internal_error", f"{text} ({hint})" if hint else text)
    return error_for_event_source(error)


def _propagates() -> bool:
    wanted = current_app.config.get("PROPAGATE_EXCEPTIONS")
    return current_app.testing if wanted is None else bool(wanted)


@cache
def _warn_of_one_thread() -> None:
    logger.warning(
        "this server answers one request at a time, so other requests wait until a stream is over: give it threads, or "
        "start gunicorn with -c python:flask_sluice.server.settings"
    )


def _keep_from_compression(config: Mapping[str, Any], environ: MutableMapping[str, Any]) -> None:
    """Have Flask-Compress leave the stream alone, which it would hold back until enough is there to compress."""
    if "text/event-stream" in (config.get("COMPRESS_MIMETYPES") or ()):
        _warn_of_compression()
        # All its releases look at this when the view has returned.
        environ.pop("HTTP_ACCEPT_ENCODING", None)


@cache
def _warn_of_compression() -> None:
    logger.warning(
        "streams are sent uncompressed, since Flask-Compress would hold their events back: take text/event-stream out of "
        "COMPRESS_MIMETYPES"
    )
