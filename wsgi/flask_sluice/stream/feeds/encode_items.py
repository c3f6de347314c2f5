"""The items that an app's generator yields, and what a stream makes of them."""

import logging
from collections.abc import Iterable

from flask_sluice.sse import Event
from flask_sluice.stream.context import StreamContext
from flask_sluice.stream.errors import ApiError, CutError, PlainAnswer, as_api_error

logger = logging.getLogger("sluice.stream")

StreamItem = Event | bytes

_LAST_LINES_BYTES = 256
"""How much of the end of framed bytes is searched for the terminal event: its lines are short."""


def encode(item: StreamItem) -> bytes:
    """Return the item's bytes. Raises TypeError for an item that is neither an Event nor bytes."""
    if isinstance(item, bytes):
        return item
    if isinstance(item, Event):
        return item.encode()
    raise TypeError(
        f"a stream's generator yields Event or bytes, not {type(item).__name__}; "
        "Event(data=text) sends text, Event.json(value) sends JSON"
    )


def failure(raised: BaseException, context: StreamContext) -> Exception:
    """Return the error with which a stream fails whose generator has raised; logs an unforeseen exception.

    Takes any exception: a SystemExit or KeyboardInterrupt that went on would end the worker with all its streams.
    """
    if isinstance(raised, ApiError | PlainAnswer | CutError):
        return raised
    logger.error("the generator failed request_id=%s", context.request_id, exc_info=raised)
    return as_api_error(raised)


def close(items: Iterable[object], context: StreamContext) -> None:
    """Close a generator at the ``yield`` where it is; logs what it raises."""
    close_items = getattr(items, "close", None)
    if close_items is not None:
        try:
            close_items()
        except Exception:
            logger.exception("closing the generator failed request_id=%s", context.request_id)
