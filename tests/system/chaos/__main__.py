"""Run by ``make chaos``: python -m tests.system.chaos [--seconds 600] [--seed 1] [--readers 100] [--faults storm,kill_worker].

It ends with 1 if a reader lost or doubled an event, took a half answer for a whole one or waited for too long, if the books
of readers, log and metrics differ, or if anything is left open. The gateway's log is in chaos.log then.
"""

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import gevent

from benchmarks.ports import free_port
from tests.support.metrics import Metrics
from tests.support.server import Server, wait_until
from tests.system.chaos.account import Accounts
from tests.system.chaos.audit import Audit, lines_of
from tests.system.chaos.faults import KINDS, Chaos, Upstream, small_folder
from tests.system.chaos.readers import ANSWER_SECONDS, ChatReader, Reader, ResumingReader
from tests.system.nginx_server import Nginx
from tests.system.redis_server import RedisServer

WORKERS = 2
_MAX_FILES, _MAX_MIB = 100, 200
"""Of a worker without streams: it keeps some connections to the upstream and to Redis. A fresh one has 50 MiB."""
_SETTINGS = {
    "workers": WORKERS,
    "keepalive_seconds": 2,
    "drain_seconds": 10,
    "commit_seconds": 3,
    "abandon_seconds": 10,
    "connect_timeout_seconds": 2,
    "streams_per_client": 1000,
    "trusted_proxies": "unix",
}
_TEMPORARY_FOLDER_BYTES = 16 << 20
_SHARED_AFTER_SECONDS = 2
_QUIET_SECONDS = 45
"""Longer than it takes until an answer is abandoned, and its worker drained."""


def run(seconds: float, seed: int, reader_count: int, kinds: list[str]) -> list[str]:
    """Return what does not agree."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        temporary_folder = stack.enter_context(small_folder(_TEMPORARY_FOLDER_BYTES))
        redis = stack.enter_context(RedisServer())
        upstream = stack.enter_context(Upstream(free_port(), folder / "requests"))
        gateway = stack.enter_context(
            Server(
                unix_socket=folder / "gunicorn.sock",
                environment={"TMPDIR": str(temporary_folder)},
                upstream=f"http://127.0.0.1:{upstream.port}/v1",
                redis_url=redis.url,
                **_SETTINGS,
            )
        )
        nginx = stack.enter_context(Nginx(folder / "gunicorn.sock"))
        accounts = Accounts()
        readers = [
            kind(f"{kind.__name__}-{number}", nginx, accounts, seed + number)
            for number in range(reader_count)
            for kind in [(ChatReader, ResumingReader)[number % 2]]
        ]
        chaos = Chaos(
            gateway, nginx, redis, upstream, temporary_folder, readers, random.Random(seed)
        )
        faults = ["the run was not finished"]
        try:
            _run_readers(readers, lambda: chaos.run(seconds, kinds))
            faults = _audit(accounts, chaos)
            return faults
        finally:
            if faults:
                Path("chaos.log").write_text(gateway.log)


def _run_readers(readers: list[Reader], chaos: Callable[[], None]) -> None:
    greenlets = [gevent.spawn(reader.run) for reader in readers]
    try:
        chaos()
    finally:
        for reader in readers:
            reader.is_last = True
        done = gevent.joinall(greenlets, timeout=2 * ANSWER_SECONDS, raise_error=True)
    if len(done) < len(greenlets):
        raise AssertionError("some readers never end")


def _audit(accounts: Accounts, chaos: Chaos) -> list[str]:
    gateway = chaos.gateway
    metrics = Metrics(gateway)
    wait_until(
        lambda: len(gateway.workers()) == WORKERS and metrics.value("open_streams") == 0,
        _QUIET_SECONDS,
        lambda: f"workers {gateway.workers()}, open streams {metrics.value('open_streams')}",
    )
    # Events, which are not shared at once, are by now.
    gevent.sleep(_SHARED_AFTER_SECONDS)
    samples = metrics.samples()
    log = gateway.log
    audit = Audit(accounts, lines_of(gateway.logged_lines()), chaos.worker_kills, chaos.nginx_kills)
    audit.check_readers()
    audit.check_answers()
    audit.check_metrics(samples, len(chaos.worker_kills))
    audit.check_events(samples)
    audit.check_upstream(chaos.upstream.requests())
    for (route, told, end), count in sorted(audit.pairs.items()):
        print(f"{count:6}  {route:24} told {told:36} counted {end}")
    faults = accounts.faults + audit.faults + _leaks(gateway)
    faults += [f"in the log: {word}" for word in ("Traceback", "WORKER TIMEOUT") if word in log]
    return faults


def _leaks(gateway: Server) -> list[str]:
    found = []
    for pid in [gateway.pid, *gateway.workers()]:
        files = len(os.listdir(f"/proc/{pid}/fd"))
        status = Path(f"/proc/{pid}/status").read_text()
        mib = int(status.split("VmRSS:")[1].split()[0]) // 1024
        print(f"process {pid}: {files} files, {mib} MiB")
        if files > _MAX_FILES or mib > _MAX_MIB:
            found.append(f"process {pid} has {files} files and {mib} MiB")
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--faults", type=lambda text: text.split(","), default=KINDS)
    options = parser.parse_args()
    faults = run(options.seconds, options.seed, options.readers, options.faults)
    for fault in faults[:100]:
        print("FAULT", fault)
    print(f"{len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
