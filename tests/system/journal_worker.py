"""A worker process with a Redis journal, which a test tells what to do.

Run as a program it is the process: gevent has patched it, as gunicorn does, and it reads commands from its standard
input and executes them in turn, one JSON array a line: a method of Acts, and its arguments. ``JournalWorker`` is the
test's side.
"""

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import json
import logging
import os
import signal
import subprocess
import sys
import uuid
from typing import Any

import gevent
from gevent.event import Event as Flag
from gevent.fileobject import FileObject

from flask_sluice.journal import About, JournalLostError, Limits
from flask_sluice.journal.redis.journal import RedisJournal
from tests.support.server import ROOT, wait_until
from tests.unit.journals import DONE, LOST, Reader, event, read_with_breaks

_END_TIMEOUT_SECONDS = 30


class Acts:
    """What the process can do. Arguments and results are values that JSON has."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        lease_seconds = options.pop("lease_seconds", 6.0)
        self._journal = RedisJournal(
            url, Limits(**options), lost_event=LOST, lease_seconds=lease_seconds
        )
        self._recorders: dict[str, Any] = {}
        self._readers: list[Reader] = []
        self._stops: dict[str, list[str]] = {}
        self._log: list[str] = []
        self._record_log()

    def _record_log(self):
        handler = logging.Handler()
        handler.emit = lambda record: self._log.append(record.getMessage())
        logging.getLogger("sluice").addHandler(handler)
        logging.getLogger("sluice").setLevel("INFO")

    def create(self, stream_id, key=""):
        self._stops[stream_id] = []
        self._recorders[stream_id] = self._journal.create(
            stream_id, self._stops[stream_id].append, About(key=key)
        )

    def append(self, stream_id, count=1, size=100):
        """Return whether all could be appended."""
        try:
            for _ in range(count):
                self._recorders[stream_id].append(event("x" * size))
        except JournalLostError:
            return False
        return True

    def produce(self, stream_id, count, per_second):
        """Append so many events in the background, the last of them the terminal one."""

        def run():
            for _ in range(count - 1):
                self._recorders[stream_id].append(event("x" * 100))
                gevent.sleep(1 / per_second)
            self._recorders[stream_id].finish(DONE)

        gevent.spawn(run)

    def finish(self, stream_id):
        self._recorders[stream_id].finish(DONE)

    def last_id(self, stream_id):
        return self._recorders[stream_id].last_id

    def stops(self, stream_id):
        """Return the reasons for which the producer was asked to stop."""
        return self._stops[stream_id]

    def stop(self, stream_id):
        self._journal.stop(stream_id)

    def follow(self, stream_id, after=0):
        """Begin to read a stream. Return the reader's number."""
        self._readers.append(Reader(self._journal, stream_id, after))
        return len(self._readers) - 1

    def count(self, reader):
        return self._readers[reader].follower.event_count

    def ids(self, reader):
        return self._readers[reader].ids

    def received(self, reader):
        return self._readers[reader].received.decode()

    def error(self, reader):
        """Return why a reader was let go before the end of the stream."""
        error = self._readers[reader].follower.error
        return error and error.code

    def log(self):
        """Return the lines that were logged since this was asked last."""
        lines, self._log[:] = list(self._log), []
        return lines

    def is_done(self, reader):
        return self._readers[reader].is_done

    def leave(self, reader):
        self._readers[reader].leave()

    def read_with_breaks(self, stream_id, readers, seconds):
        return read_with_breaks(self._journal, stream_id, readers, seconds)

    def problem(self):
        return self._journal.problem()

    def close(self):
        self._journal.close()

    def fork(self, stream_of_parent):
        """Fork, as gunicorn does with preload_app; from now on the child executes the commands.

        The parent goes on with the same journal, and produces a stream of its own. Returns the id of the child.
        """
        child = os.fork()
        if child:
            self.create(stream_of_parent)
            Flag().wait()  # Until it is killed; it outlives its child.
        return os.getpid()


def new_stream_id() -> str:
    return uuid.uuid4().hex


class JournalWorker:
    """A worker process. Its methods are those of Acts; an exception there is a WorkerError here.

    options: the fields of Limits, and lease_seconds
    """

    module = "tests.system.journal_worker"

    def __init__(self, url: str, **options: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module, url, json.dumps(options)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "JournalWorker":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def __getattr__(self, name: str) -> Any:
        def act(*arguments: object) -> Any:
            self.begin(name, *arguments)
            return self.result()

        return act

    def begin(self, name: str, *arguments: object) -> None:
        """Send a command without waiting for its ``result``."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self._process.stdin.flush()

    def result(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the worker ended"
        value, error = json.loads(line)
        if error:
            raise WorkerError(error)
        return value

    def until_has(self, reader: int, count: int) -> None:
        """Wait until a reader has so many events."""
        wait_until(lambda: self.count(reader) >= count)

    def all_ids(self, reader: int) -> list[int | str]:
        """Return the ids that a reader has received when the stream is finished."""
        wait_until(lambda: self.is_done(reader), 20, lambda: str(self.ids(reader)[-5:]))
        return self.ids(reader)

    def suspend(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: the process cannot tell anyone."""
        self._process.kill()
        self._process.wait(_END_TIMEOUT_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class WorkerError(Exception):
    """An error in the worker; its text is that error's type and text."""


def execute(acts: object) -> None:
    """Execute the commands of the test."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # gevent's patches leave the standard streams alone: reading them would stop all greenlets.
    for line in FileObject(sys.stdin.buffer, "rb"):
        name, *arguments = json.loads(line)
        try:
            answer = [getattr(acts, name)(*arguments), None]
        except Exception as error:  # noqa: BLE001 - the test is told
            answer = [None, f"{type(error).__name__}: {error}"]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    execute(Acts(sys.argv[1], json.loads(sys.argv[2])))
