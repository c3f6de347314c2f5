"""The private parts of prometheus-client that the app's folder needs, from release 0.16 on.

A test fails when a release changes them.
"""

import logging
import mmap
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import prometheus_client
from prometheus_client import CollectorRegistry, values
from prometheus_client.mmap_dict import MmapedDict

from flask_sluice.observe.metric import Counter, Gauge, Histogram, Labels, Metric, Value

logger = logging.getLogger("sluice.metrics")

_FILE_BYTES = 1 << 20
"""prometheus-client's own."""


def allocate_files() -> None:
    """Have prometheus-client allocate its files before it maps them.

    The memory of a file that is mapped and cannot grow, since the disk is full, ends the process at the first write (SIGBUS).
    """
    values.MmapedDict = _AllocatedDict  # type: ignore[attr-defined]


class _AllocatedDict(MmapedDict):
    """Numbers in a file, or, where there is no room for it, in memory: then only this process sees them."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        try:
            _allocate(filename)
            super().__init__(filename, read_mode)
        except OSError as error:
            _warn(filename, error)
            self._f, self._fname = None, filename  # type: ignore[assignment]
            self._capacity = _FILE_BYTES
            self._m = mmap.mmap(-1, _FILE_BYTES)
            self._positions: dict[str, int] = {}
            self._used = 8

    def _init_value(self, key: str) -> None:
        # Its name, the value and the time, with some room for lengths.
        needed = self._used + len(key.encode()) + 64
        if needed > self._capacity:
            self._grow(max(needed, 2 * self._capacity))
        super()._init_value(key)

    def _grow(self, size: int) -> None:
        before = self._m[: self._used]
        try:
            if self._f is not None:
                os.posix_fallocate(self._f.fileno(), 0, size)
                self._m = mmap.mmap(self._f.fileno(), size)
                self._capacity = size
                return
        except OSError as error:
            _warn(self._fname, error)
            self._f.close()
            self._f = None  # type: ignore[assignment]
        self._m = mmap.mmap(-1, size)
        self._m[: self._used] = before
        self._capacity = size


def _allocate(filename: str) -> None:
    """Make the file, of its full size at once: whoever reads it does not find it empty."""
    path = Path(filename)
    if path.exists() and path.stat().st_size:
        return
    made = path.with_suffix(".new")
    with made.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, _FILE_BYTES)
        except OSError:
            made.unlink()
            raise
    made.rename(path)


def _warn(filename: str, error: OSError) -> None:
    _warn_once(os.getpid(), Path(filename).parent, error.strerror)


@cache
def _warn_once(_pid: int, folder: Path, why: str) -> None:
    logger.warning("the metrics in %s are incomplete: %s", folder, why)


class FolderMirror:
    """Writes a worker's metrics to the folder that the app has named, where the app's own page of metrics finds them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._written: dict[tuple[str, Labels], Value] = {}
        self._made: dict[str, Any] = {}

    def write(self, metrics: Iterable[Metric]) -> None:
        for metric in metrics:
            for labels, value in metric.values.items():
                if self._written.get((metric.name, labels)) != value:
                    self._written[metric.name, labels] = list(value)
                    self._set(metric, labels, value)

    def _set(self, metric: Metric, labels: Labels, value: Value) -> None:
        made = self._made.get(metric.name)
        if made is None:
            made = self._made[metric.name] = self._make(metric)
        if labels:
            made = made.labels(*labels)
        if isinstance(metric, Histogram):
            for bucket, count in zip(made._buckets, value[:-1], strict=True):
                bucket.set(count)
            made._sum.set(value[-1])
        else:
            made._value.set(value[0])

    def _make(self, metric: Metric) -> Any:
        names, registry = metric.label_names, self._registry
        if isinstance(metric, Histogram):
            return prometheus_client.Histogram(
                metric.name, metric.help, names, registry=registry, buckets=metric.bounds
            )
        if isinstance(metric, Counter):
            return prometheus_client.Counter(metric.name, metric.help, names, registry=registry)
        assert isinstance(metric, Gauge)
        mode: Literal["livemax", "livesum"] = "livemax" if metric.merge is max else "livesum"
        return prometheus_client.Gauge(
            metric.name, metric.help, names, registry=registry, multiprocess_mode=mode
        )
