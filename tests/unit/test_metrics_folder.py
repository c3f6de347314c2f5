"""The folder that workers share their metrics in.

prometheus-client reads its name when it is imported, so each test starts programs of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from flask_sluice.observe import metrics_folder
from tests.support.server import ROOT
from tests.unit.test_exporter import values_of

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

WORKER = """
import os
from prometheus_client import Counter, Gauge, Histogram, Summary
Counter("count", "…").inc(2)
Gauge("gauge", "…", multiprocess_mode="livesum").set(5)
Histogram("times", "…", buckets=(1.0, 2.0)).observe(1.5)
Summary("sizes", "…").observe(10)
print(os.getpid())
"""


def run(program: str, folder: Path | None = None, **environment: str) -> str:
    """What it prints."""
    variables = {name: value for name, value in os.environ.items() if name != VARIABLE}
    variables |= environment | ({VARIABLE: str(folder)} if folder else {})
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=variables,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


@pytest.fixture
def forget_worker(monkeypatch):
    """As the master does when a worker has ended."""

    def forget_worker(pid: int, folder: Path) -> None:
        monkeypatch.setenv(VARIABLE, str(folder))
        metrics_folder.forget_worker(pid)

    return forget_worker


def scrape(folder: Path):
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    return values_of(generate_latest(registry))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def ours(tmp_path) -> Path:
    """A folder that a Sluice server has made."""
    (tmp_path / "master.pid").write_text("1")
    return tmp_path


def test_a_master_makes_a_folder_and_removes_it_at_its_end(tmp_path):
    made = run(
        "import os; from flask_sluice.observe import metrics_folder as m; m.make();"
        f"assert m.path().is_dir(); print(os.environ['{VARIABLE}'])",
        TMPDIR=str(tmp_path),
    )
    assert made.startswith(str(tmp_path))
    assert names(tmp_path) == set()


def test_a_worker_that_ends_does_not_remove_the_folder(tmp_path):
    run(
        "import os; from flask_sluice.observe import metrics_folder as m; m.make()\n"
        "if os.fork() == 0: raise SystemExit\n"
        "os.wait(); assert m.path().is_dir()",
        TMPDIR=str(tmp_path),
    )


def test_a_reload_keeps_the_folder():
    run(
        "import sys; from flask_sluice.observe import metrics_folder as m; m.make(); made = m.path()\n"
        "del sys.modules['flask_sluice.observe.metrics_folder'], m\n"
        "import flask_sluice.observe.metrics_folder as m; m.make(); assert m.path() == made"
    )


def test_a_daemon_keeps_the_folder_over_a_reload_and_removes_it_at_its_end(tmp_path):
    run(
        "import os; from flask_sluice.observe import metrics_folder as m; m.make(); made = m.path()\n"
        "if os.fork(): os.wait(); os._exit(0)\n"
        "m.claim(); m.make(); assert m.path() == made",
        TMPDIR=str(tmp_path),
    )
    assert names(tmp_path) == set()


def test_the_folder_of_another_sluice_server_is_not_used(ours):
    run(
        "from flask_sluice.observe import metrics_folder as m; other = m.path(); m.make()\n"
        "assert m.path() != other; assert other.is_dir()",
        ours,
    )
    assert names(ours) == {"master.pid"}


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_that_the_app_has_named_is_used_and_stays(tmp_path, exists):
    folder = tmp_path / "given"
    if exists:
        folder.mkdir()
    run(
        "from flask_sluice.observe import metrics_folder as m; given = m.path(); m.make(); m.claim()\n"
        "assert m.path() == given",
        folder,
    )
    assert names(folder) == set()


def test_the_numbers_of_workers_that_have_ended_are_kept_in_one_set_of_files(forget_worker, ours):
    """Fails when a release of prometheus-client changes the parts that the adapter uses."""
    for _ in range(3):
        forget_worker(int(run(WORKER, ours)), ours)
    kinds = ("counter", "histogram", "summary")
    assert names(ours) == {f"{kind}_ended.db" for kind in kinds} | {"sluice.lock", "master.pid"}
    seen = scrape(ours)
    assert seen["count_total",] == 6
    assert seen["times_bucket", "1.0"] == 0
    assert seen["times_bucket", "2.0"] == 3
    assert seen["times_sum",] == 4.5
    assert seen["sizes_sum",] == 30
    assert ("gauge",) not in seen


def test_the_apps_files_are_not_merged_since_it_reads_them_without_our_lock(
    forget_worker, tmp_path
):
    pid = int(run(WORKER, tmp_path))
    forget_worker(pid, tmp_path)
    kinds = ("counter", "histogram", "summary")
    assert names(tmp_path) == {f"{kind}_{pid}.db" for kind in kinds} | {"sluice.lock"}
    seen = scrape(tmp_path)
    assert seen["count_total",] == 2
    assert ("gauge",) not in seen


@pytest.mark.parametrize("content", [b"", b"\xff\x00\x00\x00" * 4], ids=["empty", "half"])
def test_a_file_that_a_killed_worker_left_unfinished_is_dropped(forget_worker, ours, content):
    pid = int(run(WORKER, ours))
    (ours / f"counter_{pid}.db").write_bytes(content)
    forget_worker(pid, ours)
    seen = scrape(ours)
    assert ("count_total",) not in seen
    assert seen["times_sum",] == 1.5


def test_a_worker_that_counted_nothing_needs_no_prometheus_client(ours):
    run(
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from flask_sluice.observe import metrics_folder as m; m.forget_worker(7)",
        ours,
    )
