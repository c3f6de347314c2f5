"""Log lines are JSON, whatever is in their fields."""

import json

import pytest

from flask_sluice.observe.json_log import LogLine

HOSTILE = [
    "a\nb",
    "\r\x00\x1b[2J\x7f\x9b",
    "\u2028\u2029\x85",
    "\ud800",
    '"}{',
    "\N{GRINNING FACE}",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_log_line_is_one_printable_ascii_line_of_json(text):
    line = str(LogLine("m", {"field": text}))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["field"] == text
