"""A TCP proxy in front of Redis: what lies between a worker and a managed Redis, with a network's faults."""

import contextlib
import socket
import threading
import time


class RedisProxy:
    """Passes bytes between its clients and a Redis.

    target: the port of the Redis that new connections lead to. It may be set, as a managed service changes what
        the name of a Redis resolves to: connections that are open go on leading to the old one
    delay_seconds: how long bytes take, in each direction
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay_seconds = 0.0
        self._passes = threading.Event()
        self._passes.set()
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def __enter__(self) -> "RedisProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.pass_on()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in self._socks:
            sock.close()

    def swallow(self) -> None:
        """Pass nothing on, of new connections neither. Neither side is told: the end of a connection is lost, too.

        As with TCP, what was swallowed arrives after ``pass_on``, also from a sender that has given up.
        """
        self._passes.clear()

    def pass_on(self) -> None:
        self._passes.set()

    def _start(self, run, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._socks.append(client)
                self._start(self._connect, client)

    def _connect(self, client: socket.socket) -> None:
        self._passes.wait()
        try:
            redis = socket.create_connection(("127.0.0.1", self.target))
        except OSError:  # Redis does not listen.
            client.close()
            return
        self._socks.append(redis)
        for sock in (client, redis):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._start(self._pass, redis, client)
        self._pass(client, redis)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                time.sleep(self.delay_seconds)
                self._passes.wait()
                target.sendall(data)
        self._passes.wait()
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
