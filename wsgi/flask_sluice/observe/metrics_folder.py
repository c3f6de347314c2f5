"""The folder in which the workers of one server keep their metrics for each other.

prometheus-client takes it from the environment when it is imported, so the master makes it before there is any worker.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_SUMMED = ("counter", "histogram")


def make() -> None:
    """A new one, whatever the environment says: what another server has counted is not ours."""
    os.environ[_VARIABLE] = tempfile.mkdtemp(prefix="sluice-metrics-")


def path() -> Path | None:
    """None where there is no master, as in a test client: a process then has its metrics in its memory."""
    folder = os.environ.get(_VARIABLE)
    return Path(folder) if folder else None


def remove() -> None:
    shutil.rmtree(os.environ[_VARIABLE], ignore_errors=True)


@contextmanager
def locked(*, for_writing: bool) -> Iterator[Path | None]:
    """While files are read none is made or merged, and the other way round. None where there is no folder."""
    folder = path()
    if folder is None:
        yield None
        return
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if for_writing else fcntl.LOCK_SH)
        yield folder


def forget_worker(pid: int) -> None:
    """In the master, when a worker has ended: its gauges go; what it has counted stays.

    prometheus-client would keep its files, and read them at every scrape: one more for each reload, for as long as
    the server runs. They are added to one file of all that have ended.
    """
    # Not above: it is imported when the folder is there.
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    with locked(for_writing=True) as folder:
        assert folder is not None
        mark_process_dead(pid)
        for kind in _SUMMED:
            file = folder / f"{kind}_{pid}.db"
            if not file.exists():
                continue  # It ended before it counted anything.
            total = MmapedDict(str(folder / f"{kind}_ended.db"))
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):
                total.write_value(key, total.read_value(key)[0] + value, 0.0)
            total.close()
            file.unlink()
