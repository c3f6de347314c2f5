"""The folder in which an app's own metrics are, where prometheus-client's multiprocess mode is used.

Sluice needs none: its workers share their numbers in memory. But where the app has named a folder, its own page of metrics
shows Sluice's, too.
"""

import logging
import os
from pathlib import Path

logger = logging.getLogger("sluice.metrics")

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def path() -> Path | None:
    """Return the folder that the environment names; None without one."""
    folder = os.environ.get(_VARIABLE)
    return Path(folder) if folder else None


def prepare() -> str:
    """Make the folder, if the environment names one; call this in the master, before an app is imported.

    Returns one line that says why it cannot be used, "" if it can, or if there is none.
    """
    folder = path()
    if folder is None:
        return ""
    # Not at the top, since prometheus-client looks for the folder when it is imported.
    from flask_sluice.observe.multiprocess.mirror import allocate_files  # noqa: PLC0415

    allocate_files()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{_VARIABLE}: {folder} cannot be made ({error.strerror}); no file has metrics"
    if not os.access(folder, os.W_OK):
        return f"{_VARIABLE}: {folder} cannot be written to; no file has metrics"
    return ""


def forget_worker(pid: int) -> None:
    """Drop the gauges of a worker that has ended from the folder, and keep what it has counted; call this in the master."""
    folder = path()
    if folder is None:
        return
    for file in folder.glob(f"gauge_live*_{pid}.db"):
        try:
            file.unlink()
        except OSError as error:
            logger.warning("%s stays, and its gauges count: %s", file, error.strerror)
