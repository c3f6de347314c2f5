"""What a server does where there is nothing left: no room on the disk, no folder that can be written to, no files."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.metrics import Metrics
from tests.support.server import ROOT, Server, wait_until
from tests.support.stream import Response, chat, get, post

PATH = "/v1/chat/completions"
CAN_MOUNT = (
    subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    ).returncode
    == 0
)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A folder on a disk of its own, of 64 KiB."""
    if not CAN_MOUNT:
        pytest.skip("no file system can be mounted here")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=20", "none", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_room(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096):
            pass


def fill_names(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for number in range(100):
            (folder / f"file-{number}").touch()


def make_read_only(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


def ask(server: Server, model: str) -> None:
    with server.connect() as sock:
        sock.sendall(post(PATH, chat(simulator={"tokens": 2, "itl_ms": 0}) | {"model": model}))
        assert b"[DONE]" in Response(sock).body()


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["TMPDIR", "PROMETHEUS_MULTIPROC_DIR"])
@pytest.mark.parametrize("exhaust", [fill_room, fill_names, make_read_only])
def test_a_disk_without_room_costs_no_stream_and_no_count(small_disk, exhaust, variable):
    with Server(environment={variable: str(small_disk)}, drain_seconds=5) as server:
        metrics = Metrics(server)
        with server.connect() as sock:
            sock.sendall(post(PATH, chat(simulator={"tokens": 100, "itl_ms": 20})))
            response = Response(sock)
            response.until(b"\n\n")
            exhaust(small_disk)
            for number in range(20):
                ask(server, f"new-{number}")
            server.signal(signal.SIGHUP)
            assert b"[DONE]" in response.body()
        wait_until(lambda: server.log.count("Worker exiting") == 1)
        ask(server, "after-the-reload")
        wait_until(lambda: len(server.workers()) == 1)
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_until(lambda: server.log.count("Booting worker") == 3, explain=lambda: server.log)
        server.wait_until_ready()
        ask(server, "after-the-kill")
        # The killed worker may have lost its last second.
        wait_until(lambda: metrics.added("streams_ended_total", outcome="complete") in {22, 23})
        assert metrics.value("worker_deaths_total") == 1
        assert "Traceback" not in server.log


READ_ONLY = f"""
import ctypes, subprocess, tempfile
from pathlib import Path
NEW_MOUNTS = 0x20000
assert ctypes.CDLL(None).unshare(NEW_MOUNTS) == 0
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
for line in Path("/proc/self/mounts").read_text().splitlines():
    path, kind = line.split()[1:3]
    if kind not in ("proc", "sysfs", "devpts", "devtmpfs"):
        subprocess.run(["mount", "-o", "remount,bind,ro", path], capture_output=True, check=False)
try:
    tempfile.gettempdir()
except FileNotFoundError:
    exec(Path({str(ROOT / "gunicorn.conf.py")!r}).read_text())
"""
"""A gunicorn file for a server whose file systems are all read-only, as in a container with a read-only root."""


@pytest.mark.slow
@pytest.mark.skipif(not CAN_MOUNT, reason="no file system can be mounted here")
def test_no_folder_that_can_be_written_to_is_needed(tmp_path):
    (tmp_path / "read_only.py").write_text(READ_ONLY)
    with Server(configuration=str(tmp_path / "read_only.py"), workers=2) as server:
        for _ in range(4):
            ask(server, "any")
        Metrics(server).wait_for(4, "streams_ended_total", outcome="complete")
        assert "Traceback" not in server.log


@pytest.mark.slow
@pytest.mark.parametrize("upstream", ["", "http://127.0.0.1:9/v1"], ids=["simulator", "relay"])
def test_few_files_limit_the_streams_and_leave_some_for_health_checks(upstream, tmp_path):
    limited = tmp_path / "limited.py"
    limited.write_text(
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
        f"exec(open({str(ROOT / 'gunicorn.conf.py')!r}).read())"
    )
    settings = {"upstream": upstream} if upstream else {}
    with Server(configuration=str(limited), **settings) as server, contextlib.ExitStack() as stack:
        most = 96 if upstream else 192
        assert f"{most} connections for each worker, not 10000: " in server.log
        assert "the hard limit of open files is 256" in server.log
        if not upstream:
            statuses = []
            for _ in range(most + 10):
                sock = stack.enter_context(server.connect())
                fault = {"kind": "stall", "after": 1}
                sock.sendall(post(PATH, chat(simulator={"fault": fault})))
                statuses.append(Response(sock).status)
            assert set(statuses) == {200, 503}
            assert statuses[:150] == [200] * 150
        sock = stack.enter_context(server.connect())
        sock.sendall(get("/healthz"))
        assert Response(sock).status == 200
        assert "Too many open files" not in server.log
