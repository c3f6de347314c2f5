"""The report as lines of text, printed as the checks are made."""

import io
import os
import sys
import textwrap
from typing import TextIO

from flask_sluice.doctor.report import Check, Report, Verdict

_COLOURS = {
    Verdict.OK: "32",
    Verdict.WARNING: "33",
    Verdict.FAULT: "31;1",
    Verdict.SKIPPED: "2",
}
_ERASE_LINE = "\r\x1b[K"
_NAME_WIDTH = 26
_MOST_REMEDIES = 3
_FULL_WIDTH = 110


class TextOutput:
    """Prints checks to a text stream, with colours and a progress line if that is a terminal.

    NO_COLOR (no-color.org) turns the colours off.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        if isinstance(self._stream, io.TextIOWrapper):
            self._stream.reconfigure(errors="replace")
        self._is_terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._has_colours = self._is_terminal and not os.environ.get("NO_COLOR")
        self._group = ""

    def begin(self, url: str) -> None:
        self._print(f"Examining {_shown(url)}")

    def note(self, sentence: str) -> None:
        """Print something that the user has to know before it happens."""
        self._print(sentence)

    def step(self, text: str) -> None:
        """Show what is being done, on a terminal; the next line takes its place."""
        if self._is_terminal:
            self._stream.write(f"{_ERASE_LINE}… {_shown(text)}")
            self._stream.flush()

    def check(self, check: Check) -> None:
        if check.group != self._group:
            self._group = check.group
            self._print(f"\n{check.group}")
        verdict = f"{check.verdict.value:8}"
        if self._has_colours:
            verdict = f"\x1b[{_COLOURS[check.verdict]}m{verdict}\x1b[0m"
        evidence = _wrapped(_shown(check.evidence), _NAME_WIDTH + 12)
        self._print(f"  {verdict}  {check.name:{_NAME_WIDTH}}{evidence}")
        for remedy in check.remedies[:_MOST_REMEDIES]:
            self._print(f"            change {remedy.where}:")
            self._print(textwrap.indent(remedy.line, " " * 16))
        if more := check.remedies[_MOST_REMEDIES:]:
            self._print(f"            {len(more)} more with --json or --html")

    def end(self, report: Report) -> None:
        """Print the report in one sentence."""
        self._print(f"\n{_shown(report.sentence)}")

    def _print(self, line: str) -> None:
        erase = _ERASE_LINE if self._is_terminal else ""
        self._stream.write(f"{erase}{line}\n")
        self._stream.flush()


def _shown(text: str) -> str:
    """The text with a symbol for each control character: a server must not steer the terminal."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _wrapped(text: str, indent: int) -> str:
    return textwrap.fill(text, _FULL_WIDTH - indent, break_long_words=False).replace(
        "\n", "\n" + " " * indent
    )
