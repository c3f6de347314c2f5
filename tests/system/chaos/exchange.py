"""One request and its response, through nginx, as a reader's account has it."""

import json
import random
import socket
import time
from collections.abc import Iterator

from flask_sluice.sse import EventParser
from flask_sluice.sse.event import ReceivedEvent
from tests.support.stream import Response, reset
from tests.system.chaos.account import Accounts, Attempt
from tests.system.chaos.upstream import REFUSAL_CODE
from tests.system.nginx_server import Nginx

SILENCE_SECONDS = 20.0
"""Nothing at all for so long is a hang: a keep-alive is due every two seconds, and the longest fault takes four."""
_NGINX_CODES = {"unavailable", "timeout", "body_too_large"}
_PASSED_ON = {REFUSAL_CODE: "upstream_error"}
"""The codes that Sluice passes on as they came, and how its metrics count them."""


class Exchange:
    """Sends a request and reads its response; notes in ``attempt`` how that ended, but for an end that is proper.

    leaves_after: how many events are read before the reader leaves
    retry_after: how long a refusal asks to wait
    body: of a response that is not a stream
    """

    def __init__(
        self,
        nginx: Nginx,
        accounts: Accounts,
        attempt: Attempt,
        leaves_after: int | None = None,
    ) -> None:
        self._nginx = nginx
        self._accounts = accounts
        self.attempt = attempt
        self.leaves_after = leaves_after
        self.body = b""
        self.retry_after = 0.0
        self._sock: socket.socket | None = None
        self._leaves = False

    def leave(self) -> None:
        """Leave now, if an event has come and the response goes on. Another greenlet calls this."""
        if self.attempt.has_begun and self._sock is not None and not self.attempt.told:
            self._leaves = True
            # It tells the other side nothing, but ends our wait.
            with socket.fromfd(self._sock.fileno(), socket.AF_INET, socket.SOCK_STREAM) as copy:
                copy.shutdown(socket.SHUT_RD)

    def events(self, request: bytes) -> Iterator[ReceivedEvent]:
        attempt = self.attempt
        request = request.replace(
            b"\r\n", b"\r\nX-Request-Id: %s\r\n" % attempt.request_id.encode(), 1
        )
        try:
            self._sock = self._nginx.connect()
            self._sock.settimeout(SILENCE_SECONDS)
            self._sock.sendall(request)
            yield from self._read(Response(self._sock))
        except TimeoutError:
            attempt.told = "hung"
            self._accounts.fault(attempt, "nothing came for too long")
        except (EOFError, OSError) as error:
            attempt.told = "left" if self._leaves else "cut"
            attempt.detail = repr(error)[-200:]
        finally:
            attempt.ended_at = time.monotonic()
            self._close()

    def _read(self, response: Response) -> Iterator[ReceivedEvent]:
        attempt = self.attempt
        if response.status != 200:
            self.body = response.body()
            self._note_status(response)
            return
        parser = EventParser()
        for data in response.chunks():
            for event in parser.feed(data):
                attempt.events += 1
                attempt.has_begun = True
                yield event
                if attempt.events == self.leaves_after:
                    self._leaves = True
                    attempt.told = "left"
                    return

    def _note_status(self, response: Response) -> None:
        if response.status < 300:
            self.attempt.told = "over" if response.status == 204 else "started"
            return
        code = json.loads(self.body)["error"]["code"]
        self.attempt.by_nginx = code in _NGINX_CODES
        self.attempt.told = f"refused {response.status} {_PASSED_ON.get(code, code)}"
        self.retry_after = float(response.headers.get("retry-after", 0))

    def _close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None and self._leaves and random.random() < 0.5:
            reset(sock)
        elif sock is not None:
            sock.close()


def error_code(event: ReceivedEvent) -> str | None:
    """Return the code of an error event, as Sluice's metrics have it; None for any other event."""
    data = event.data
    error = json.loads(data).get("error") if data.startswith("{") else None
    return None if error is None else _PASSED_ON.get(error["code"], error["code"])
