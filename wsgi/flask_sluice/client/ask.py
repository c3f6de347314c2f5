"""Asks a question and prints the answer as it comes: python -m flask_sluice.client [--url URL] [--model M] "question"

The answer goes to standard output; its first-token time and rate, or what went wrong, to standard error,
each in one line. Exit codes: 0 the whole answer, 2 wrong arguments, 3 no connection, 4 refused by the server,
5 something else than an answer (such as HTML), 6 not the whole answer, 130 Ctrl-C, 141 standard output was
closed.
"""

import argparse
import os
import sys
import time

import msgspec

from flask_sluice.client.client import SSEClient
from flask_sluice.client.errors import ConnectError, ConnectTimeoutError, Ending, StreamError, quote
from flask_sluice.client.event import NOT_JSON, StreamEvent

_DEFAULT_URL = "http://127.0.0.1:8080"
_EXIT_NO_CONNECTION = 3
_EXIT_REFUSED = 4
_EXIT_NO_ANSWER = 5
_EXIT_INCOMPLETE = 6
# As shells have it: 128 and the signal, SIGINT and SIGPIPE.
_EXIT_INTERRUPTED = 130
_EXIT_NOBODY_READS = 141


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Message | None = None
    message: _Message | None = None
    """In place of ``delta``, from a server that does not stream."""


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


class _NoAnswerError(Exception):
    """What came is no chat completion."""


class _Meter:
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


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flask_sluice.client", description="Asks a question."
    )
    parser.add_argument("question")
    parser.add_argument("--url", default=_DEFAULT_URL, help="the server (default: %(default)s)")
    parser.add_argument("--model", default="any", help="the model's name (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        client = SSEClient(arguments.url)
    except ValueError as error:
        return _report(f"--url: {error}", 2)
    # A letter that the terminal's encoding does not have must not end the answer.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    path = (
        "/chat/completions" if arguments.url.rstrip("/").endswith("/v1") else "/v1/chat/completions"
    )
    meter = _Meter()
    try:
        failure, code = _ask(client, path, arguments.model, arguments.question, meter)
        if meter.tokens:
            sys.stdout.write("\n")
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would try again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_NOBODY_READS
    if meter.tokens or not failure:
        _report(str(meter), code)
    return _report(failure, code) if failure else code


def _ask(client: SSEClient, path: str, model: str, question: str, meter: _Meter) -> tuple[str, int]:
    """Prints the answer; returns what went wrong, "" if nothing did, and the exit code."""
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


if __name__ == "__main__":
    sys.exit(main())
