"""The servers behind the relay: their connections, and which of them are well."""

import contextlib
import errno
import re
import socket
import ssl
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.connection import HTTPConnection

from flask_sluice.gateway.relay.http1_parser import Body
from flask_sluice.gateway.settings import SettingsError
from flask_sluice.stream.errors import ApiError

FAILURES_UNTIL_OUT = 3
OUT_SECONDS = 10.0
_NO_FILES_LEFT = (errno.EMFILE, errno.ENFILE)
_MAX_IDLE_CONNECTIONS = 256
_IDLE_SECONDS = 30.0
"""Shorter than most servers keep an idle connection; one that was closed earlier is found closed."""


class NoFilesLeftError(ApiError):
    """This process may open no more: the upstream has nothing to do with it."""

    def __init__(self) -> None:
        message = "the server can open no further connection; try again later"
        super().__init__(503, "overloaded", message, headers={"Retry-After": "1"})


class Connection:
    """One connection to an upstream, made by urllib3: TLS verified, through a proxy where the environment says."""

    __slots__ = (
        "_is_tls",
        "idle_since",
        "is_reused",
        "receive_now",
        "sock",
        "unread",
    )

    def __init__(self, connection: HTTPConnection) -> None:
        # All that is kept of it: what urllib3 knows besides is 0.6 KiB.
        sock = connection.sock
        assert sock is not None
        self.sock: socket.socket = sock
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        if isinstance(sock, ssl.SSLSocket):
            # An end without close_notify may be anybody's FIN: an error, not an end (RFC 8446, section 6.1).
            sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]
        # The inner one never blocks; gevent's own recv costs two calls more.
        inner = getattr(sock, "_sock", sock)
        self.receive_now = self.receive if self._is_tls else inner.recv
        self.is_reused = False
        self.idle_since = 0.0
        self.unread: Body | None = None
        """Of the answer before this one, the end of which had not come when it was finished."""

    def close(self) -> None:
        self.sock.close()

    def receive(self, size: int) -> bytes:
        """What has come, about ``size`` bytes at most; b"" at the end. With TLS all that is decrypted: the
        socket does not become readable for it again."""
        data = self.sock.recv(size)
        while self._is_tls and data and self.sock.pending():  # type: ignore[attr-defined]
            data += self.sock.recv(size)
        return data

    def is_usable(self) -> bool:
        """Whether it is open, and nothing but the end of the last answer has come since."""
        if time.monotonic() - self.idle_since > _IDLE_SECONDS:
            return False
        self.sock.settimeout(0)
        try:
            data = self.sock.recv(4096)
        except (BlockingIOError, ssl.SSLWantReadError):
            data = None
        except OSError:
            return False
        if data is None:
            return self.unread is None
        unread, self.unread = self.unread, None
        if unread is None or not data or unread.is_complete:
            return False
        unread.feed(data)
        return unread.is_complete and not unread.is_broken


class Upstream:
    """One server. url: with its ``/v1``, as in the settings.

    errors: requests that it did not answer, or refused, by the error's code or the status
    failovers: requests that went on to another after it had failed. Both are counted until somebody takes them
    """

    def __init__(self, url: str, connect_timeout_seconds: float) -> None:
        parts = urlsplit(url)
        self.url = url
        self.host = parts.netloc.rpartition("@")[2]
        self.label = self.host
        timeout = urllib3.Timeout(connect=connect_timeout_seconds)
        proxy = proxy_for(url)
        self._address = _address_of(proxy or url)
        # One for all connections: urllib3 would read the system's certificates anew for each, 25 ms in which
        # every other stream stands still.
        tls = _tls_context() if parts.scheme == "https" else None
        manager = (
            urllib3.ProxyManager(
                proxy, timeout=timeout, proxy_headers=_credentials_of(proxy), ssl_context=tls
            )
            if proxy
            else urllib3.PoolManager(timeout=timeout, ssl_context=tls)
        )
        self._pool = manager.connection_from_url(url)
        self._tunnels = proxy is not None and parts.scheme == "https"
        # A proxy that forwards plain HTTP wants the whole URL (RFC 9112, section 3.2.2).
        forwards = proxy is not None and parts.scheme == "http"
        self.target = url if forwards else parts.path
        self.proxy_headers = dict(self._pool.proxy_headers or {}) if forwards else {}
        self._idle: list[Connection] = []
        self._failures = 0
        self._out_until = 0.0
        self._is_on_trial = False
        self.errors: Counter[str] = Counter()
        self.failovers = 0

    # Connections.

    def idle_connection(self) -> Connection | None:
        """One that is open and was used before; the newest, so that the others may grow old and go."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                connection.is_reused = True
                return connection
            connection.close()
        return None

    def connect(self) -> Connection:
        """A new one. Raises ApiError ``upstream_unreachable``, or NoFilesLeftError."""
        connection = self._pool._new_conn()
        try:
            if self._tunnels:
                self._pool._prepare_proxy(connection)
            else:
                connection.connect()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            connection.close()
            if getattr(error.__cause__ or error, "errno", None) in _NO_FILES_LEFT:
                raise NoFilesLeftError from error
            raise ApiError(
                502,
                "upstream_unreachable",
                f"there is no connection to the upstream: {_reason(error)}",
            ) from error
        assert isinstance(connection, HTTPConnection)
        return Connection(connection)

    def release(self, connection: Connection, unread: Body | None) -> None:
        """Its answer is finished; ``unread``: but for the end of its framing."""
        if len(self._idle) >= _MAX_IDLE_CONNECTIONS:
            connection.close()
            return
        connection.unread = unread
        connection.idle_since = time.monotonic()
        self._idle.append(connection)

    # Health.

    @property
    def has_failed(self) -> bool:
        """So often running that it is left alone, or tried with one request at a time."""
        return self._failures >= FAILURES_UNTIL_OUT

    def is_out(self, now: float) -> bool:
        return self.has_failed and (now < self._out_until or self._is_on_trial)

    def begin(self) -> None:
        self._is_on_trial = self.has_failed

    def succeeded(self) -> None:
        self._failures = 0
        self._is_on_trial = False

    def failed(self, now: float) -> None:
        self._failures += 1
        self._is_on_trial = False
        self._out_until = now + OUT_SECONDS

    def given_up(self) -> None:
        """The client left before it was known: neither."""
        self._is_on_trial = False

    def accepts_connections(self, timeout_seconds: float) -> bool:
        """Whether it, or the proxy on the way to it, takes one."""
        with contextlib.suppress(OSError), socket.create_connection(self._address, timeout_seconds):
            return True
        return False


class Upstreams:
    """Which upstream is asked next: round robin over those that are well."""

    def __init__(
        self, upstreams: list[Upstream], now: Callable[[], float] = time.monotonic
    ) -> None:
        self.all = upstreams
        self._now = now
        self._next = 0

    def choose(self, tried: list[Upstream]) -> Upstream | None:
        """One that this request has not tried; None if it has tried all that may be.

        One that has failed three times running is left alone for ten seconds and then tried with one
        request. If all are out there is nothing to lose, and they are tried as if none were.
        """
        left = [upstream for upstream in self._in_turn() if upstream not in tried]
        well = [upstream for upstream in left if not upstream.is_out(self._now())]
        if not well and all(upstream.is_out(self._now()) for upstream in self.all):
            well = left
        return well[0] if well else None

    def _in_turn(self) -> list[Upstream]:
        self._next = (self._next + 1) % len(self.all)
        return self.all[self._next :] + self.all[: self._next]


def proxy_for(url: str) -> str | None:
    """The proxy on the way to ``url``, as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say; None: none.

    Raises SettingsError for one that cannot be used.
    """
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    # TLS to the proxy would hold bytes back that nobody sees come.
    if not proxy.startswith("http://"):
        kind = proxy.partition("://")[0]
        raise SettingsError(
            f"{parts.scheme}_proxy: got a proxy of the kind {kind}://, takes http://HOST:PORT"
        )
    return proxy


def _tls_context() -> ssl.SSLContext:
    context = urllib3.util.create_urllib3_context()
    context.load_default_certs()
    return context


def _address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]


def _credentials_of(proxy: str) -> dict[str, str]:
    """urllib3 does not send by itself what a proxy's URL says of user and password."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return dict(urllib3.make_headers(proxy_basic_auth=credentials))


def _reason(error: Exception) -> str:
    """Without the connection object with which urllib3 begins its messages."""
    message = error.args[-1] if error.args else error
    return re.sub(r"^\w+\(.*?\): ", "", str(message)) or type(error).__name__
