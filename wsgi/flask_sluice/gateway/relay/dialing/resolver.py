"""The addresses behind one name, looked up again as they change."""

import ipaddress
import itertools
import random
import socket
import time
from collections.abc import Callable
from typing import Any

import gevent

FRESH_SECONDS = 1.0
"""Connections that are opened at about the same time share one lookup."""
PATIENCE_SECONDS = 1.0
"""How long a lookup is waited for where an earlier one has found addresses."""
MAX_STALE_SECONDS = 600.0
"""How long addresses are used while name servers fail; they may belong to another machine some day."""

SocketAddress = tuple[socket.AddressFamily, Any]
"""A family, and what ``connect`` takes in it."""

_NOT_THERE = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class Resolver:
    """Looks up one name. A lookup that hangs takes one of gevent's ten threads, however many wait for it.

    host: a name, or an IP address, which needs no lookup
    now: the clock, in monotonic seconds
    """

    def __init__(self, host: str, port: int, now: Callable[[], float] = time.monotonic) -> None:
        self._host = host
        self._port = port
        self._now = now
        self._lookup: gevent.Greenlet[[], None] | None = None
        self._lookup_began_at = 0.0
        self._error: Exception | None = None
        self._found: list[SocketAddress] = []
        self._found_at = -MAX_STALE_SECONDS
        # Several workers do not begin with the same address.
        self._turn = random.randrange(1024)
        numeric = _numeric(host, port)
        if numeric is not None:
            self._found = [numeric]
            self._found_at = float("inf")

    def addresses(self, timeout_seconds: float) -> list[SocketAddress]:
        """Return the addresses in the order in which they are to be tried, another one first each time. Blocks.

        Raises OSError where there are none within the time.
        """
        if self._now() - self._found_at >= FRESH_SECONDS:
            self._wait_for_lookup(timeout_seconds)
        if not self._has_usable:
            message = f"its name was not resolved within {timeout_seconds:g} seconds"
            raise self._error or TimeoutError(message)
        self._turn += 1
        return _in_turn(self._found, self._turn)

    @property
    def _has_usable(self) -> bool:
        return bool(self._found) and self._now() - self._found_at < MAX_STALE_SECONDS

    def _wait_for_lookup(self, timeout_seconds: float) -> None:
        if self._lookup is None:
            self._error = None
            self._lookup_began_at = self._now()
            # In a greenlet of its own: the one that waits here ends early if its client leaves.
            self._lookup = gevent.spawn(self._look_up)
        if self._has_usable:
            patience_ends_at = self._lookup_began_at + PATIENCE_SECONDS
            timeout_seconds = min(timeout_seconds, max(patience_ends_at - self._now(), 0))
        self._lookup.join(timeout_seconds)

    def _look_up(self) -> None:
        try:
            infos = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self._found = list(dict.fromkeys((info[0], info[4]) for info in infos))
            self._found_at = self._now()
        except socket.gaierror as error:
            self._error = error
            if error.errno in _NOT_THERE:
                self._found = []
        except UnicodeError:
            self._error = OSError("its name is not one that can be looked up")
        except OSError as error:
            self._error = error
        finally:
            self._lookup = None


def _numeric(host: str, port: int) -> SocketAddress | None:
    """Return an IP address in the form that sockets take; None for a name, or one of a single interface."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return socket.AF_INET, (host, port)
    return None if address.scope_id else (socket.AF_INET6, (host, port, 0, 0))


def _in_turn(addresses: list[SocketAddress], turn: int) -> list[SocketAddress]:
    """Return the addresses with families alternating (RFC 8305, section 4), and within each family in turn.

    The first family stays the first: getaddrinfo knows which one is likely to have a route.
    """
    families = dict.fromkeys(family for family, _ in addresses)
    rotated = []
    for family in families:
        own = [address for address in addresses if address[0] == family]
        begin = turn % len(own)
        rotated.append(own[begin:] + own[:begin])
    return [
        address
        for addresses_in_turn in itertools.zip_longest(*rotated)
        for address in addresses_in_turn
        if address is not None
    ]
