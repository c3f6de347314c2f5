"""What a program says of its streams, checked."""

import re
import secrets
from collections.abc import Iterable
from functools import partial

from flask_sluice.journal.errors import PRODUCER_LOST
from flask_sluice.journal.memory import MemoryJournal
from flask_sluice.journal.protocol import Journal, Limits
from flask_sluice.journal.reading.told_error import with_error
from flask_sluice.journal.redis.missing import telling_what_to_install
from flask_sluice.journal.redis.servers.credentials import RedisCredentials, check_needs_url
from flask_sluice.stream.feeds.context_variables import find_wrapper
from flask_sluice.stream.feeds.encode_items import StreamItem
from flask_sluice.stream.headers_and_errors import (
    ErrorEvent,
    RenderError,
    error_for_event_source,
    renderer,
)
from flask_sluice.stream.options import check_arguments

GATEWAYS = "gw-"
"""How the ids of the gateway's streams begin, and those of apps do not: both may be kept in the same Redis."""
_ID = re.compile(r"[\w-]{16,128}", re.ASCII)

render_default_error: RenderError = partial(error_for_event_source, may_resume=False)
"""Makes the error event of a stream whose app has none of its own."""


def new_id(begins_with: str = "s-") -> str:
    """Return an id for a stream, which is impossible to guess."""
    return begins_with + secrets.token_urlsafe(16)


def checked_id(stream_id: str) -> str:
    """Raise ValueError for an id that can be guessed, or that is the gateway's."""
    if not isinstance(stream_id, str) or not _ID.fullmatch(stream_id):
        raise ValueError(
            f"id takes what new_id() returns, since who knows it may read the stream; got {stream_id!r}"
        )
    if stream_id.startswith(GATEWAYS):
        raise ValueError(
            f"an id that begins with {GATEWAYS} is the gateway's, whose routes would read it; got {stream_id!r}"
        )
    return stream_id


def check(
    is_terminal: object, error_event: object, context: object, *, interrupt: object = True
) -> None:
    """Raise TypeError or ValueError, with the argument's name, for one that does not fit."""
    check_arguments(
        hold_headers=0,
        interrupt=interrupt,
        context=context,
        is_terminal=is_terminal,
        error_event=error_event,
    )


def refuse_flasks_context(items: Iterable[StreamItem]) -> None:
    """Raise TypeError for a generator that ``stream_with_context`` has wrapped: its request ends before the stream."""
    if (wrapper := find_wrapper(items)) is not None:
        # It has pushed the context in this thread, and pops it here.
        wrapper.close()
        raise TypeError(
            "start takes a generator without stream_with_context, since the stream goes on after its request: "
            "give the generator what it needs of request, session and g as arguments, "
            "and have it use `with app.app_context():` where it needs current_app"
        )


def error_renderer(error_event: ErrorEvent | None) -> RenderError:
    """Return what makes the stream's error event, so that every process that has the event can tell the error."""
    if error_event is None:
        return render_default_error
    render = renderer(error_event, render_default_error)
    return lambda error: with_error(render(error), error)


def open_journal(
    url: str | None, limits: Limits, credentials: RedisCredentials | None = None
) -> Journal:
    """Return what keeps the streams. Raises ValueError for a URL that cannot be read, ImportError where redis-py is missing."""
    check_needs_url(url, credentials)
    if url is None:
        return MemoryJournal(limits)
    with telling_what_to_install("streams"):
        # Imported here because importing redis-py takes a seventh of a second, and not every app has it.
        from flask_sluice.journal.redis.journal import RedisJournal  # noqa: PLC0415
    return RedisJournal(
        url, limits, lost_event=error_for_event_source(PRODUCER_LOST), credentials=credentials
    )
