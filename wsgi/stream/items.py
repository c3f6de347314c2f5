"""What a feed's generator yields, and what becomes of it."""

import logging
from collections.abc import Iterable

from wsgi.errors import ApiError, PlainAnswer, as_api_error
from wsgi.sse import Annotated, Event, EventError
from wsgi.stream.context import StreamContext

logger = logging.getLogger("sluice.stream")

_DONE = b"data: [DONE]\n\n"

StreamItem = Event | Annotated | bytes


def encode(item: StreamItem) -> bytes:
    """The item's bytes. Raises EventError for the report of a failure, TypeError for what is no item."""
    if isinstance(item, bytes):
        return item
    if isinstance(item, Event | Annotated):
        return item.encode()
    raise TypeError(
        f"a stream's generator yields Event, Annotated or bytes, not {type(item).__name__}; "
        "Event(data=text) sends text, Annotated(data=value) sends JSON"
    )


def is_terminal(item: StreamItem, event: bytes) -> bool:
    """Whether the item, whose bytes are ``event``, says that the answer is complete."""
    return event.endswith(_DONE) or (not isinstance(item, bytes) and item.event == "done")


def failure(raised: BaseException, context: StreamContext) -> Exception:
    """What a stream fails with whose generator has raised; logs what nobody has foreseen.

    Of any kind: a SystemExit or KeyboardInterrupt that went on would end the worker, and all its other streams.
    """
    if isinstance(raised, ApiError | PlainAnswer):
        return raised
    if not isinstance(raised, EventError):
        logger.error("the generator failed request_id=%s", context.request_id, exc_info=raised)
    return as_api_error(raised)


def close(items: Iterable[object], context: StreamContext) -> None:
    """Closes a generator, at the ``yield`` where it is; what it raises is logged."""
    close_items = getattr(items, "close", None)
    if close_items is not None:
        try:
            close_items()
        except Exception:
            logger.exception("closing the generator failed request_id=%s", context.request_id)
