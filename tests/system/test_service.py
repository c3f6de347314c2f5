"""deploy/sluice.service: what systemd says to it, and what it says of gunicorn."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flask_sluice.gateway.settings import Settings
from tests.support.server import ROOT, Server, clean_environment

UNIT = (ROOT / "deploy/sluice.service").read_text()
MOST_EXPOSED = 1.5
"""Of 10, as systemd-analyze rates it. Most services that come with Debian have 8 and more."""


def values(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with the gunicorn that is here."""
    if shutil.which("systemd-analyze") is None:
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up("systemd is not installed; tests/install-system-packages installs it")
    path = tmp_path / "sluice.service"
    gunicorn = Path(sys.executable).with_name("gunicorn")
    path.write_text(UNIT.replace("/srv/sluice/.venv/bin/gunicorn", str(gunicorn)))
    return path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], check=False, capture_output=True, text=True, timeout=50
    )


def test_systemd_has_nothing_to_say_against_the_unit(unit):
    result = analyze("verify", "--man=no", unit)
    assert (result.returncode, result.stderr) == (0, "")


def test_little_is_left_that_the_service_may_do(unit):
    result = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:g}", unit)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_gunicorn_tells_systemd_when_it_listens(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.settimeout(20)
        notified.bind(str(tmp_path / "notify"))
        with Server(environment={"NOTIFY_SOCKET": notified.getsockname()}):
            assert notified.recv(1000).startswith(b"READY=1")


def test_streams_have_ended_before_systemd_kills():
    # gunicorn's own limit (graceful_timeout) is ten seconds after the drain.
    (stop_seconds,) = values("TimeoutStopSec")
    assert int(stop_seconds) > Settings().drain_seconds + 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "works"), [("", True), ("x = (\n", False)], ids=["good", "broken"]
)
def test_reload_tries_the_new_code_first(tmp_path, line, works):
    for part in ("app.py", "gunicorn.conf.py"):
        shutil.copy(ROOT / part, tmp_path)
    (tmp_path / "wsgi").symlink_to(ROOT / "wsgi")
    with (tmp_path / "app.py").open("a") as app:
        app.write(line)
    check, hang_up = values("ExecReload")
    program, _, arguments = check.partition(" ")
    assert program.endswith("/gunicorn")
    result = subprocess.run(
        [sys.executable, "-m", "gunicorn", *arguments.split()],
        cwd=tmp_path,
        env=clean_environment(),
        check=False,
        capture_output=True,
        timeout=50,
    )
    assert (result.returncode == 0) == works
    assert hang_up == "/bin/sh -c 'kill -HUP $MAINPID'"
