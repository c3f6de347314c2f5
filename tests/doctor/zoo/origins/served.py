"""The zoo's apps on the servers of others. Each gives its address."""

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.ports import free_port
from tests.support.kept_folders import kept_environment
from tests.support.program import running_program
from tests.support.server import ROOT, Server

_FLASK = "tests.doctor.zoo.origins.apps:app"
_ASGI = "tests.doctor.zoo.origins.asgi_apps:app"
_REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"


def gunicorn(*arguments: str) -> AbstractContextManager[str]:
    """The Flask apps on a gunicorn without Sluice's settings. arguments: such as -k gthread"""
    return _served(
        lambda port: [
            *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"),
            *("--no-control-socket", *arguments, _FLASK),
        ]
    )


@contextlib.contextmanager
def sluice() -> Iterator[str]:
    """The Flask apps with Sluice's own settings."""
    with Server(_FLASK, configuration="python:flask_sluice.server.settings") as server:
        yield server.url


@contextlib.contextmanager
def gateway() -> Iterator[str]:
    """Sluice's gateway, with its simulator as upstream."""
    with Server() as server:
        yield server.url


def waitress() -> AbstractContextManager[str]:
    return _served(
        lambda port: [
            *(_zoo_python(), "-m", "waitress", f"--listen=127.0.0.1:{port}", "--threads=8", _FLASK),
        ]
    )


def flask_compress() -> AbstractContextManager[str]:
    """The Flask apps with Flask-Compress, told to compress event streams too."""
    return _served(
        lambda port: [_zoo_python(), "-m", "flask", "--app", _FLASK, "run", f"--port={port}"],
        ZOO_COMPRESS="1",
    )


def uvicorn(*arguments: str) -> AbstractContextManager[str]:
    """The Starlette apps."""
    return _served(
        lambda port: [
            *(sys.executable, "-m", "uvicorn", f"--port={port}", "--log-level=warning"),
            *(*arguments, _ASGI),
        ]
    )


@contextlib.contextmanager
def _served(command: Callable[[int], Sequence[str | Path]], **environment: str) -> Iterator[str]:
    port = free_port()
    variables = {"PYTHONPATH": f"{ROOT / 'wsgi'}:{ROOT}", **environment}
    with (
        tempfile.TemporaryDirectory(prefix="zoo-") as folder,
        running_program(
            command(port),
            port=port,
            output=Path(folder, "output"),
            environment=variables,
            # Not the checkout, whose gunicorn.conf.py and .flaskenv are not for these.
            folder=Path(folder),
        ),
    ):
        yield f"http://127.0.0.1:{port}"


def _zoo_python() -> Path:
    return kept_environment("zoo", _REQUIREMENTS) / "bin/python"
