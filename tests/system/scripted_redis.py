"""A Redis behind a proxy that answers in its place when a test says so, with what a real one says only in trouble."""

import contextlib
import re
import socket
import threading
from pathlib import Path

_COMMAND = re.compile(rb"\*(\d+)\r\n")


class ScriptedRedis:
    """Passes all on to a real Redis, until ``answer`` is set.

    socket_path: of the real one
    """

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._answer: bytes | None = None
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def __enter__(self) -> "ScriptedRedis":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join()

    def answer(self, answer: bytes | None) -> None:
        """Answer each command with these bytes, also over open connections; b"": never; None: as the real Redis does."""
        self._answer = answer

    def _start(self, run, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                real = socket.socket(socket.AF_UNIX)
                real.connect(str(self._socket_path))
                self._socks += [client, real]
                self._start(self._pass_commands, client, real)
                self._start(self._pass_replies, real, client)

    def _pass_commands(self, client: socket.socket, real: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 20):
                answer = self._answer
                if answer is None:
                    real.sendall(data)
                else:
                    client.sendall(answer * _count_commands(data))
        with contextlib.suppress(OSError):
            real.shutdown(socket.SHUT_RDWR)

    def _pass_replies(self, real: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := real.recv(1 << 20):
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def _count_commands(data: bytes) -> int:
    # No value in the tests looks like the head of a command.
    return len(_COMMAND.findall(data))
