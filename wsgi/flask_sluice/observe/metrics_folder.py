"""The folder in which the workers of one server share their metrics.

prometheus-client reads the folder's name from the environment when it is imported. So the master has to set it before it
imports an app, which it does with ``--preload``.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_OWNER_FILE = "master.pid"
"""A folder with this file was made by the Sluice server whose master has that process id."""
_SUMMED_KINDS = ("counter", "histogram", "summary")


def make() -> None:
    """Have the environment name a folder for this server; call this in the master, before an app is imported.

    A folder that the app or its operator has named is used as it is, and never removed. Otherwise this makes a temporary
    folder, which is removed when the master ends. A reload, in the same process, keeps it. A temporary folder that was
    inherited from another Sluice server (the one that this master replaces, for example) is not used, since it goes when
    that server ends.
    """
    folder = path()
    if folder is not None:
        owner = _owner_of(folder)
        if owner is None:
            folder.mkdir(parents=True, exist_ok=True)
            return
        if owner == os.getpid():
            return
    made = Path(tempfile.mkdtemp(prefix="sluice-metrics-"))
    (made / _OWNER_FILE).write_text(str(os.getpid()))
    os.environ[_VARIABLE] = str(made)
    atexit.register(_remove, made)


def claim() -> None:
    """Make this process the owner of the temporary folder: with ``--daemon`` it is not the one that has made it."""
    folder = path()
    if folder is not None and (folder / _OWNER_FILE).exists():
        (folder / _OWNER_FILE).write_text(str(os.getpid()))


def path() -> Path | None:
    """Return the folder; None where no master has set one, as in a test client."""
    folder = os.environ.get(_VARIABLE)
    return Path(folder) if folder else None


@contextmanager
def locked(*, for_writing: bool) -> Iterator[Path | None]:
    """Keep other processes from making or merging files while this one reads them, and the other way round.

    Yields the folder; None where there is none.
    """
    folder = path()
    if folder is None:
        yield None
        return
    with (folder / "sluice.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if for_writing else fcntl.LOCK_SH)
        yield folder


def forget_worker(pid: int) -> None:
    """Drop the gauges of a worker that has ended, and keep what it has counted; call this in the master.

    prometheus-client keeps the files of every worker and reads them at each scrape: one set more for each reload, for as
    long as the server runs. So in our own folder they are added to one set for all workers that have ended. A folder of
    the app's is left as prometheus-client's documentation has it: the app reads these files without our lock, and a scrape
    during the merge would fail, or count a worker twice.
    """
    folder = path()
    if folder is None or not any(folder.glob(f"*_{pid}.db")):
        return  # It has counted nothing. prometheus-client is not installed, perhaps.
    # Not at the top, since prometheus-client reads the folder's name when it is imported.
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    with locked(for_writing=True):
        mark_process_dead(pid)
        if _owner_of(folder) is not None:
            _merge_files(folder, pid)


def _merge_files(folder: Path, pid: int) -> None:
    from flask_sluice.observe.prometheus_adapter import merge_file  # noqa: PLC0415

    for kind in _SUMMED_KINDS:
        file = folder / f"{kind}_{pid}.db"
        if file.exists():
            merge_file(file, folder / f"{kind}_ended.db")
            file.unlink()


def _owner_of(folder: Path) -> int | None:
    """Return the process id of the master that has made this folder; None if it is the app's."""
    try:
        return int((folder / _OWNER_FILE).read_text())
    except FileNotFoundError:
        return None


def _remove(folder: Path) -> None:
    # A worker, forked from the master, runs the master's exit functions too.
    if _owner_of(folder) == os.getpid():
        shutil.rmtree(folder, ignore_errors=True)
