"""Writes to standard output and standard error what a model or a server said, which a terminal must not obey."""

import contextlib
import os
import sys

from flask_sluice.client.errors import one_line

_KEPT = "\t\n"
# Without escape sequences no text can move the cursor, set the title or the clipboard, or make the terminal answer.
# They are shown, not removed, because they may be what the question was about. Lone carriage returns and bidirectional
# controls would only hide text, and are removed.
_HARMLESS: dict[int, int | None] = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in _KEPT},
    0x7F: 0x2421,
    0x0D: None,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)]),
}


class OutputError(Exception):
    """Standard output was closed (the message is empty then), or cannot be written."""


class Output:
    """Standard output: a terminal gets harmless text, a file or a pipe the text as it is.

    ``write`` raises OutputError.
    """

    def __init__(self) -> None:
        if sys.stdout is None:  # The program was started with its output closed.
            raise OutputError
        # A character that the terminal's encoding cannot represent must not end the answer.
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
        self._is_terminal = sys.stdout.isatty()

    def write(self, text: str) -> None:
        """Write the text at once."""
        try:
            sys.stdout.write(harmless(text) if self._is_terminal else text)
            sys.stdout.flush()
        except OSError as error:
            # Python flushes standard output again when it exits, and would print a traceback.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            is_closed = isinstance(error, BrokenPipeError)
            raise OutputError("" if is_closed else f"standard output: {error.strerror}") from error


def harmless(text: str) -> str:
    """Return the text with its control characters shown as symbols, except tabs and line ends."""
    return text.translate(_HARMLESS)


def report(line: str) -> None:
    """Write a line to standard error, without control characters."""
    # If standard error is closed, there is no place left to say so.
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(one_line(line) + "\n")
