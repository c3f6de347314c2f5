"""The first thing that a newcomer does: a clone and ``make run``. Nothing else is on the machine.

``tests/wheel`` tests what ``pip install`` gives.
"""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from benchmarks.ports import free_port
from tests.support.server import ROOT, answers_on, clean_environment, wait_until

INSTALL_TIMEOUT_SECONDS = 150


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    clone = tmp_path / "sluice"
    subprocess.run(
        ["git", "-c", "safe.directory=*", "clone", "--quiet", str(ROOT), str(clone)], check=True
    )
    # The clone gets the files as they are now, committed or not.
    files = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--modified", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    )
    for name in filter(None, files.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_bytes((ROOT / name).read_bytes())
    return clone


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_TIMEOUT_SECONDS + 30)
def test_make_run_serves_from_a_fresh_clone_and_installs_the_package_editable(clone, tmp_path):
    port = free_port()
    environment = {
        name: value for name, value in clean_environment().items() if name != "PYTHONPATH"
    }
    process = subprocess.Popen(
        ["make", "run", f"SLUICE_BIND=127.0.0.1:{port}"],
        cwd=clone,
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: process.poll() is not None or answers_on(port), INSTALL_TIMEOUT_SECONDS)
        assert process.poll() is None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(50)

    python = clone / ".venv/bin/python"
    found = subprocess.run(
        [python, "-c", "import flask_sluice.cli; print(flask_sluice.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(clone / "wsgi/flask_sluice/__init__.py")

    # Flask would take the folder wsgi for the app, but for .flaskenv.
    routes = subprocess.run(
        [python, "-m", "flask", "routes"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "/v1/chat/completions" in routes.stdout


def test_requirements_are_exact_and_hold_everything_that_the_package_needs():
    requirements = (ROOT / "requirements.txt").read_text()
    lines = [text for line in requirements.splitlines() if (text := line.partition("#")[0].strip())]
    assert [line for line in lines if "==" not in line] == []
    pinned = {normal(re.split(r"[=\[]", line)[0]) for line in lines}
    project = (ROOT / "pyproject.toml").read_text().partition("[project.scripts]")[0]
    needed = {normal(name) for name in re.findall(r'"([\w-]+)>=[\d.]+"', project)}
    assert len(needed) > 8
    assert needed - pinned == set()


def normal(name: str) -> str:
    return name.lower().replace("_", "-")
