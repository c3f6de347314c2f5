"""The arrows of imports between the rooms: down only."""

import ast
from pathlib import Path

import pytest

from tests.support.server import ROOT

# What each room of wsgi/ may import of the others. `errors`, `settings`, `chunk_starts`, `fairness` and `waits` are shared; `settings` builds on
# the stream's options, so that `stream`, a library for other apps too, must do without it.
MAY_IMPORT = {
    "sse": set(),
    "errors": {"sse"},
    "chunk_starts": set(),
    "fairness": set(),
    "waits": set(),
    "stream": {"sse", "errors", "chunk_starts", "waits"},
    "settings": {"stream"},
    "connections": {"stream", "errors", "fairness"},
    "master": set(),
    "worker": {"connections", "master", "stream", "fairness"},
    "engines": {"sse", "errors", "settings", "chunk_starts", "fairness", "waits"},
    "journal": {"sse", "errors", "settings"},
    "client": {"sse"},
    "metrics_folder": set(),
    "metrics": {"metrics_folder", "engines", "stream"},
    "api": {"engines", "journal", "metrics", "stream", "sse", "errors", "settings"},
}

KNOW_FLASK = ("app.py", "wsgi/api/", "wsgi/stream/response.py", "benchmarks/peers/", "tests/")
KNOW_GEVENT = (
    "gunicorn.conf.py",
    "wsgi/stream/",
    "wsgi/journal/",
    "wsgi/connections.py",
    "wsgi/worker.py",
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


def imports_any(path, packages):
    return any(module.split(".")[0] in packages for module in imports_of(path))


def room(module):
    """The part of wsgi that a module belongs to, None for those of others."""
    package, *rest = module.split(".")
    return rest[0] if package == "wsgi" and rest else None


@pytest.mark.parametrize("path", OURS, ids=name)
def test_imports_go_down_only(path):
    if path.parent == ROOT / "wsgi":
        here = path.stem
        if here == "__init__":
            assert imports_of(path) == set()
            return
    else:
        here = path.relative_to(ROOT / "wsgi").parts[0]
    assert here in MAY_IMPORT, "a new room: MAY_IMPORT is to say what it may import"
    others = {room(module) for module in imports_of(path)} - {here, None}
    assert others <= MAY_IMPORT[here]


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if not name(path).startswith(KNOW_FLASK)], ids=name
)
def test_flask_is_known_to_the_routes_only(path):
    assert not imports_any(path, {"flask", "werkzeug"})


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if not name(path).startswith(KNOW_GEVENT)], ids=name
)
def test_gevent_is_known_to_streams_only(path):
    assert not imports_any(path, {"gevent", "greenlet"})


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if not name(path).startswith("tests/")], ids=name
)
def test_the_app_is_imported_by_nobody(path):
    assert not imports_any(path, {"app"})


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
    assert {"app.py", "gunicorn.conf.py", "wsgi/sse/parser.py", name(Path(__file__))} <= {
        name(path) for path in SOURCES
    }
