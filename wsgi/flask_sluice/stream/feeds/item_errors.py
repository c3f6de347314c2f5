"""What is said to an app whose items are not events, or whose generator fails for being one, and what it should do instead."""

import inspect
from collections.abc import Callable, Iterable, Mapping

from flask_sluice.sse import Event

_SHOWN_CHARACTERS = 40
_ASYNCHRONOUS = (
    "write it with `def` instead of `async def`, or run its event loop inside of a generator "
    "(docs/flask-apps.md shows how)"
)

_ADVICE: tuple[tuple[Callable[[object], bool], str], ...] = (
    (
        lambda item: item is None,
        "leave out a `yield` without a value; keep-alives come by themselves, and Event(comment=text) is one more",
    ),
    (inspect.isclass, "make one of the class: {name}(…)"),
    (lambda item: isinstance(item, bytearray | memoryview), "bytes() makes bytes of a {kind}"),
    (
        lambda item: inspect.isawaitable(item) or hasattr(item, "__aiter__"),
        "asyncio has to run inside of the generator (docs/flask-apps.md shows how)",
    ),
    (
        lambda item: hasattr(item, "iter_encoded"),
        "yield the events themselves, and give status and headers to sse_response",
    ),
    (inspect.isgenerator, "`yield from {name}()` yields its events one by one"),
    (
        lambda item: isinstance(item, tuple),
        "status and headers are arguments of sse_response, Event(data=…, event=…) names an event, "
        "and Event.json(value) sends a tuple as JSON",
    ),
)
"""What to do about an item of a wrong type, by what it is."""

_HINTS = (
    (
        "Working outside of ",
        "the generator runs after the view: give it what it needs of request, session, g or current_app as arguments, "
        "or wrap it, sse_response(stream_with_context(generate()))",
    ),
    (
        "SQLite objects created in a thread",
        "the generator has a thread of its own: open the connection in the generator, not in the view",
    ),
    (
        "is not bound to a Session",
        "the view's database session ends with the view: read what the generator needs before, "
        "or open a session in the generator",
    ),
)
"""What to do about an exception of a generator that views do not know, by a part of its message."""


def check_items(items: object, function: str = "sse_response") -> None:
    """Raise TypeError, saying what to do, for something that is not an iterable of events.

    function: that takes the items, and is named in the message
    """
    # Nearly all are generators: the questions below take 2 us.
    if not inspect.isgenerator(items):
        problem = _not_iterable(items) or _not_of_events(items)
        if problem is not None:
            raise TypeError(f"sse_response takes {problem}".replace("sse_response", function))
    elif items.gi_frame is None or items.gi_running:
        name = _name(items)
        raise TypeError(
            f"the generator {name} has been read before, by another response for example: "
            f"make a new one for each response, {function}({name}())"
        )


def wrong_type(item: object, *, is_published: bool = False) -> TypeError:
    """Return the error of a generator that has yielded something else than an event, or of a program that has published it."""
    kind = "None" if item is None else type(item).__name__
    takes = "publish takes an" if is_published else "a stream's generator yields"
    advice = _advice(item, kind)
    if is_published and item is None:
        advice = "leave the call out where there is nothing to tell"
    elif is_published and inspect.isgenerator(item):
        advice = "publish its events one by one, or give the generator to start()"
    return TypeError(
        f"{takes} Event, or text or bytes that are framed events, not {kind}; {advice}"
    )


def no_event(text: bytes, *, is_published: bool = False) -> ValueError:
    """Return the error of a generator that has yielded text that is not an event, or of a program that has published it."""
    shown = text.decode("utf-8", "replace")
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "..."
    given = "publish was given" if is_published else "the generator yielded"
    return ValueError(
        f"{given} the text {shown!r}, which is not a server-sent event (`data: text` and a blank line); "
        "wrap it in Event(data=…)"
    )


def hint_for(error: Exception) -> str:
    """Return what to do about an exception that a generator has raised since it does not run in the view; "" of any other."""
    message = str(error)
    return next((hint for part, hint in _HINTS if part in message), "")


def _not_iterable(items: object) -> str | None:
    if hasattr(items, "iter_encoded"):
        return (
            "the generator itself, not a Response that is made of it: "
            "sse_response(generate()) replaces Response(generate(), mimetype='text/event-stream')"
        )
    if inspect.isasyncgenfunction(items) or hasattr(items, "__aiter__"):
        return f"an iterable, not an asynchronous generator: {_ASYNCHRONOUS}"
    if inspect.iscoroutinefunction(items) or inspect.isawaitable(items):
        if inspect.iscoroutine(items):
            items.close()  # Python would warn that it was never awaited.
        return f"an iterable, not a coroutine: {_ASYNCHRONOUS}"
    if inspect.isclass(items):
        return f"an iterable of events, not the class {_name(items)}: pass a generator or a list"
    if callable(items) and not hasattr(items, "__iter__"):
        name = _name(items)
        return f"a generator, not the function {name}: call it, sse_response({name}())"
    return None


def _not_of_events(items: object) -> str | None:
    if isinstance(items, tuple) and not _are_events(items):
        return (
            "the generator alone, not a tuple of it and a status: pass these as arguments, "
            "sse_response(generate(), status=200, headers={…})"
        )
    # A mapping gives its keys, and these bytes give numbers.
    is_one_value = isinstance(items, Event | str | bytes | bytearray | memoryview | Mapping)
    if is_one_value or not hasattr(items, "__iter__"):
        return (
            f"an iterable of events, not one {type(items).__name__}: "
            "yield Event(data=text) or Event.json(value) from a generator, or pass a list of them"
        )
    if isinstance(items, list) and not _are_events(items):
        wrong = next(item for item in items if not isinstance(item, Event | str | bytes))
        kind = type(wrong).__name__
        return f"a list of Events, not of {kind}; " + _advice(wrong, kind)
    return None


def _are_events(items: Iterable[object]) -> bool:
    return all(isinstance(item, Event | str | bytes) for item in items)


def _advice(item: object, kind: str) -> str:
    if inspect.iscoroutine(item):
        item.close()  # Python would warn that it was never awaited.
    for is_so, advice in _ADVICE:
        if is_so(item):
            return advice.format(kind=kind, name=_name(item))
    return f"wrap the {kind} in Event.json(value), which sends it as JSON"


def _name(function: object) -> str:
    return getattr(function, "__name__", type(function).__name__)
