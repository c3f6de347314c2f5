"""Sentry: its transaction of a request lasts as long as the stream, and it hears of a generator's exception.

Its middleware finishes the transaction when the app has returned, before the first event, and spans of the generator would be
lost. Exceptions of the generator do not pass through its middleware.
"""

import contextlib
import sys
from functools import cache
from typing import Any

from flask_sluice.observe.outcome import Outcome
from flask_sluice.observe.stream_end import StreamEnd
from flask_sluice.observe.tracing.attributes import attributes_of


class RequestTransaction:
    """The transaction of a request that is answered with a stream. From now on it is not finished before ``close``."""

    def __init__(self, transaction: Any, scope: Any) -> None:
        self._transaction = transaction
        self._scope = scope
        self._class = transaction.__class__
        # Sentry's classes have slots, so nothing can be set on this transaction alone.
        transaction.__class__ = _unfinished_class(self._class)

    def record_error(self, error: Exception) -> None:
        """See ``report``, which needs no transaction."""

    def close(self, stream_end: StreamEnd | None) -> None:
        """The stream has ended; None: it had not even begun."""
        transaction = self._transaction
        transaction.__class__ = self._class
        if stream_end is not None:
            for name, value in attributes_of(stream_end).items():
                transaction.set_data(name, value)
            if stream_end.outcome is Outcome.ERROR:
                transaction.set_status("internal_error")
        transaction.finish(self._scope)


@cache
def _unfinished_class(transaction_class: Any) -> Any:
    """Return the class of transactions that do nothing when they are told to finish."""
    return type(
        "UnfinishedTransaction",
        (transaction_class,),
        {"__slots__": (), "finish": lambda _transaction, *_, **__: None},
    )


def is_in_use() -> bool:
    """Whether the app has imported Sentry's SDK, of a release that has scopes in context variables (2.0)."""
    return hasattr(sys.modules.get("sentry_sdk"), "new_scope")


def current_transaction() -> RequestTransaction | None:
    """Return the request's transaction; None if there is none, or it is not sampled."""
    sentry = sys.modules["sentry_sdk"]
    transaction: Any = getattr(sentry.get_current_span(), "containing_transaction", None)
    if type(transaction) is not sentry.tracing.Transaction or not transaction.sampled:
        return None
    return RequestTransaction(transaction, sentry.Scope.get_current_scope())


def generators_scope() -> contextlib.AbstractContextManager[object]:
    """Return the scope in which a stream is to be made: its generator goes on with the current span when the view has returned."""
    scope: contextlib.AbstractContextManager[object]
    scope = sys.modules["sentry_sdk"].new_scope() if is_in_use() else contextlib.nullcontext()
    return scope


def report(error: Exception) -> None:
    """Report an exception in the scope of the request, if the app uses Sentry.

    Sentry takes log lines with a traceback for reports, too, and drops the second report of one exception.
    """
    sentry = sys.modules.get("sentry_sdk")
    if sentry is not None:
        sentry.capture_exception(error)
