"""A text stream for log lines that never blocks: what its reader does not take waits, and then is dropped and counted."""

import atexit
import io
import os
import signal
from collections import deque
from collections.abc import Callable
from typing import Protocol, TextIO

from flask_sluice.observe.json_log import LogLine

_MAX_WAITING_BYTES = 4 * 1024 * 1024
_FLUSH_SECONDS = 0.5
_FLUSH_STEP_SECONDS = 0.01

Write = Callable[[bytes], int]


class Lock(Protocol):
    """A lock of the operating system's threads, also where gevent has patched ``threading``."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...


class LogStream(io.RawIOBase):
    """Writes lines to a file descriptor that other processes may share, without ever waiting for its reader.

    A line that cannot be written now (the pipe is full, the disk is full, the reader is gone) waits, in order, with those
    after it. When 4 MiB wait, later lines are dropped until all that wait are written; then one line says how many.

    output: the stream in whose place this one is
    write: writes to it what can be written now, and returns how much that was; raises OSError if it is nothing
    count_dropped: called with the number of lines that are dropped
    """

    def __init__(self, output: TextIO, write: Write, lock: Lock) -> None:
        super().__init__()
        self._output = output
        self._write = write
        self._lock = lock
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._is_dropping = False
        self._dropped = 0
        self._ends_line = True
        """Whether what was taken last was whole lines."""
        self.count_dropped: Callable[[int], object] = lambda _lines: None
        # The process that is forked off must not write these lines a second time.
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self._flush_at_exit)

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting or self._is_dropping)

    def write(self, data: bytes) -> int:  # type: ignore[override] # no other buffer is written to it
        """Take lines, to be written now or later. Returns the length of all of them, also of those that are dropped."""
        # A copy: the caller may have given a view.
        lines = bytes(data)
        if self._is_dropping:
            self.write_waiting()
        if self._is_dropping or self._waiting_bytes + len(lines) > _MAX_WAITING_BYTES:
            self._is_dropping = True
            count = lines.count(b"\n")
            self._dropped += count
            self.count_dropped(count)
        else:
            self._ends_line = lines.endswith(b"\n")
            self._waiting.append(lines)
            self._waiting_bytes += len(lines)
        self.write_waiting()
        return len(data)

    def write_waiting(self) -> None:
        """Write of what waits as much as the reader takes now."""
        # Another thread that writes, or this one in a signal's handler, is asked to go on rather than waited for.
        while self.has_waiting and self._lock.acquire(blocking=False):
            try:
                if not self._write_all():
                    return
            finally:
                self._lock.release()

    def _write_all(self) -> bool:
        while self._waiting:
            line = self._waiting[0]
            try:
                written = self._write(line)
            except OSError:
                # Full for now, or for good: the lines wait, and those that find no room are counted.
                return False
            self._waiting_bytes -= written
            if written < len(line):
                self._waiting[0] = line[written:]
            else:
                self._waiting.popleft()
            if self._is_dropping and not self._waiting:
                self._tell_dropped()
        return True

    def _tell_dropped(self) -> None:
        count, self._dropped, self._is_dropping = self._dropped, 0, False
        fields: dict[str, object] = {"level": "warning", "logger": "sluice.log", "pid": os.getpid()}
        line = LogLine(f"{count} lines were dropped", {**fields, "dropped_lines": count})
        end_of_last = "" if self._ends_line else "\n"
        self._ends_line = True
        self._waiting.append(f"{end_of_last}{line}\n".encode())
        self._waiting_bytes += len(self._waiting[-1])

    def _forget(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = self._dropped = 0
        self._is_dropping = False

    def _flush_at_exit(self) -> None:
        for _ in range(int(_FLUSH_SECONDS / _FLUSH_STEP_SECONDS)):
            self.write_waiting()
            if not self.has_waiting:
                return
            # A wait that gevent does not make a switch to other greenlets: they have ended, or are being ended.
            signal.sigtimedwait((), _FLUSH_STEP_SECONDS)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._output.fileno()

    def isatty(self) -> bool:
        return self._output.isatty()

    def close(self) -> None:
        """Close the stream, and the one that it writes to: gunicorn opens its log's files anew on USR1."""
        if not self.closed:
            self.write_waiting()
            super().close()
            self._output.close()
