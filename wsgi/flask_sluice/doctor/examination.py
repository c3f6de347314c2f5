"""What the checks of one examination share: the options, the first stream, and the way to send further requests."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from urllib.parse import urljoin, urlsplit

from flask_sluice.doctor.events import EventLog, take_apart
from flask_sluice.doctor.http.dialing import dial, tls_context
from flask_sluice.doctor.http.exchange import Exchange
from flask_sluice.doctor.http.recording import Recording
from flask_sluice.doctor.http.request import HttpRequest, checked_url
from flask_sluice.doctor.options import Depth, Options
from flask_sluice.doctor.presets.choosing import choose_preset
from flask_sluice.doctor.presets.preset import Preset

_ANSWER_SECONDS = 15.0
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_BOUNDED_SECONDS = 60.0


class Examination:
    """One examination. Its methods may be called by several threads.

    tell: is given, in words, what the examination does next
    """

    def __init__(self, options: Options, tell: Callable[[str], None]) -> None:
        self.options = options
        self.tell = tell
        self.request_count = 0
        self.redirects: list[str] = []
        self.streams_before: float | None = None
        """How many streams the server ran before the doctor's first one, says the gauge of the options; None: unknown."""
        self._own_tls = tls_context(options.cacert) if options.cacert else None
        self._lock = threading.Lock()
        self.preset: Preset = choose_preset(options, self.ask)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Reading the system's authorities takes up to 100 ms, which plain HTTP does not need.
        return self._own_tls or tls_context(None)

    @property
    def depth(self) -> Depth:
        return self.options.depth

    def open(
        self,
        request: HttpRequest,
        *,
        http2: bool | None = None,
        receive_buffer_bytes: int | None = None,
    ) -> Exchange:
        """Send a request on a new connection. Raises CannotConnectError.

        http2: None: as the options say
        receive_buffer_bytes: of the socket; None: the system's
        """
        with self._lock:
            self.request_count += 1
        http2 = self.options.http2 if http2 is None else http2
        tls = self._tls if request.is_secure else None
        dialed = dial(request, tls, http2=http2, receive_buffer_bytes=receive_buffer_bytes)
        return Exchange(request, dialed)

    def ask(self, request: HttpRequest, seconds: float = _ANSWER_SECONDS) -> Recording:
        """Send a request and read its answer for so long. Raises CannotConnectError."""
        with self.open(request) as exchange:
            return exchange.read(seconds, lambda answer: answer.is_event_stream)

    @cached_property
    def main(self) -> Recording:
        """The first stream, to its end or for as long as the options say. Raises CannotConnectError."""
        self.tell("reading the stream")
        request = self.preset.request()
        recording = self.record(request)
        while recording.status in _REDIRECTS and len(self.redirects) < _MOST_REDIRECTS:
            location = recording.header("Location")
            if not location:
                break
            request = redirected(request, location, recording.status)
            self.redirects.append(request.url)
            recording = self.record(request)
        if self.redirects:
            target = replace(
                self.preset.target, url=request.url, method=request.method, headers=request.headers
            )
            self.preset = replace(self.preset, target=target)
        return recording

    @cached_property
    def log(self) -> EventLog:
        """The lines and events of the first stream."""
        return take_apart(self.main)

    def direct_request(self) -> HttpRequest | None:
        """The request of the first stream, for the server of ``direct``; None without that option."""
        if self.options.direct is None:
            return None
        return replace(self.main.request, url=self.options.direct)

    def record(self, request: HttpRequest) -> Recording:
        """Record a stream as the first one is recorded. Raises CannotConnectError."""
        seconds = self.options.stream_seconds
        if self.preset.tokens_per_request and self.options.read_seconds is None:
            seconds = _BOUNDED_SECONDS
        with self.open(request) as exchange:
            exchange.read(self.options.head_seconds, lambda answer: answer.status is not None)
            return exchange.read(seconds)


def redirected(request: HttpRequest, location: str, status: int) -> HttpRequest:
    """The request that follows a redirect (RFC 9110, section 15.4), without secrets for another host."""
    url = checked_url(urljoin(request.url, location))
    if urlsplit(url).netloc != request.parts.netloc:
        request = request.with_headers(Authorization=None, Cookie=None, X_Api_Key=None)
    if status == 303 or (status in (301, 302) and request.method == "POST"):
        return replace(request, url=url, method="GET", body=None)
    return replace(request, url=url)
