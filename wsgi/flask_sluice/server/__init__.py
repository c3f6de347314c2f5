"""Sluice under gunicorn: the worker, and what an app's own gunicorn file needs.

Importing this package imports neither gevent nor gunicorn, so that ``configure`` can patch the process first.
"""

from typing import TYPE_CHECKING, Any

from flask_sluice.server.configuration import configure

if TYPE_CHECKING:
    from flask_sluice.server.worker import Worker

__all__ = ["Worker", "configure"]


def __getattr__(name: str) -> Any:
    if name == "Worker":
        # Not above: it imports gevent and gunicorn.
        from flask_sluice.server.worker import Worker  # noqa: PLC0415

        return Worker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
