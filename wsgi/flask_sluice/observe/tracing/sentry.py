"""Sentry: it hears of a generator's exception, which does not pass through its middleware."""

import sys


def report(error: Exception) -> None:
    """Report an exception in the scope of the request, if the app uses Sentry.

    Sentry takes log lines with a traceback for reports, too, and drops the second report of one exception.
    """
    sentry = sys.modules.get("sentry_sdk")
    if sentry is not None:
        sentry.capture_exception(error)
