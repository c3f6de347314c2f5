"""The servers behind the relay, and which of them is asked next."""

import time
from collections import Counter
from collections.abc import Callable, Iterable

from flask_sluice.gateway.relay.address import UpstreamAddress
from flask_sluice.gateway.relay.connection import UpstreamConnection, connect
from flask_sluice.gateway.relay.connection_pool import ConnectionPool
from flask_sluice.gateway.relay.health.health import Health
from flask_sluice.gateway.relay.held_bytes import MAX_EVENT_BYTES, HeldBytes


class Upstream:
    """One server.

    label: names it in metrics and in the log
    held: counts what the worker holds of unfinished events, of all upstreams together
    errors: counts requests that it did not answer, or refused, by the error's code or the status
    failovers: counts requests that went on to another upstream after this one had failed. The metrics take both counts
        away from time to time
    """

    def __init__(
        self, url: str, connect_timeout_seconds: float, held: HeldBytes | None = None
    ) -> None:
        self.address = UpstreamAddress(url)
        self.label = self.address.host
        self.pool = ConnectionPool()
        self.held = held or HeldBytes(MAX_EVENT_BYTES)
        self.health = Health()
        self.errors: Counter[str] = Counter()
        self.failovers = 0
        self._connect_timeout_seconds = connect_timeout_seconds

    @property
    def url(self) -> str:
        return self.address.url

    def is_out(self, now: float) -> bool:
        """Whether no request is to be sent to it at present. now: monotonic seconds"""
        return self.health.is_out(now)

    def problem(self, now: float) -> str | None:
        """Why no request is to be sent to it at present; None if requests are sent. now: monotonic seconds"""
        return self.health.problem(now)

    def connect(self) -> UpstreamConnection:
        """Open a connection; see ``connection.connect``."""
        return connect(self.address, self._connect_timeout_seconds)

    def accepts_connections(self, timeout_seconds: float) -> bool:
        return self.address.accepts_connections(timeout_seconds)


class Upstreams:
    """Chooses the upstream of each request: round robin over those that do not keep failing.

    now: the clock, in monotonic seconds
    """

    def __init__(
        self, upstreams: list[Upstream], now: Callable[[], float] = time.monotonic
    ) -> None:
        self.all = upstreams
        self._now = now
        self._next = 0

    @classmethod
    def at(
        cls,
        urls: Iterable[str],
        connect_timeout_seconds: float,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> "Upstreams":
        """Return the upstreams at these URLs.

        Each is labelled with its host, or with its URL where several are on one host: they would share their metrics.
        """
        held = HeldBytes(max_event_bytes)
        upstreams = [Upstream(url, connect_timeout_seconds, held) for url in urls]
        hosts = Counter(upstream.address.host for upstream in upstreams)
        for upstream in upstreams:
            if hosts[upstream.address.host] > 1:
                upstream.label = upstream.url
        return cls(upstreams)

    def choose(self, tried: list[Upstream]) -> Upstream | None:
        """Return an upstream that this request has not tried, None if no further one is to be tried.

        Upstreams that are out are left alone; if all are out there is nothing to lose, and they are tried as if none
        were.
        """
        self._next = (self._next + 1) % len(self.all)
        in_turn = self.all[self._next :] + self.all[: self._next]
        now = self._now()
        left = [upstream for upstream in in_turn if upstream not in tried]
        for upstream in left:
            if not upstream.health.is_out(now):
                return upstream
        if left and all(upstream.health.is_out(now) for upstream in self.all):
            return left[0]
        return None
