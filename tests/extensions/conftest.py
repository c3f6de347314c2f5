"""An environment with the extensions, and servers that have them switched on."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.extensions.extended_server import ExtendedServer

HERE = Path(__file__).parent
KINDS = ("ours", "gthread")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slow)
            # Installing takes a minute. One process of pytest-xdist has one server of each kind.
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def python(pytestconfig: pytest.Config) -> str:
    """A Python with the extensions from PyPI; kept, since installing them takes a minute."""
    requirements = HERE / "requirements.txt"
    version = f"{sys.version}{requirements.read_text()}".encode()
    name = f"extensions-{hashlib.sha256(version).hexdigest()[:12]}"
    folder = Path(pytestconfig.cache.mkdir("extensions")) / name
    program = folder / "bin/python"
    # Other processes of this run want it too.
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
            pip = [sys.executable, "-m", "pip", "--python", str(program), "install", "--quiet"]
            subprocess.run([*pip, "--requirement", str(requirements)], check=True)
            (folder / "installed").touch()
    return str(program)


@pytest.fixture(scope="package", params=KINDS)
def server(
    request: pytest.FixtureRequest, python: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ExtendedServer]:
    """All apps of ``apps.py``."""
    folder = tmp_path_factory.mktemp("apps")
    with ExtendedServer("tests.extensions.apps", request.param, python, folder) as server:
        yield server


@pytest.fixture(scope="package", params=KINDS)
def reported(
    request: pytest.FixtureRequest, python: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ExtendedServer]:
    """The apps of ``reported_apps.py``, which Sentry watches."""
    folder = tmp_path_factory.mktemp("reported")
    with ExtendedServer("tests.extensions.reported_apps", request.param, python, folder) as server:
        yield server


@pytest.fixture(params=KINDS)
def reported_without_log(
    request: pytest.FixtureRequest, python: str, tmp_path: Path
) -> Iterator[ExtendedServer]:
    """The same, where Sentry makes no reports of log lines."""
    module = "tests.extensions.reported_apps"
    with ExtendedServer(module, request.param, python, tmp_path, WITHOUT_LOG="1") as server:
        yield server
