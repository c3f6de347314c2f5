"""A reload (SIGHUP) reads settings and keys from their files again, and refuses no request meanwhile."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.server.raw_upstream import RawUpstream, whole
from tests.support.server import (
    ROOT,
    START_TIMEOUT_SECONDS,
    Server,
    clean_environment,
    wait_until,
)
from tests.support.stream import Response, chat, get, post
from tests.system.test_drain import PATH, open_stream

pytestmark = pytest.mark.slow

OLD, NEW = "the-old-key-0123456", "the-new-key-0123456"


def write(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def with_key(request: bytes, key: str) -> bytes:
    return request.replace(b"\r\n", b"\r\nAuthorization: Bearer %b\r\n" % key.encode(), 1)


def status(server: Server, request: bytes) -> int:
    with server.connect() as sock:
        sock.sendall(request)
        return Response(sock).status


def reload(server: Server) -> None:
    """Reload, and wait until new workers serve and the old ones accept no more."""
    old = set(server.workers())
    server.signal(signal.SIGHUP)

    def has_changed() -> bool:
        with server.connect() as sock:
            sock.sendall(get("/readyz"))
            states = [worker["state"] for worker in Response(sock).json()["workers"]]
        return "retiring" not in states and "serving" in states and set(server.workers()) != old

    wait_until(has_changed, START_TIMEOUT_SECONDS)


def test_keys_are_added_and_withdrawn_while_a_stream_of_a_withdrawn_key_goes_on(tmp_path):
    keys = tmp_path / "keys"
    with Server(api_keys_file=write(keys, OLD), drain_seconds=30) as server:
        ask = get("/v1/models")
        assert [status(server, with_key(ask, key)) for key in (OLD, NEW)] == [200, 401]
        with server.connect() as sock:
            sock.sendall(with_key(post(PATH, chat(simulator={"tokens": 300, "itl_ms": 20})), OLD))
            stream = Response(sock)
            assert stream.chunk()
            write(keys, f"{OLD}\n{NEW}\n")
            reload(server)
            assert [status(server, with_key(ask, key)) for key in (OLD, NEW)] == [200, 200]
            write(keys, NEW)
            reload(server)
            assert [status(server, with_key(ask, key)) for key in (OLD, NEW)] == [401, 200]
            assert stream.body().endswith(b"data: [DONE]\n\n")


def test_the_upstreams_key_is_exchanged(tmp_path):
    key = tmp_path / "key"
    seen: list[bytes] = []

    def answer(sock, request):
        seen.append(request)
        sock.sendall(whole(b"{}"))

    with RawUpstream(answer) as upstream:
        path = write(key, OLD)
        with Server(upstream=upstream.url, upstream_api_key_file=path) as server:
            assert status(server, get("/v1/models")) == 200
            write(key, NEW)
            reload(server)
            assert status(server, get("/v1/models")) == 200
    assert OLD.encode() in seen[0]
    assert NEW.encode() in seen[-1]


def test_settings_of_the_env_file_are_read_again_also_those_of_the_server_itself(tmp_path):
    file = tmp_path / "environment"
    slow = post(PATH, chat())[:-1]
    path = write(file, "SLUICE_WORKERS=2\nSLUICE_MODELS=a\nSLUICE_BODY_TIMEOUT_SECONDS=0.3\n")
    with Server(env_file=path) as server:
        wait_until(lambda: len(server.workers()) == 2)
        assert status(server, slow) == 408
        assert status(server, get("/v1/models/b")) == 404
        write(file, "SLUICE_MODELS=a,b\n")
        reload(server)
        wait_until(lambda: len(server.workers()) == 1)
        assert status(server, get("/v1/models/b")) == 200
        with server.connect() as sock:
            sock.sendall(slow)
            sock.settimeout(1)
            with pytest.raises(TimeoutError):
                sock.recv(1)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_reload_with_a_mistake_in_a_file_changes_nothing_and_says_one_line(workers, tmp_path):
    file, keys = tmp_path / "environment", tmp_path / "keys"
    write(keys, OLD)
    settings = f"SLUICE_WORKERS={workers}\nSLUICE_API_KEYS_FILE={keys}\n"
    with Server(env_file=write(file, settings)) as server:
        wait_until(lambda: len(server.workers()) == workers)
        # With several workers, one may serve before another has said what the start has to say.
        wait_until(lambda: "Sluice is at" in server.log and server.log.endswith("'\n"))
        before = set(server.workers())
        mistakes = {
            "SLUICE_WORKERS=many\n": "SLUICE_WORKERS: got 'many'",
            "SLUICE_WORKER=2\n": "did you mean SLUICE_WORKERS?",
            f"SLUICE_API_KEYS_FILE={tmp_path}/none\n": "No such file or directory",
        }
        for count, (text, why) in enumerate(mistakes.items(), start=1):
            write(file, text)
            printed = len(server.log)
            server.signal(signal.SIGHUP)
            wait_until(lambda count=count: server.log.count("Not reloaded") == count)
            lines = [
                line
                for line in server.log[printed:].splitlines()
                if "Hang up" not in line and "Handling signal" not in line
            ]
            assert len(lines) == 1, lines
            assert why in lines[0]
        assert set(server.workers()) == before
        assert status(server, with_key(get("/v1/models"), OLD)) == 200
        # Also after a mistake a dead worker is replaced, with the settings as they were.
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_until(lambda: len(set(server.workers()) | before) == workers + 1)
        for _ in range(4):
            assert status(server, with_key(get("/v1/models"), OLD)) == 200
        write(keys, NEW)
        write(file, settings)
        reload(server)
        assert status(server, with_key(get("/v1/models"), NEW)) == 200


def test_a_worker_that_takes_a_dead_ones_place_does_not_read_a_file_that_is_being_edited(tmp_path):
    keys = tmp_path / "keys"
    with Server(api_keys_file=write(keys, OLD)) as server:
        write(keys, "")
        [pid] = server.workers()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: server.workers() not in ([], [pid]))
        assert status(server, with_key(get("/v1/models"), OLD)) == 200


def test_a_reload_refuses_and_loses_no_request_of_clients_that_keep_their_connections():
    outcomes: list[object] = []
    is_over = threading.Event()

    def ask_again_and_again(server: Server) -> None:
        while not is_over.is_set():
            with server.connect() as sock:
                keeps = True
                while keeps and not is_over.is_set():
                    sock.sendall(post(PATH, chat(simulator={"tokens": 3, "itl_ms": 5})))
                    response = Response(sock)
                    is_whole = response.body().endswith(b"data: [DONE]\n\n")
                    outcomes.append((response.status, is_whole))
                    keeps = response.headers["connection"] != "close"

    def visit(server: Server) -> None:
        try:
            ask_again_and_again(server)
        except (OSError, EOFError) as error:
            outcomes.append(error)

    with Server(workers=2, drain_seconds=20) as server, server.connect() as sock:
        open_stream(server, sock, tokens=100_000)  # So that the drain takes its time.
        threads = [threading.Thread(target=visit, args=(server,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            seen = len(outcomes)
            wait_until(lambda seen=seen: len(outcomes) > seen + 50)
            reload(server)
        seen = len(outcomes)
        wait_until(lambda: len(outcomes) > seen + 200, explain=lambda: str(outcomes[-12:]))
        is_over.set()
        for thread in threads:
            thread.join()
    assert {str(outcome) for outcome in outcomes} == {"(200, True)"}


def test_a_start_with_a_mistake_in_a_file_says_one_line(tmp_path):
    started = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "app:app"],
        cwd=ROOT,
        env={**clean_environment(), "SLUICE_API_KEYS_FILE": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
    )
    path = tmp_path / "none"
    why = f"SLUICE_API_KEYS_FILE: {path} cannot be read: No such file or directory"
    assert (started.returncode, started.stderr) == (1, f"sluice: {why}\n")
