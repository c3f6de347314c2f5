"""An app's own folder for metrics: its page shows Sluice's, too, and no disk that is full ends a process.

prometheus-client reads the folder's name when it is imported, so each test starts programs of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from tests.support.server import ROOT
from tests.unit.test_exporter import values_of

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

WORKER = """
import os
from flask_sluice.observe.multiprocess import folder as metrics_folder
print(metrics_folder.prepare())
from flask_sluice.observe.metric import Counter, Gauge, Histogram
from flask_sluice.observe.multiprocess.mirror import FolderMirror
import prometheus_client
own = prometheus_client.Counter("own", "The app's")
own.inc(7)
count, gauge = Counter("count", "…", "name"), Gauge("gauge", "…")
times = Histogram("times", "…", (1.0, 2.0))
count.add(2, "a")
gauge.set(5)
times.add_all([1, 2, 0], 3.5)
mirror = FolderMirror()
mirror.write([count, gauge, times])
"""
MORE = """
for number in range(12_000):
    count.add(1, f"name-{number}")
mirror.write([count, gauge, times])
own.inc()
print(own._value.get())
"""


def run(program: str, folder: Path, limit_bytes: int | None = None) -> subprocess.CompletedProcess:
    """limit_bytes: the largest size that a file may have"""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes},) * 2)\n"
    return subprocess.run(
        [sys.executable, "-c", (limit if limit_bytes is not None else "") + program],
        cwd=ROOT,
        env=os.environ | {VARIABLE: str(folder)},
        check=True,
        capture_output=True,
        text=True,
    )


def scrape(folder: Path):
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    return values_of(generate_latest(registry))


def test_the_apps_folder_shows_its_numbers_and_ours(tmp_path):
    """Fails when a release of prometheus-client changes the parts that the adapter uses."""
    for _ in range(2):
        run(WORKER, tmp_path / "made")
    seen = scrape(tmp_path / "made")
    assert seen["own_total",] == 14
    assert seen["sluice_count_total", "a"] == 4
    assert seen["sluice_gauge",] == 10
    assert seen["sluice_times_bucket", "1.0"] == 2
    assert seen["sluice_times_bucket", "2.0"] == 6
    assert seen["sluice_times_sum",] == 7


def test_the_gauges_of_a_worker_that_has_ended_are_dropped_and_its_counts_stay(tmp_path):
    forget = "\nimport os; metrics_folder.forget_worker(os.getpid())"
    run(WORKER + forget, tmp_path)
    seen = scrape(tmp_path)
    assert seen["sluice_count_total", "a"] == 2
    assert ("sluice_gauge",) not in seen


def test_files_grow_with_the_names(tmp_path):
    run(WORKER + MORE, tmp_path)
    seen = scrape(tmp_path)
    assert seen["sluice_count_total", "name-11999"] == 1
    assert seen["own_total",] == 8


@pytest.mark.slow
@pytest.mark.parametrize("limit_bytes", [0, 4096, 1 << 20])
def test_files_that_cannot_grow_leave_the_numbers_in_memory_and_one_line(tmp_path, limit_bytes):
    done = run(WORKER + MORE, tmp_path, limit_bytes)
    assert done.stdout.split() == ["8.0"]
    assert done.stderr == f"the metrics in {tmp_path} are incomplete: File too large\n"
    scrape(tmp_path)  # What is there can be read.


@pytest.mark.slow
def test_a_folder_that_vanishes_disturbs_nothing(tmp_path):
    vanish = "import shutil; shutil.rmtree(metrics_folder.path())\n"
    folder = tmp_path / "folder"
    done = run(WORKER + vanish + MORE + "metrics_folder.forget_worker(1)", folder)
    assert done.stdout.split() == ["8.0"]
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("precious")
    done = run(WORKER, tmp_path / "file" / "folder")
    assert done.stdout.startswith(f"{VARIABLE}: {tmp_path}/file/folder cannot be made")
