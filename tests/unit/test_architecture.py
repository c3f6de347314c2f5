"""The arrows of imports between the rooms: down only."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.support.server import ROOT

# What each room of the package may import of the others.
MAY_IMPORT = {
    "__init__": {"sse", "stream", "journal", "channels", "extension"},
    "__main__": {"cli"},
    "cli": {"gateway", "client", "doctor", "testing"},
    "testing": {"stream", "observe", "sse"},
    "extension": {"channels", "journal", "stream", "sse"},
    "gateway": {
        *("extension", "channels", "journal", "stream", "observe", "sse", "server"),
        # Of it, what helps the doctor in any server, and is pure.
        "doctor",
    },
    "server": {"stream", "observe"},
    "channels": {"journal", "stream", "observe", "sse"},
    "journal": {"stream", "observe", "sse"},
    "stream": {"observe", "sse"},
    "client": {"sse"},
    "doctor": {"sse"},
    "observe": {"sse"},
    "sse": set(),
}
MOST_FILES_IN_A_ROOM = 13
"""A dozen, and ``__init__``."""

KNOW_FLASK = (
    "wsgi/flask_sluice/gateway/",
    "wsgi/flask_sluice/extension/",
    "wsgi/flask_sluice/stream/responses.py",
    "wsgi/flask_sluice/stream/sse_response.py",
    "wsgi/flask_sluice/server/connections.py",
    "wsgi/flask_sluice/testing/",
    "examples/",
    "benchmarks/peers/",
    "tests/",
)
KNOW_GEVENT = (
    "gunicorn.conf.py",
    "wsgi/flask_sluice/stream/",
    "wsgi/flask_sluice/journal/",
    "wsgi/flask_sluice/channels/redis/loop_reader.py",
    "wsgi/flask_sluice/server/",
    "wsgi/flask_sluice/gateway/simulator/timed_feed.py",
    "wsgi/flask_sluice/gateway/relay/",
    "wsgi/flask_sluice/gateway/gunicorn_settings.py",
    "examples/",
    "tests/",
    "benchmarks/",
)
KNOW_GUNICORN = (
    "wsgi/flask_sluice/server/",
    "wsgi/flask_sluice/gateway/gunicorn_settings.py",
    "tests/",
    "benchmarks/",
)
WITHOUT_EXTRAS = ("gevent", "gunicorn", "redis", "urllib3", "prometheus_client", "limits")

PUBLIC_NAMES = {
    *(
        "ApiError",
        "Channels",
        "Event",
        "Sluice",
        "StreamContext",
        "Streams",
        "sse_response",
        "__version__",
    ),
}

PACKAGE = ROOT / "wsgi/flask_sluice"
SOURCES = sorted(
    path
    for pattern in (
        *("*.py", "wsgi/**/*.py", "tests/**/*.py", "benchmarks/**/*.py", "examples/**/*.py"),
    )
    for path in ROOT.glob(pattern)
)
OURS = [path for path in SOURCES if path.is_relative_to(PACKAGE)]


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
    root = ROOT / "wsgi" if path.is_relative_to(PACKAGE) else ROOT
    package = ".".join(path.relative_to(root).parent.parts)
    return set(imported_modules(path.read_text(), package))


def importers(paths, packages):
    """The names of those that import any of the packages."""
    return [
        name(path)
        for path in paths
        if packages & {module.split(".")[0] for module in imports_of(path)}
    ]


def room(module):
    """The room of our package that a module belongs to; None for other packages' modules."""
    package, *rest = module.split(".")
    return rest[0] if package == "flask_sluice" and rest else None


def here(path):
    """The room that a file of our package is in, or is by itself."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def outside(*places):
    """All sources but those in ``places``."""
    return [path for path in SOURCES if not name(path).startswith(places)]


def test_each_room_says_what_it_may_import():
    assert {here(path) for path in OURS} <= MAY_IMPORT.keys()


def test_a_room_has_at_most_a_dozen_files():
    rooms = Counter(path.parent for path in OURS)
    assert [name(room) for room, count in rooms.items() if count > MOST_FILES_IN_A_ROOM] == []


def test_imports_go_down_only():
    upwards = {
        name(path): others
        for path in OURS
        if (
            others := set(map(room, imports_of(path)))
            - {here(path), None}
            - MAY_IMPORT[here(path)]
            - PUBLIC_NAMES
        )
    }
    assert upwards == {}


def test_a_server_helps_the_doctor_without_the_doctor():
    helping = "flask_sluice.doctor.helping"
    helpers = [path for path in OURS if name(path).startswith("wsgi/flask_sluice/doctor/helping/")]
    servers = [path for path in OURS if here(path) == "gateway"]
    known = {module for path in (*helpers, *servers) for module in imports_of(path)}
    others = {module for module in known if module.startswith("flask_sluice.doctor.")}
    assert [module for module in others if not f"{module}.".startswith(f"{helping}.")] == []
    theirs = {module.split(".")[0] for path in helpers for module in imports_of(path)}
    assert theirs <= {*sys.stdlib_module_names, "flask_sluice"}


def test_flask_is_known_to_the_routes_only():
    assert importers(outside(*KNOW_FLASK), {"flask", "werkzeug"}) == []


def test_gevent_is_known_to_streams_only():
    assert importers(outside(*KNOW_GEVENT), {"gevent", "greenlet"}) == []


def test_gunicorn_is_known_to_the_server_only():
    assert importers(outside(*KNOW_GUNICORN), {"gunicorn"}) == []


def test_importing_the_package_imports_no_extra():
    program = f"""
import sys
import flask_sluice
print(sorted(set({WITHOUT_EXTRAS}) & set(sys.modules)))
"""
    imported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert imported.stdout == "[]\n"


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
    assert set(imported_modules(source, "flask_sluice.room")) >= {
        *("a", "b.c", "d", "d.e", "flask_sluice.room.f", "flask_sluice.g", "flask_sluice.g.h", "i")
    }


def test_the_sources_are_found():
    assert {
        "app.py",
        "gunicorn.conf.py",
        "wsgi/flask_sluice/sse/parser.py",
        name(Path(__file__)),
    } <= {name(path) for path in SOURCES}
