"""Log lines that are one JSON object each."""

import json
import logging
import time
from functools import lru_cache

import msgspec


class LogLine:
    """A message for a logger; its text is a JSON object in ASCII without control characters.

    So a client whose input is in a field cannot begin another line, for a reader that takes U+2028 or U+0085 for the end
    of a line either, and cannot send control sequences to the terminal that shows the log.
    """

    __slots__ = ("_fields",)

    def __init__(self, message: str, fields: dict[str, object]) -> None:
        now = time.time()
        at = f"{_format_second(int(now))}.{int(now % 1 * 1000):03}+00:00"
        self._fields = {"time": at, "message": message, **fields}

    def __str__(self) -> str:
        try:
            line = msgspec.json.encode(self._fields).decode()
        except UnicodeEncodeError:  # A field has half of a surrogate pair.
            line = ""
        if line and line.isascii() and "\x7f" not in line:
            return line
        # json.dumps escapes everything that is not ASCII, but takes three times as long as msgspec.
        return json.dumps(self._fields, separators=(",", ":")).replace("\x7f", "\\u007f")


# Cached, since a datetime's isoformat() for each line costs five times as much.
@lru_cache(maxsize=1)
def _format_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class LogFormatter(logging.Formatter):
    """Formats every record as one line of JSON, including its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, LogLine):
            return str(record.msg)
        fields: dict[str, object] = {"level": record.levelname.lower(), "logger": record.name}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return str(LogLine(record.getMessage(), fields))
