"""Folders that hold what tests install. They are kept in pytest's cache, since installing takes half a minute."""

import fcntl
import hashlib
import shutil
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
