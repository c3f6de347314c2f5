"""Makes the second variant of an app: the one change with which it takes ``sse_response`` up."""

import re
import sys
from pathlib import Path
from types import ModuleType

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

APPS = Path(__file__).parent / "apps"
NAMES = ("metered_answer", "kept_answer", "notifications", "report", "lesson", "agent")

_CHANGE = (
    (
        re.compile(r"^from flask import", re.MULTILINE),
        "from flask_sluice import sse_response\nfrom flask import",
    ),
    (re.compile(r"\bResponse\("), "sse_response("),
    (re.compile(r',\s*mimetype="text/event-stream"'), ""),
)
"""What is replaced, each once in an app, and by what."""


def adopt(source: str) -> str:
    """Return the source of an app with ``sse_response(gen())`` for ``Response(gen(), mimetype="text/event-stream")``."""
    for before, after in _CHANGE:
        source, count = before.subn(after, source)
        assert count == 1, f"{before.pattern} is there {count} times"
    return source


def create_app(name: str, folder: Path, *, is_adopted: bool) -> Flask:
    """Return the app of that name. folder: for its database"""
    path = APPS / f"{name}.py"
    source = path.read_text()
    module = ModuleType(f"tests.adopting.{name}_{'after' if is_adopted else 'before'}")
    # Flask and SQLAlchemy look a module up by its name.
    sys.modules[module.__name__] = module
    exec(compile(adopt(source) if is_adopted else source, str(path), "exec"), module.__dict__)
    app = module.create_app(folder)
    assert isinstance(app, Flask)
    return app


def application(folder: str, *, is_adopted: bool) -> DispatcherMiddleware:
    """Return all apps as one WSGI application, each under its name, for a server. folder: for their databases"""
    apps = {f"/{name}": create_app(name, Path(folder), is_adopted=is_adopted) for name in NAMES}
    return DispatcherMiddleware(Flask(__name__), apps)
