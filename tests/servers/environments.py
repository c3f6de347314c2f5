"""Where the servers are installed. Kept in pytest's cache, since installing takes half a minute."""

import os
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import pytest

from tests.support.kept_folders import kept_environment, kept_folder

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
APACHE = Path("/usr/sbin/apache2")
APACHE_MODULES = Path("/usr/lib/apache2/modules")
SYSTEM_PYTHON = "/usr/bin/python3"
"""The one with which Debian's mod_wsgi runs."""
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


class Environments:
    """Installs what is asked for, if it is not there yet."""

    @cached_property
    def programs(self) -> Path:
        """The folder with the servers' programs, of an environment of this Python."""
        return kept_environment("servers", REQUIREMENTS) / "bin"

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

        return kept_folder("system-packages", f"{version}{REQUIREMENTS.read_text()}", install)
