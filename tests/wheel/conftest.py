"""The wheel, the environments that it is installed into, and a project of somebody else."""

import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import ROOT
from tests.wheel.environments import (
    TEST_TOOLS,
    TIMEOUT_SECONDS,
    Environment,
    build_wheel,
    choose_versions,
)

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--prereleases", action="store_true", help="install the newest pre-releases of everything"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "oldest_and_newest: two environments are enough for the test"
    )
    config.addinivalue_line("markers", "newest: the newest of everything is enough for the test")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "environment" in metafunc.fixturenames:
        versions = choose_versions(are_prereleases=metafunc.config.getoption("--prereleases"))
        if metafunc.definition.get_closest_marker("oldest_and_newest"):
            versions = versions[:2]
        if metafunc.definition.get_closest_marker("newest"):
            versions = versions[1:2] or versions
        # With --dist loadgroup one process of pytest-xdist runs all tests of an environment.
        parameters = [
            pytest.param(each, id=each.name, marks=pytest.mark.xdist_group(each.name))
            for each in versions
        ]
        metafunc.parametrize("environment", parameters, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS + 50))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The wheel of this checkout, built once for all processes of pytest-xdist."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "wheel"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = list(folder.glob("*.whl"))
        return built[0] if built else build_wheel(folder)


@pytest.fixture(scope="session")
def environment(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """An environment with everything that the wheel can use, and what runs this repository's tests."""
    folder = tmp_path_factory.mktemp(request.param.name)
    environment = Environment(folder, request.param)
    environment.install(wheel, "[gateway]", *TEST_TOOLS)
    yield environment
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def bare(
    environment: Environment, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """An environment of the same versions, without any extra."""
    folder = tmp_path_factory.mktemp(f"bare-{environment.versions.name}")
    bare = Environment(folder, environment.versions)
    bare.install(wheel, "")
    yield bare
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def with_gevent(
    environment: Environment, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """An environment of the same versions with the extra ``gevent`` alone: what the README installs for an app."""
    folder = tmp_path_factory.mktemp(f"gevent-{environment.versions.name}")
    with_gevent = Environment(folder, environment.versions)
    with_gevent.install(wheel, "[gevent]")
    yield with_gevent
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def with_redis(
    environment: Environment, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """An environment of the same versions with the extra ``redis`` alone, for servers with threads, Celery and scripts."""
    folder = tmp_path_factory.mktemp(f"redis-{environment.versions.name}")
    with_redis = Environment(folder, environment.versions)
    with_redis.install(wheel, "[redis]")
    yield with_redis
    shutil.rmtree(folder)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with somebody's ``app.py`` and ``wsgi.py``, and nothing else."""
    folder = tmp_path / "project"
    shutil.copytree(HERE / "project", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with the tests and what they start, but without the package."""
    tree = tmp_path / "tree"
    for name in ("tests", "benchmarks"):
        shutil.copytree(
            ROOT / name, tree / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__")
        )
    for name in ("app.py", "gunicorn.conf.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    return tree
