"""A log whose reader stands still stops nothing; what it misses is counted."""

import json
import os
import re
import signal
import threading

import pytest

from tests.support.metrics import Metrics
from tests.support.server import Server, wait_until
from tests.support.stream import Response, chat, get, post

PATH = "/v1/chat/completions"


class LogReader:
    """Reads what is printed, from the moment at which it is started."""

    def __init__(self) -> None:
        self._fd, self.write_fd = os.pipe()
        self.text = ""
        self._thread = threading.Thread(target=self._read)

    def start(self) -> None:
        os.close(self.write_fd)
        self._thread.start()

    def _read(self) -> None:
        while piece := os.read(self._fd, 1 << 16):
            self.text += piece.decode()

    def wait_for_end(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()
        os.close(self._fd)


@pytest.fixture
def log() -> LogReader:
    return LogReader()


def ask(server: Server, request: bytes) -> bytes:
    with server.connect() as sock:
        sock.sendall(request)
        return Response(sock).body()


@pytest.mark.slow
def test_what_a_quick_reader_gets_later_is_whole_and_in_order(log):
    with Server(output=log.write_fd) as server:
        for number in range(400):  # Of some 380 bytes: more than a pipe takes.
            fields = {"simulator": {"tokens": 1, "itl_ms": 0}, "model": f"model-{number}"}
            assert b"[DONE]" in ask(server, post(PATH, chat() | fields))
        assert Metrics(server).value("log_lines_dropped_total") == 0
        log.start()
    log.wait_for_end()
    found = re.findall(r'"model":"model-(\d+)"', log.text)
    assert found == [str(number) for number in range(400)]


@pytest.mark.slow
def test_lines_are_dropped_and_counted_while_streams_and_signals_go_on(log):
    configuration = "python:flask_sluice.server.settings"
    app = "tests.server.talkative_app:app"
    with Server(app, configuration=configuration, output=log.write_fd) as server:
        for _ in range(6):  # 6 MB
            assert ask(server, get("/print")) == b"printed"
        assert ask(server, get("/stream")).count(b"data: ") == 20
        (before,) = server.workers()
        os.kill(before, signal.SIGKILL)  # The master says so, and starts another.
        wait_until(lambda: server.workers() not in ([], [before]))
        server.wait_until_ready()
        for _ in range(6):
            assert ask(server, get("/print")) == b"printed"
        log.start()
        wait_until(lambda: "lines were dropped" in log.text, 20)
        ask(server, get("/stream"))
        server.signal(signal.SIGTERM)
        server.wait_for_exit()
    log.wait_for_end()
    whole = [line for line in log.text.splitlines() if line == "x" * 9_999]
    (told,) = re.findall(r'^\{.*"message":"(\d+) lines were dropped".*\}$', log.text, re.MULTILINE)
    # The killed worker took with it what it had not written.
    assert len(whole) >= 400
    assert 100 < int(told) < 300
    assert log.text.count("Shutting down: Master") == 1


@pytest.mark.slow
def test_the_end_does_not_wait_for_a_reader_that_stands_still(log):
    app = "tests.server.talkative_app:app"
    configuration = "python:flask_sluice.server.settings"
    with Server(app, configuration=configuration, output=log.write_fd) as server:
        assert ask(server, get("/print")) == b"printed"
        server.signal(signal.SIGTERM)
        server.wait_for_exit()
        log.start()
    log.wait_for_end()
    assert json.dumps("x" * 9_999)[1:-1] in log.text
