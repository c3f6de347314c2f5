"""Asks a question and prints the answer as it comes: ``sluice ask``.

The answer goes to standard output; the time to the first token and the token rate, or what went wrong, go to standard
error in one line each. ``sluice ask --help`` lists the exit codes.
"""

from collections.abc import Iterator
from typing import Any

from flask_sluice.client.ask.meter import Meter
from flask_sluice.client.ask.output import Output, OutputError, report
from flask_sluice.client.client import SSEClient
from flask_sluice.client.completions import text_of
from flask_sluice.client.errors import ConnectError, ConnectTimeoutError, Ending, StreamError, quote
from flask_sluice.client.stream import SSEStream

_EXIT_USAGE = 2
_EXIT_NO_CONNECTION = 3
_EXIT_REFUSED = 4
_EXIT_NO_ANSWER = 5
_EXIT_INCOMPLETE = 6
# 128 and the number of the signal, as shells report it: SIGINT and SIGPIPE.
_EXIT_INTERRUPTED = 130
_EXIT_NO_OUTPUT = 141


class _NoAnswerError(Exception):
    """The response is not a chat completion."""

    def __init__(self, data: str) -> None:
        super().__init__(f"not a chat completion: {quote(data)}")


def ask(question: str, *, url: str, model: str) -> int:
    """Ask the server the question, print its answer, and return the exit code.

    url: the server, with or without its /v1
    """
    try:
        client = SSEClient(url)
    except ValueError as error:
        return _end(f"--url: {error}", _EXIT_USAGE)
    if not _is_utf8(question) or not _is_utf8(model):
        return _end("the question and the model's name must be UTF-8", _EXIT_USAGE)
    meter = Meter()
    try:
        output = Output()
        stream = _start(client, url, model, question)
        failure, code = _print_answer(stream, output, meter)
        if meter.tokens:
            output.write("\n")
    except OutputError as error:
        return _end(str(error), _EXIT_NO_OUTPUT)
    if meter.tokens or not failure:
        report(str(meter))
    return _end(failure, code)


def _is_utf8(argument: str) -> bool:
    # Python turns bytes of the command line that are not text into lone surrogates, which JSON cannot hold.
    return not any("\ud800" <= letter <= "\udfff" for letter in argument)


def _start(client: SSEClient, url: str, model: str, question: str) -> SSEStream:
    path = "/chat/completions" if url.rstrip("/").endswith("/v1") else "/v1/chat/completions"
    messages = [{"role": "user", "content": question}]
    return client.stream("POST", path, json={"model": model, "messages": messages, "stream": True})


def _print_answer(stream: SSEStream, output: Output, meter: Meter) -> tuple[str, int]:
    """Print the answer; return what went wrong ("" if nothing did) and the exit code."""
    try:
        with stream:
            for chunk in _chunks(stream):
                if text := text_of(chunk):
                    meter.count()
                    output.write(text)
    except KeyboardInterrupt:
        return "interrupted", _EXIT_INTERRUPTED
    except _NoAnswerError as error:
        return str(error), _EXIT_NO_ANSWER
    except StreamError as error:
        return f"{error} ({error.code})", _exit_code(error)
    return "", 0


def _chunks(stream: SSEStream) -> Iterator[Any]:
    """Yield the chunks of the answer, and skip other JSON between them, such as the usage that some servers send."""
    other, has_chunks = "", False
    for event in stream:
        try:
            document = event.json()
        except ValueError as error:
            raise _NoAnswerError(event.data) from error
        if isinstance(document, dict) and "choices" in document:
            has_chunks = True
            yield document
        else:
            other = other or event.data
    if other and not has_chunks:
        raise _NoAnswerError(other)


def _exit_code(error: StreamError) -> int:
    if isinstance(error, ConnectError | ConnectTimeoutError):
        return _EXIT_NO_CONNECTION
    by_ending = {Ending.REFUSED: _EXIT_REFUSED, Ending.UNREADABLE: _EXIT_NO_ANSWER}
    return by_ending.get(error.ending, _EXIT_INCOMPLETE)


def _end(failure: str, code: int) -> int:
    if failure:
        report(failure)
    return code
