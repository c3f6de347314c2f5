"""What the raw origin is told to do, in the query of the URL."""

from dataclasses import dataclass, fields, replace
from urllib.parse import parse_qsl, urlencode


@dataclass(frozen=True)
class Script:
    """Each field is an option of the query; what is left out makes a sound stream.

    Pace:
    events: how many, 0: until the reader leaves; interval, first: seconds between events, and before the first
    size: bytes of padding in each event; stamp: "sent_at" puts the Unix time in each event's data

    Fields:
    ids: "ascending", "text", "gaps", "duplicate", "descending" or "" for none; retry: the value of a field that is sent first
    terminal: the data of a last event of type "end", "" for none

    Silence:
    silence: seconds before the last event; heartbeat: seconds between the comments in it, 0: none
    heartbeat_form: "comment" (with its blank line), "line" (without one) or "event"

    Text:
    bom: how many byte order marks; newline: "lf", "crlf", "cr" or "mixed"
    odd: parts of ``odd_parts.PARTS`` behind the second event, with commas between
    last: "whole", or "open" without the blank line

    Writes:
    split: each write is cut into pieces of so many bytes; lump: so many bytes are gathered first
    whole: 1: all events are gathered; coding: "gzip" (flushed for each event), "gzip-held" or "deflate", for readers that
    accept it; forced: 1: for all

    HTTP:
    status, type, cache: the head; "" for no such header; header: further header lines, with "|" between
    version: "1.1" or "1.0"; framing: "chunked", "length", "close" or "twice" (two Transfer-Encoding lines)
    end: "proper", "fin", "rst", "half" (FIN in the middle of a chunk) or "stall" (nothing more, open)
    end_after: after how many events it ends so, -1: after the last; cors: a key of ``heads.CORS``, or ""

    Resuming:
    resume: Last-Event-ID is honoured ("exact"), "ignored", or the reader gets one event again ("repeat") or misses one ("skip")
    after_end: "204", "empty" (a stream without events) or "again" for a reader that has seen the last event

    Leaving and load:
    leaving: when the server sees that the reader has left: "at-once", "at-write" or "never"
    limit: how many streams run at once, 0: any number; shared: 1: one reader that does not read stops all

    Answers of APIs (``events`` of them for 64 tokens):
    done: how many [DONE]; malformed: the number of the event whose JSON is broken, 0: none
    error: after how many events the API's error comes, -1: never; finish: 0: no finish_reason
    refusal: a broken request is refused with "400", with "200", with an "event", or with "html"
    """

    events: int = 10
    interval: float = 0.03
    first: float = 0.0
    size: int = 0
    stamp: str = ""
    ids: str = ""
    retry: str = ""
    terminal: str = ""
    silence: float = 0.0
    heartbeat: float = 0.0
    heartbeat_form: str = "comment"
    bom: int = 0
    newline: str = "lf"
    odd: str = ""
    last: str = "whole"
    split: int = 0
    lump: int = 0
    whole: int = 0
    coding: str = ""
    forced: int = 0
    status: int = 200
    type: str = "text/event-stream"
    cache: str = "no-store"
    header: str = ""
    version: str = "1.1"
    framing: str = "chunked"
    end: str = "proper"
    end_after: int = -1
    cors: str = ""
    resume: str = "exact"
    after_end: str = "204"
    leaving: str = "at-once"
    limit: int = 0
    shared: int = 0
    done: int = 1
    malformed: int = 0
    error: int = -1
    finish: int = 1
    refusal: str = "400"

    @classmethod
    def of(cls, query: str) -> "Script":
        """Read the query. Raises ValueError for an option that does not exist, so that no misspelt stack passes for a sound one."""
        kinds = {field.name: type(field.default) for field in fields(cls)}
        given = dict(parse_qsl(query, keep_blank_values=True))
        if unknown := given.keys() - kinds.keys():
            raise ValueError(f"unknown options: {sorted(unknown)}")
        return replace(cls(), **{name: kinds[name](value) for name, value in given.items()})


def path(route: str = "/events", **options: object) -> str:
    """Return the path and query of a URL. options: fields of Script"""
    query = urlencode(options)
    Script.of(query)
    return f"{route}?{query}" if query else route
