"""Asks a question and prints the answer as it comes: ``sluice ask``.

The answer goes to standard output; the time to the first token and the token rate, or what went wrong, go to standard
error in one line each. ``sluice ask --help`` lists the exit codes.
"""

import os
import sys
import time

import msgspec

from flask_sluice.client.client import SSEClient
from flask_sluice.client.errors import ConnectError, ConnectTimeoutError, Ending, StreamError, quote
from flask_sluice.client.event import NOT_JSON, StreamEvent

_EXIT_USAGE = 2
_EXIT_NO_CONNECTION = 3
_EXIT_REFUSED = 4
_EXIT_NO_ANSWER = 5
_EXIT_INCOMPLETE = 6
# 128 and the number of the signal, as shells report it: SIGINT and SIGPIPE.
_EXIT_INTERRUPTED = 130
_EXIT_OUTPUT_CLOSED = 141


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Message | None = None
    message: _Message | None = None
    """Takes the place of ``delta`` in the answer of a server that does not stream."""


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


class _NoAnswerError(Exception):
    """The response is not a chat completion."""


class _Meter:
    """Measures the time to the first token and the token rate."""

    def __init__(self) -> None:
        self.tokens = 0
        self._started_at = self._first_at = self._last_at = time.monotonic()

    def count(self) -> None:
        self._last_at = time.monotonic()
        if not self.tokens:
            self._first_at = self._last_at
        self.tokens += 1

    def __str__(self) -> str:
        if not self.tokens:
            return "no tokens"
        seconds = self._last_at - self._first_at
        rate = f", {(self.tokens - 1) / seconds:.1f} tokens/s" if seconds else ""
        first_seconds = self._first_at - self._started_at
        tokens = "1 token" if self.tokens == 1 else f"{self.tokens} tokens"
        return f"first token after {first_seconds:.3f} s, {tokens}{rate}"


def ask(question: str, *, url: str, model: str) -> int:
    """Ask the server the question, print its answer, and return the exit code.

    url: the server, with or without its /v1
    """
    try:
        client = SSEClient(url)
    except ValueError as error:
        return _report(f"--url: {error}", _EXIT_USAGE)
    # A character that the terminal's encoding cannot represent must not end the answer.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    path = "/chat/completions" if url.rstrip("/").endswith("/v1") else "/v1/chat/completions"
    meter = _Meter()
    try:
        failure, code = _print_answer(client, path, model, question, meter)
        if meter.tokens:
            sys.stdout.write("\n")
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes standard output again when it exits, and would print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_OUTPUT_CLOSED
    if meter.tokens or not failure:
        _report(str(meter), code)
    return _report(failure, code) if failure else code


def _print_answer(
    client: SSEClient, path: str, model: str, question: str, meter: _Meter
) -> tuple[str, int]:
    """Print the answer; return what went wrong ("" if nothing did) and the exit code."""
    messages = [{"role": "user", "content": question}]
    body = {"model": model, "messages": messages, "stream": True}
    try:
        with client.stream("POST", path, json=body) as stream:
            for event in stream:
                if text := _text(event):
                    meter.count()
                    sys.stdout.write(text)
                    sys.stdout.flush()
    except KeyboardInterrupt:
        return "interrupted", _EXIT_INTERRUPTED
    except _NoAnswerError as error:
        return str(error), _EXIT_NO_ANSWER
    except StreamError as error:
        return f"{error} ({error.code})", _exit_code(error)
    return "", 0


def _text(event: StreamEvent) -> str:
    try:
        chunk = msgspec.json.decode(event.data, type=_Chunk)
    except NOT_JSON as error:
        raise _NoAnswerError(f"not a chat completion: {quote(event.data)}") from error
    messages = (choice.delta or choice.message for choice in chunk.choices)
    return "".join(message.content or "" for message in messages if message)


def _exit_code(error: StreamError) -> int:
    if isinstance(error, ConnectError | ConnectTimeoutError):
        return _EXIT_NO_CONNECTION
    by_ending = {Ending.REFUSED: _EXIT_REFUSED, Ending.UNREADABLE: _EXIT_NO_ANSWER}
    return by_ending.get(error.ending, _EXIT_INCOMPLETE)


def _report(line: str, code: int) -> int:
    sys.stderr.write(line + "\n")
    return code
