"""Where the servers are installed. Kept in pytest's cache, since installing takes half a minute."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import pytest

from tests.support.server import ROOT

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
APACHE = Path("/usr/sbin/apache2")
APACHE_MODULES = Path("/usr/lib/apache2/modules")
SYSTEM_PYTHON = "/usr/bin/python3"
"""The one with which Debian's mod_wsgi runs."""
_CACHE = ROOT / ".pytest_cache/environments"
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


class Environments:
    """Installs what is asked for, if it is not there yet."""

    @cached_property
    def programs(self) -> Path:
        """The folder with the servers' programs, of an environment of this Python."""
        return _kept("servers", f"{sys.version}{REQUIREMENTS.read_text()}", _install) / "bin"

    @cached_property
    def system_packages(self) -> Path:
        """A folder with Flask and msgspec for the system's Python, for Debian's apache2."""
        if not (APACHE_MODULES / "mod_wsgi.so").exists() or not APACHE.exists():
            give_up = pytest.fail if "CI" in os.environ else pytest.skip
            give_up("mod_wsgi is not installed; tests/install-system-packages installs it")
        ask = [SYSTEM_PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        version = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()

        def install(folder: Path) -> None:
            target = ("--target", folder, "--python-version", version, "--only-binary", ":all:")
            named = [
                line
                for line in REQUIREMENTS.read_text().splitlines()
                if line.startswith(("Flask", "Werkzeug", "msgspec"))
            ]
            subprocess.run([*_PIP, "install", *target, *named], check=True)

        return _kept("system-packages", f"{version}{REQUIREMENTS.read_text()}", install)


def _install(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = ("--python", folder / "bin/python")
    subprocess.run([*_PIP, *python, "install", "--requirement", REQUIREMENTS], check=True)


def _kept(name: str, content: str, install: Callable[[Path], None]) -> Path:
    """Return the folder that ``install`` has filled. content: what decides of its content"""
    _CACHE.mkdir(parents=True, exist_ok=True)
    folder = _CACHE / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    # Other processes of this run want it too.
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            install(folder)
            (folder / "installed").touch()
    return folder
