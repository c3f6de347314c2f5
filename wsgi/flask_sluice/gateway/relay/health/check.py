"""Asks an upstream now and then how it is, so that no client's request has to find out."""

import logging
from collections.abc import Mapping

import gevent

from flask_sluice.gateway.relay.connection import UpstreamConnection
from flask_sluice.gateway.relay.http1_parser import (
    MAX_HEAD_BYTES,
    InvalidResponseError,
    parse_head,
)
from flask_sluice.gateway.relay.upstream import Upstream
from flask_sluice.stream.errors import ApiError

CHECK_SECONDS = 5.0
CHECK_TIMEOUT_SECONDS = 5.0
"""For the connection and the answer. A server that is busy with prompts may need some seconds."""
_ERROR_CODE = "health_check"

logger = logging.getLogger("sluice.upstream")


class HealthCheck:
    """Sends health requests to one upstream, each on a connection of its own.

    path: at the upstream's host, not below its URL: most servers have theirs beside ``/v1``
    headers: the upstream's key, if it has one
    """

    def __init__(self, upstream: Upstream, path: str, headers: Mapping[str, str]) -> None:
        self._upstream = upstream
        address = upstream.address
        lines = [f"GET {address.target_at_root(path)} HTTP/1.1", f"Host: {address.host}"]
        lines += [
            f"{name}: {value}" for name, value in {**headers, **address.proxy_headers}.items()
        ]
        lines += ["User-Agent: sluice", "Accept: */*", "Connection: close", "", ""]
        self._request = "\r\n".join(lines).encode("latin-1")

    def run(self) -> None:
        """Ask until the process ends. Blocks its greenlet."""
        while True:
            self.ask_once()
            gevent.sleep(CHECK_SECONDS)

    def ask_once(self) -> None:
        """Ask, and record the outcome."""
        upstream = self._upstream
        was_well = upstream.health.is_well
        problem = self._find_problem()
        if problem is not None:
            upstream.errors[_ERROR_CODE] += 1
        upstream.health.record_check(problem)
        if upstream.health.is_well != was_well:
            state = "is well again" if problem is None else f"is out: {problem}"
            logger.warning("by its health request, upstream %s %s", upstream.label, state)

    def _find_problem(self) -> str | None:
        too_late = TimeoutError(f"no answer within {CHECK_TIMEOUT_SECONDS:g} seconds")
        try:
            with gevent.Timeout(CHECK_TIMEOUT_SECONDS, too_late):
                connection = self._upstream.connect()
                try:
                    status = self._ask_on(connection)
                finally:
                    connection.close()
        except ApiError as error:
            return error.message
        except (OSError, InvalidResponseError) as error:
            return str(error)
        return None if 200 <= status < 300 else f"status {status}"

    def _ask_on(self, connection: UpstreamConnection) -> int:
        """Return the status of the answer."""
        sock = connection.sock
        sock.settimeout(CHECK_TIMEOUT_SECONDS)
        sock.sendall(self._request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            piece = sock.recv(4096)
            if not piece or len(data) > MAX_HEAD_BYTES:
                raise InvalidResponseError("its answer is not HTTP")
            data += piece
        return parse_head(data[:end]).status
