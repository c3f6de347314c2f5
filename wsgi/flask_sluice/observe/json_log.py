"""Lines of the log: one JSON object each."""

import json
import logging
import time
from functools import lru_cache

import msgspec


class LogLine:
    """A message for a logger; its text is a JSON object, in ASCII and without any control character.

    So nobody whose input is in it can begin another line (also for those who take U+2028 or U+0085 for a line's
    end), or speak to the terminal that shows it.
    """

    __slots__ = ("_fields",)

    def __init__(self, message: str, fields: dict[str, object]) -> None:
        now = time.time()
        at = f"{_second(int(now))}.{int(now % 1 * 1000):03}+00:00"
        self._fields = {"time": at, "message": message, **fields}

    def __str__(self) -> str:
        try:
            line = msgspec.json.encode(self._fields).decode()
        except UnicodeEncodeError:  # Half of a surrogate pair.
            line = ""
        if line and line.isascii() and "\x7f" not in line:
            return line
        # Three times slower than msgspec, and escapes all that is not ASCII.
        return json.dumps(self._fields, separators=(",", ":")).replace("\x7f", "\\u007f")


# A datetime's ``isoformat`` is five times as dear.
@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class LogFormatter(logging.Formatter):
    """Makes every record a line of JSON, a traceback, too."""

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, LogLine):
            return str(record.msg)
        fields: dict[str, object] = {"level": record.levelname.lower(), "logger": record.name}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return str(LogLine(record.getMessage(), fields))
