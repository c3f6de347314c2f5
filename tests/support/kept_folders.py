"""Folders that hold what tests install. They are kept in pytest's cache, since installing takes half a minute."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.server import ROOT

_CACHE = ROOT / ".pytest_cache/environments"


def kept_folder(name: str, content: str, install: Callable[[Path], None]) -> Path:
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


def kept_environment(name: str, requirements: Path) -> Path:
    """Return the folder of a virtual environment of this Python with these packages, and without pip."""

    def install(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        into = ("--python", folder / "bin/python")
        subprocess.run([*pip, *into, "install", "--requirement", requirements], check=True)

    return kept_folder(name, f"{sys.version}{requirements.read_text()}", install)
