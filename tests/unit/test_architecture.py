"""The arrows of imports between the rooms: down only."""

import ast
from pathlib import Path

from tests.support.server import ROOT

# What each room of wsgi/ may import of the others. `errors`, `settings`, `chunk_starts`, `fairness` and `waits` are shared; `settings` builds on
# the stream's options, so that `stream`, a library for other apps too, must do without it.
MAY_IMPORT = {
    "__init__": set(),
    "sse": set(),
    "errors": {"sse"},
    "chunk_starts": set(),
    "fairness": set(),
    "waits": set(),
    "stream": {"sse", "errors", "chunk_starts", "waits"},
    "settings": {"stream"},
    "connections": {"stream", "errors", "fairness"},
    "master": set(),
    "refusal": {"stream", "errors", "fairness"},
    "worker": {"connections", "master", "refusal", "stream", "fairness"},
    "engines": {"sse", "errors", "settings", "chunk_starts", "fairness", "waits"},
    "journal": {"sse", "errors", "settings"},
    "client": {"sse"},
    "metrics_folder": set(),
    "metrics": {"metrics_folder", "engines", "stream"},
    "api": {"engines", "journal", "metrics", "stream", "sse", "errors", "settings"},
}

KNOW_FLASK = ("app.py", "wsgi/api/", "wsgi/flask_sluice/stream/responses.py", "benchmarks/peers/", "tests/")
KNOW_GEVENT = (
    "gunicorn.conf.py",
    "wsgi/stream/",
    "wsgi/journal/",
    "wsgi/flask_sluice/server/connections.py",
    "wsgi/flask_sluice/server/error_answers.py",
    "wsgi/flask_sluice/server/worker.py",
    "tests/",
    "benchmarks/",
)

SOURCES = sorted(
    path
    for pattern in ("*.py", "wsgi/**/*.py", "tests/**/*.py", "benchmarks/**/*.py")
    for path in ROOT.glob(pattern)
)
OURS = [path for path in SOURCES if path.is_relative_to(ROOT / "wsgi")]


def name(path):
    return path.relative_to(ROOT).as_posix()


def imported_modules(source, package=""):
    """The full names of all modules that the source imports, at whatever depth.

    For `from a import b` that is a.b too, since b may be a module.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_of(path):
    package = ".".join(path.relative_to(ROOT).parent.parts)
    return set(imported_modules(path.read_text(), package))


def importers(paths, packages):
    """The names of those that import any of the packages."""
    return [
        name(path)
        for path in paths
        if packages & {module.split(".")[0] for module in imports_of(path)}
    ]


def room(module):
    """The part of wsgi that a module belongs to, None for those of others."""
    package, *rest = module.split(".")
    return rest[0] if package == "wsgi" and rest else None


def here(path):
    """The room that a file of wsgi/ is in, or is by itself."""
    return path.relative_to(ROOT / "wsgi").with_suffix("").parts[0]


def outside(*places):
    """All sources but those in ``places``."""
    return [path for path in SOURCES if not name(path).startswith(places)]


def test_each_room_says_what_it_may_import():
    assert {here(path) for path in OURS} == MAY_IMPORT.keys()


def test_imports_go_down_only():
    upwards = {
        name(path): others
        for path in OURS
        if (
            others := set(map(room, imports_of(path))) - {here(path), None} - MAY_IMPORT[here(path)]
        )
    }
    assert upwards == {}


def test_flask_is_known_to_the_routes_only():
    assert importers(outside(*KNOW_FLASK), {"flask", "werkzeug"}) == []


def test_gevent_is_known_to_streams_only():
    assert importers(outside(*KNOW_GEVENT), {"gevent", "greenlet"}) == []


def test_the_app_is_imported_by_nobody():
    assert importers(outside("tests/"), {"app"}) == []


def test_every_import_is_seen():
    source = """
import a, b.c
from d import e
from . import f
from ..g import h
def lazily():
    import i
"""
    assert set(imported_modules(source, "wsgi.room")) >= {
        *("a", "b.c", "d", "d.e", "wsgi.room.f", "wsgi.g", "wsgi.g.h", "i")
    }


def test_the_sources_are_found():
    assert {"app.py", "gunicorn.conf.py", "wsgi/flask_sluice/sse/parser.py", name(Path(__file__))} <= {
        name(path) for path in SOURCES
    }
