"""What a newcomer does first: a clone, and ``make run`` or ``pip install``; nothing else is on the machine."""

import os
import re
import signal
import subprocess
import sys
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
    # As the files are now, committed or not.
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
def test_make_run_serves_from_a_fresh_clone_with_nothing_but_its_own_requirements(clone):
    port = free_port()
    process = subprocess.Popen(
        ["make", "run", f"SLUICE_BIND=127.0.0.1:{port}"],
        cwd=clone,
        env=clean_environment(),
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


@pytest.mark.slow
def test_pip_installs_what_other_apps_import_and_says_what_it_needs(clone, tmp_path):
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--target", site, clone], check=True)
    program = "import flask_sluice.client, flask_sluice.stream, flask_sluice.server.worker; print(flask_sluice.stream.__file__)"
    printed = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**clean_environment(), "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert Path(printed.strip()).is_relative_to(site)
    assert {path.name for path in site.iterdir() if path.suffix != ".dist-info"} == {"wsgi"}
    (metadata,) = site.glob("sluice-*.dist-info/METADATA")
    needed = re.findall(r"^Requires-Dist: ([\w-]+)", metadata.read_text(), re.MULTILINE)
    listed = re.findall(r"^([\w-]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert sorted(needed) == sorted(listed)
