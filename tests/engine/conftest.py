"""The engine, and a relay in front of it."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.engine import Engine, EngineFiles
from tests.support.server import Server

HERE = Path(__file__).parent
INSTALL_TIMEOUT_SECONDS = 400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(INSTALL_TIMEOUT_SECONDS))


@pytest.fixture(scope="session")
def engine_files(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> EngineFiles:
    """The engine's environment and model, made once for all processes of pytest-xdist."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "engine"
    folder.mkdir(exist_ok=True)
    files = EngineFiles(folder)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        files.make()
    return files


@pytest.fixture(scope="module")
def engine(engine_files: EngineFiles) -> Iterator[Engine]:
    engine = Engine(engine_files)
    try:
        engine.start()
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module")
def engine_relay(engine: Engine) -> Iterator[Server]:
    """Sluice in front of the engine; the clients' own keys go on to it."""
    with Server(upstream=engine.url) as server:
        yield server
