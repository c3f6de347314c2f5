"""Packages of other people for the examples' tests: kept in pytest's cache, since installing them takes half a minute."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.server import ROOT

_CACHE = ROOT / ".pytest_cache/examples"


def python_with(*requirements: str) -> str:
    """Return a Python of its own with these packages."""

    def install(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        python = ("--python", folder / "bin/python")
        subprocess.run([*pip, *python, "install", *requirements], check=True)

    return str(_kept("python", (sys.version, *requirements), install) / "bin/python")


def node_folder_with(*packages: str) -> Path:
    """Return a folder whose programs can import these packages of npm."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            give_up = pytest.fail if "CI" in os.environ else pytest.skip
            give_up(f"{program} is not installed; tests/install-system-packages installs it")

    def install(folder: Path) -> None:
        folder.mkdir()
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        npm = ("npm", "install", "--silent", "--no-audit", "--no-fund")
        subprocess.run([*npm, *packages], cwd=folder, check=True)

    return _kept("node", packages, install)


def _kept(kind: str, content: tuple[str, ...], install: Callable[[Path], None]) -> Path:
    """Return the folder that ``install`` has filled. content: what decides of its content"""
    _CACHE.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256("\n".join(content).encode()).hexdigest()[:12]
    folder = _CACHE / f"{kind}-{name}"
    # Other processes of this run want it too.
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            install(folder)
            (folder / "installed").touch()
    return folder
