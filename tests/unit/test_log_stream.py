"""A stream for log lines never blocks, keeps their order, and says how many it has dropped."""

import fcntl
import io
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from flask_sluice.observe import log_stream
from flask_sluice.observe.log_stream import LogStream
from flask_sluice.server import log_lines
from flask_sluice.server.log_lines import LogOutput

MAX_WAITING_BYTES = 100_000
LINE = "x" * 99 + "\n"


class Reader:
    """The other end of what is written to, which reads when it is told to."""

    def __init__(self, kind: str) -> None:
        if kind == "socket":
            ours, theirs = socket.socketpair()
            self._fd, self.write_fd = ours.detach(), theirs.detach()
        else:
            self._fd, self.write_fd = os.pipe()
        os.set_blocking(self._fd, False)

    def read(self) -> str:
        data = b""
        try:
            while piece := os.read(self._fd, 1 << 16):
                data += piece
        except BlockingIOError:
            return data.decode()
        return data.decode()

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture(params=["pipe", "another user's pipe", "socket"])
def reader(request, monkeypatch) -> Iterator[Reader]:
    if request.param == "another user's pipe":

        def refuse(*_: object) -> int:
            raise PermissionError

        monkeypatch.setattr(log_lines.os, "open", refuse)
    reader = Reader(request.param)
    yield reader
    reader.close()


@pytest.fixture
def dropped() -> list[int]:
    return []


@pytest.fixture
def stream(reader, dropped, monkeypatch) -> Iterator[LogStream]:
    monkeypatch.setattr(log_stream, "_MAX_WAITING_BYTES", MAX_WAITING_BYTES)
    stream = LogStream(
        os.fdopen(reader.write_fd, "w"), log_lines._writer_of(reader.write_fd), threading.Lock()
    )
    stream.count_dropped = dropped.append
    yield stream
    stream.close()


def lines(count: int, start: int = 0) -> list[str]:
    return [f"{number:099}\n" for number in range(start, start + count)]


def read_all(stream: LogStream, reader: Reader) -> str:
    text = reader.read()
    while stream.has_waiting:
        stream.write_waiting()
        text += reader.read()
    return text


def test_lines_come_in_order_and_whole_after_a_reader_has_stood_still(stream, reader, dropped):
    fitting = 0
    while len(stream._waiting) < 100:
        stream.write(lines(1, fitting)[0].encode())
        fitting += 1
    assert read_all(stream, reader) == "".join(lines(fitting))
    assert dropped == []


def test_lines_without_room_are_dropped_counted_and_told_where_they_are_missing(
    stream, reader, dropped
):
    count = 0
    while len(dropped) < 50:
        stream.write(lines(1, count)[0].encode())
        count += 1
    *kept, told = read_all(stream, reader).splitlines(keepends=True)
    assert kept == lines(count - 50)
    line = json.loads(told)
    assert (line["message"], line["dropped_lines"]) == ("50 lines were dropped", 50)
    stream.write(b"the next\n")
    assert reader.read() == "the next\n"


def test_the_flags_of_the_shared_descriptor_stay(stream, reader):
    stream.write(b"a line\n")
    assert not fcntl.fcntl(reader.write_fd, fcntl.F_GETFL) & os.O_NONBLOCK


def test_a_reader_that_has_gone_is_no_error(stream, reader, dropped):
    reader.close()
    stream.write(b"a line\n")
    assert stream.has_waiting
    stream._forget()
    reader.__init__("pipe")  # For the fixture to close.


def test_lines_wait_for_room_on_a_disk(tmp_path):
    file = tmp_path / "log"
    with file.open("a") as target, open("/dev/full", "w") as full:
        kept = os.dup(target.fileno())
        os.dup2(full.fileno(), target.fileno())
        stream = LogStream(target, lambda data: os.write(target.fileno(), data), threading.Lock())
        stream.write(b"a line\n")
        assert stream.has_waiting
        os.dup2(kept, target.fileno())
        os.close(kept)
        stream.write(b"another\n")
    assert file.read_text() == "a line\nanother\n"


def test_a_process_that_is_forked_off_does_not_write_what_waits_again(stream, reader):
    while not stream.has_waiting:
        stream.write(LINE.encode())
    if os.fork() == 0:
        os._exit(int(stream.has_waiting))
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    assert stream.has_waiting


def test_a_line_that_is_written_while_a_line_is_written_comes_after_it(reader):
    """As by a signal's handler, or by another thread."""
    output = os.fdopen(reader.write_fd, "w")

    def write(data: bytes) -> int:
        if data == b"first\n":
            stream.write(b"second\n")
        return os.write(output.fileno(), data)

    stream = LogStream(output, write, threading.Lock())
    stream.write(b"first\n")
    assert reader.read() == "first\nsecond\n"
    stream.close()


def test_all_that_a_process_logs_or_prints_goes_through_such_streams(monkeypatch, tmp_path):
    pipe = Reader("pipe")
    monkeypatch.setattr(sys, "stdout", os.fdopen(os.dup(pipe.write_fd), "w"))
    monkeypatch.setattr(sys, "stderr", os.fdopen(pipe.write_fd, "w"))
    error, access = logging.Logger("error"), logging.Logger("access")
    error.addHandler(logging.StreamHandler())
    access.addHandler(logging.FileHandler(tmp_path / "access"))
    gunicorn_log = SimpleNamespace(error_log=error, access_log=access)
    output = LogOutput(gunicorn_log, lambda _: None)
    again = LogOutput(gunicorn_log, lambda _: None)  # As a worker does after its master.
    for text in (sys.stdout, sys.stderr, error.handlers[0].stream, access.handlers[0].stream):
        assert isinstance(text.buffer, LogStream)
        assert not isinstance(text.buffer._output.buffer, LogStream)
    error.error("an error")
    print("printed")
    access.error("asked")
    assert pipe.read() == "an error\nprinted\n"
    (tmp_path / "access").rename(tmp_path / "access.1")
    handler = access.handlers[0]
    handler.close()
    handler.stream = handler._open()  # As gunicorn does on USR1.
    access.error("asked again")
    assert (tmp_path / "access").read_text() == "asked again\n"
    assert (tmp_path / "access.1").read_text() == "asked\n"
    assert output.write_waiting()
    assert again.write_waiting()
    handler.close()
    pipe.close()


def test_a_stream_in_memory_stays(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    empty = SimpleNamespace(error_log=logging.Logger("e"), access_log=logging.Logger("a"))
    LogOutput(empty, lambda _: None)
    assert isinstance(sys.stdout, io.StringIO)
