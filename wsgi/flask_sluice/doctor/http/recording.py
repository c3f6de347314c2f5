"""What came back for one request, with times."""

import enum
import zlib
from dataclasses import dataclass, field

from flask_sluice.doctor.http.request import HttpRequest

MOST_BYTES = 8 * 1024 * 1024
"""A stream shows its habits in less, and one that never stops must not fill the memory."""


class Ending(enum.Enum):
    """How an answer ended, as its reader sees it."""

    OPEN = "the doctor stopped reading"
    COMPLETE = "the body ended properly"
    UNMARKED = "the connection was closed, which is the only end that this body has"
    TRUNCATED = "the connection was closed (FIN) before the body had ended"
    RESET = "the connection was reset (RST)"
    STREAM_RESET = "the HTTP/2 stream was reset (RST_STREAM)"
    GOAWAY = "the HTTP/2 connection was ended (GOAWAY)"
    NOT_HTTP = "the bytes are not HTTP"
    SILENT = "no answer came in time"


@dataclass(frozen=True)
class Arrival:
    """Bytes of the body that came with one read from the socket.

    seconds: since the request was sent
    """

    seconds: float
    data: bytes


@dataclass
class Recording:
    """One answer.

    All times are seconds since the last byte of the request was sent.

    sent_at: when the request was sent, as Unix time
    http_version: "1.0", "1.1" or "2"
    headers: in the order and case in which they came
    arrivals: the body without its transfer coding, and with its content coding
    connect_seconds: what opening the connection took, TLS included
    ended_seconds: when ``ending`` was seen
    read_seconds: until when it was read, whether or not anything came
    detail: more about the ending, such as an error's text or HTTP/2's error code
    interim: the status codes of interim responses (103)
    decoded: the body without its content coding, at the times when a reader could have the bytes. A coding that the
        standard library cannot undo (br, zstd), and bytes that are not what the header says, stay as they are
    decoding_problem: why they stay; "" if they do not
    """

    request: HttpRequest
    connect_seconds: float = 0.0
    sent_at: float = 0.0
    status: int | None = None
    http_version: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    head_seconds: float | None = None
    arrivals: list[Arrival] = field(default_factory=list)
    ending: Ending = Ending.OPEN
    ended_seconds: float | None = None
    read_seconds: float = 0.0
    detail: str = ""
    interim: list[int] = field(default_factory=list)
    decoded: list[Arrival] = field(default_factory=list)
    decoding_problem: str = ""
    _decoder: "zlib._Decompress | None" = None
    _byte_count: int = 0

    def add(self, seconds: float, data: bytes) -> None:
        """Add bytes of the body that came with one read."""
        self.arrivals.append(Arrival(seconds, data))
        if plain := self._decode(data):
            self.decoded.append(Arrival(seconds, plain))
            self._byte_count += len(plain)

    @property
    def is_full(self) -> bool:
        """Whether so much of the body has come that no more is to be read."""
        return self._byte_count >= MOST_BYTES

    def _decode(self, data: bytes) -> bytes:
        if not self.content_coding or self.decoding_problem:
            return data
        if self.content_coding not in ("gzip", "x-gzip", "deflate"):
            self.decoding_problem = (
                f"the body has the coding {self.content_coding}, which the request did not accept"
            )
            return data
        if self._decoder is None:
            self._decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            return self._decoder.decompress(data, MOST_BYTES)
        except zlib.error as error:
            self.decoding_problem = f"the body is not {self.content_coding}: {error}"
            return data

    def header(self, name: str) -> str | None:
        """The value of the header; several are joined by a comma, as RFC 9110 (section 5.3) allows. None if it is absent."""
        values = self.header_values(name)
        return ", ".join(values) if values else None

    def header_values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def media_type(self) -> str:
        """The type without its parameters, in lower case; "" if there is none."""
        return (self.header("Content-Type") or "").split(";")[0].strip().lower()

    @property
    def is_event_stream(self) -> bool:
        return self.media_type == "text/event-stream"

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def content_coding(self) -> str:
        """The coding that the body has, such as "gzip"; "" if it has none."""
        coding = (self.header("Content-Encoding") or "").strip().lower()
        return "" if coding == "identity" else coding

    @property
    def first_byte_seconds(self) -> float | None:
        return self.arrivals[0].seconds if self.arrivals else None

    @property
    def last_byte_seconds(self) -> float | None:
        return self.arrivals[-1].seconds if self.arrivals else None

    @property
    def body(self) -> bytes:
        """All of the body that has come, without its content coding."""
        return b"".join(arrival.data for arrival in self.decoded)

    @property
    def has_proper_end(self) -> bool:
        """Whether its reader takes the body for complete."""
        return self.ending in (Ending.COMPLETE, Ending.UNMARKED)

    @property
    def has_ended(self) -> bool:
        return self.ending is not Ending.OPEN

    def end(self, ending: Ending, seconds: float, detail: str = "") -> None:
        self.ending, self.ended_seconds, self.detail = ending, seconds, detail
