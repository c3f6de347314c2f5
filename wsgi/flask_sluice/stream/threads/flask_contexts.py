"""Flask's contexts around a generator that ``stream_with_context`` has wrapped, where the generator has a thread of its own.

A context has to be popped in the thread, and in the ``contextvars.Context``, in which it was pushed. So the request's
thread pushes and pops, as it does without Sluice, and the generator's thread runs the generator inside of the wrapper, with
a copy of the variables.
"""

import contextvars
import inspect
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Any

from flask_sluice.stream.feeds.context_variables import find_wrapper, variables_without_flask

_WRAPPED_INSIDE = (
    "with this version of Flask and a server with threads, stream_with_context has to be around all other generators: "
    "sse_response(stream_with_context(outer(inner()))) in place of sse_response(outer(stream_with_context(inner())))"
)


class RequestVariables:
    """The context variables with which a generator runs in its thread; for the request's thread.

    items: the generator that is to run; of a wrapped one, what is inside

    Raises RuntimeError for a generator around a wrapped one, with Flask before 3.1.2: it would pop, in its thread, what the
    view has pushed. Later releases push there, too.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = items
        self.variables: contextvars.Context | None = None
        self._wrapper: Any = None
        self._stack = ExitStack()
        wrapper = find_wrapper(items)
        found = {} if wrapper is None else inspect.getgeneratorlocals(wrapper)
        if wrapper is items and "gen" in found:
            self._wrapper, self.items = items, found["gen"]
            return
        if wrapper is not None and "ctx" in found:
            # Here, and not where its last reference happens to be dropped: it pops the context.
            wrapper.close()
            raise RuntimeError(_WRAPPED_INSIDE)
        self.variables = variables_without_flask()

    @property
    def keeps_flask_context(self) -> bool:
        return self._wrapper is not None

    def enter(self) -> contextvars.Context:
        """Push the contexts of a wrapped generator. Returns the variables for its thread."""
        if self._wrapper is not None:
            # Flask before 3.1.2 has pushed them when the view wrapped the generator.
            found = inspect.getgeneratorlocals(self._wrapper)
            for name in ("app_ctx", "req_ctx"):
                if name in found:
                    self._stack.enter_context(found[name])
        return contextvars.copy_context() if self.variables is None else self.variables

    def leave(self, error: BaseException | None) -> None:
        """Pop the contexts, when the generator has ended.

        error: what teardown functions get: None if it has returned, GeneratorExit if it was closed before
        """
        if self._wrapper is None:
            return
        wrapper, self._wrapper = self._wrapper, None
        traceback = None if error is None else error.__traceback__
        try:
            if "ctx" in inspect.getgeneratorlocals(wrapper):
                _end(wrapper, error)
            wrapper.close()
            self._stack.__exit__(None if error is None else type(error), error, traceback)
        finally:
            if error is not None:
                # Without this frame, which holds it, and would keep both until the garbage is collected.
                error.__traceback__ = traceback


def _end(wrapper: Any, error: BaseException | None) -> None:
    """Let a wrapper that has pushed the contexts pop them."""
    if error is None:
        # Inside of it the generator has returned, so it goes on to its end.
        with suppress(StopIteration):
            next(wrapper)
    else:
        with suppress(type(error)):
            wrapper.throw(error)
