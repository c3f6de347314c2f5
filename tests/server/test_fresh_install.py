"""What a newcomer does first: a clone, ``make run``, and nothing else on the machine."""

import os
import signal
import subprocess

import pytest

from benchmarks.ports import free_port
from tests.support.server import ROOT, answers_on, clean_environment, wait_until

INSTALL_TIMEOUT_SECONDS = 150


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_TIMEOUT_SECONDS + 30)
def test_make_run_serves_from_a_fresh_clone_with_nothing_but_its_own_requirements(tmp_path):
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
