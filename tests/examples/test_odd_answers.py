"""The examples for Python, against a server whose answers differ from OpenAI's as those of real servers do."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.server.raw_upstream import Handler, RawUpstream, sends, streams, whole
from tests.support.odd_answers import DONE, ODD_CHUNKS, SPOKEN
from tests.support.readme import Example, examples
from tests.support.server import ROOT

pytestmark = pytest.mark.slow

ADDRESS = "localhost:8080"
EXAMPLES = [
    example
    for example in examples("python")
    # The doctor examines a server, and prints no answer of it.
    if ADDRESS in example.code and example.page != "docs/doctor.md"
]
# With callbacks the failure is printed, and OpenAI's client does not tell a cut answer from a whole one.
RAISES = [
    example
    for example in EXAMPLES
    if "post_stream" not in example.code and "import OpenAI" not in example.code
]
JSON_ANSWER = whole(
    json.dumps(
        {"choices": [{"message": {"content": [{"type": "text", "text": SPOKEN}]}}], "error": None}
    ).encode()
)


def answers(*writes: bytes) -> Handler:
    """Stream where the request asks for it."""
    stream, document = streams(*writes), sends(JSON_ANSWER)

    def handler(sock, request):
        is_stream = b'"stream":true' in request.replace(b" ", b"")
        (stream if is_stream else document)(sock, request)

    return handler


@pytest.fixture
def server() -> Iterator[RawUpstream]:
    with RawUpstream() as server:
        yield server


def run(example: Example, server: RawUpstream) -> subprocess.CompletedProcess[str]:
    program = example.code.replace(ADDRESS, server.host)
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize("end", [[DONE], []], ids=["with-done", "without-done"])
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_prints_the_answer_of_a_server_that_differs(server, example, end):
    server.handler = answers(*ODD_CHUNKS, *end)
    ended = run(example, server)
    assert ended.returncode == 0, ended.stderr
    if "post_stream" in example.code:
        assert "closed: complete" in ended.stdout
    else:
        assert SPOKEN in ended.stdout
        assert "thinking" not in ended.stdout


@pytest.mark.parametrize("example", RAISES, ids=str)
def test_an_example_fails_with_an_answer_that_is_cut_off(server, example):
    server.handler = answers(*ODD_CHUNKS[:-2])
    ended = run(example, server)
    assert ended.returncode == 1
    assert "cut off" in ended.stderr


@pytest.mark.parametrize("error", [{"message": "out of memory"}, "out of memory"])
@pytest.mark.parametrize("example", RAISES, ids=str)
def test_an_example_fails_with_the_error_that_the_server_sends(server, example, error):
    chunk = b"data: %s\n\n" % json.dumps({"error": error}).encode()
    server.handler = answers(*ODD_CHUNKS[:-2], chunk, DONE)
    ended = run(example, server)
    assert ended.returncode == 1
    assert "out of memory" in ended.stderr
