"""The context variables with which an app's generator runs, in a greenlet of its own.

A tracing span, structlog's context and Sentry's scope are context variables of the request, and belong to the generator
too. Flask's own contexts do not: they would hold a database connection for as long as the stream lasts.
"""

import contextvars
from collections.abc import Generator, Iterable
from types import GeneratorType
from typing import Any

_FLASKS_VARIABLES = ("flask.", "werkzeug.Local", "local_storage")
"""How the names of the variables begin that hold Flask's contexts; the last two are those of Flask 2.1."""


def variables_for(items: Iterable[object]) -> contextvars.Context:
    """Return the context for the greenlet that will run ``items``; to be called in the view.

    It is a copy of the request's without Flask's variables. For a generator that ``stream_with_context`` has wrapped it is
    the request's own: that generator pops Flask's context where it was pushed (``ContextVar.reset`` demands it).
    """
    if keeps_flask_context(items):
        # Not above: threads need no greenlet.
        from greenlet import getcurrent  # noqa: PLC0415

        return getcurrent().gr_context or contextvars.copy_context()
    return variables_without_flask()


def variables_without_flask() -> contextvars.Context:
    """Return a copy of the current context variables without Flask's."""
    variables = contextvars.Context()
    for variable, value in contextvars.copy_context().items():
        if not variable.name.startswith(_FLASKS_VARIABLES):
            variables.run(variable.set, value)
    return variables


def keeps_flask_context(items: Iterable[object]) -> bool:
    """Whether ``stream_with_context`` has wrapped the generator, or one that it was given."""
    return find_wrapper(items) is not None


def find_wrapper(items: object, depth: int = 3) -> Generator[object, Any, object] | None:
    """Return the generator that ``stream_with_context`` has made: ``items``, or one that this generator was given, and so on.

    depth: how many generators may be around it
    """
    # One that is over has no frame.
    if not isinstance(items, GeneratorType) or (frame := items.gi_frame) is None:
        return None
    # Flask gives no other sign; a test fails when a release moves the function.
    if frame.f_globals.get("__name__") == "flask.helpers":
        return items
    if depth:
        for given in frame.f_locals.values():
            if isinstance(given, GeneratorType) and (found := find_wrapper(given, depth - 1)):
                return found
    return None
