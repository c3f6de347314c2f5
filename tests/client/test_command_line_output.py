"""``sluice ask``: answers that differ from OpenAI's, and outputs that are not a patient UTF-8 pipe."""

import json
import os
import re

import pytest

from flask_sluice.client.ask.output import harmless
from tests.client.answers import DONE, start_command
from tests.server.raw_upstream import sends, streams, whole
from tests.support.odd_answers import ODD_CHUNKS, SPOKEN

ESCAPES = "\x1b[2J\x1b]0;title\x07\x1b]52;c;cm0=\x1b\\\x9b31m\r\x08\x7f\u202eabc\u2066\tend"


def says(text: str) -> bytes:
    return b"data: %s\n\n" % json.dumps({"choices": [{"delta": {"content": text}}]}).encode()


def ended(process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=50)
    return process.returncode, out, err


# Answers of servers that differ from OpenAI's.


@pytest.mark.parametrize("end", [[DONE], []], ids=["with-done", "without-done"])
def test_the_answer_of_a_server_that_differs_is_printed(server, run, end):
    server.handler = streams(*ODD_CHUNKS, *end)
    code, out, err = run("--url", server.url, "?")
    assert (code, out) == (0, f"{SPOKEN}\n"), err


@pytest.mark.parametrize("number", range(len(ODD_CHUNKS)))
def test_each_chunk_is_no_failure_by_itself(server, run, number):
    server.handler = streams(says("a"), ODD_CHUNKS[number], DONE)
    code, out, _ = run("--url", server.url, "?")
    assert (code, out[0]) == (0, "a")


@pytest.mark.parametrize(
    "message", [{"content": None}, {"content": None, "refusal": "no"}, {"content": ["a", {}]}, None]
)
def test_a_whole_answer_may_be_without_text(server, run, message):
    body = json.dumps({"choices": [{"message": message}], "error": None}).encode()
    server.handler = sends(whole(body))
    code, out, _ = run("--url", server.url, "?")
    assert code == 0
    assert out in ("", "no\n", "a\n")


def test_a_refusal_of_the_model_is_printed(server, run):
    refusal = {"choices": [{"delta": {"content": None, "refusal": "I cannot"}}]}
    server.handler = streams(b"data: %s\n\n" % json.dumps(refusal).encode(), DONE)
    assert run("--url", server.url, "?")[:2] == (0, "I cannot\n")


# Terminals.


def test_a_terminal_gets_no_control_characters(server):
    server.handler = streams(*(says(letter) for letter in ESCAPES), DONE)
    shown = shown_on_a_terminal(start_on_a_terminal(server))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert shown.startswith("\u241b[2J\u241b]0;title\u2407")
    assert shown.endswith("abc\tend\n")


def start_on_a_terminal(server):
    terminal, output = os.openpty()
    process = start_command("--url", server.url, "?", stdout=output)
    os.close(output)
    return process, terminal


def shown_on_a_terminal(started) -> str:
    process, terminal = started
    shown = b""
    with process, os.fdopen(terminal, "rb", 0) as screen:
        try:
            while piece := screen.read(4096):
                shown += piece
        except OSError:  # Linux says so when the last writer has closed a terminal.
            pass
        assert process.wait(50) == 0
    # The terminal adds a carriage return to each line end.
    return shown.decode().replace("\r\n", "\n")


def test_a_pipe_gets_the_text_as_it_is(server):
    server.handler = streams(says(ESCAPES.replace("\r", "")), DONE)
    code, out, _ = ended(start_command("--url", server.url, "?"))
    assert (code, out) == (0, ESCAPES.replace("\r", "") + "\n")


def test_text_and_line_ends_are_shown_as_they_are():
    text = "Gr\u00fc\u00dfe,\n\t\U0001f30a \u05e9\u05dc\u05d5\u05dd"
    assert harmless(text) == text


@pytest.mark.parametrize(
    "error", [{"message": ESCAPES, "code": ESCAPES}, ESCAPES], ids=["object", "text"]
)
def test_what_an_error_says_is_without_control_characters(server, run, error):
    server.handler = streams(b"data: %s\n\n" % json.dumps({"error": error}).encode())
    code, out, err = run("--url", server.url, "?")
    assert (code, out) == (6, "")
    assert err.endswith("\n")
    assert all(letter.isprintable() for letter in err.removesuffix("\n"))


def test_the_reason_of_a_refusal_is_without_control_characters(server, run):
    server.handler = sends(whole(b"\x1b[2J", "500 \x1b]0;x\x07", Content_Type="text/plain"))
    code, _, err = run("--url", server.url, "?")
    assert code == 4
    assert err.removesuffix("\n").isprintable()


# Outputs.


def test_an_output_that_is_not_utf_8_gets_question_marks(server):
    server.handler = streams(says("a\u00e9\U0001f30a\x1b"), DONE)
    code, out, _ = ended(start_command("--url", server.url, "?", PYTHONIOENCODING="ascii"))
    assert (code, out) == (0, "a??\x1b\n")


def test_an_error_on_a_terminal_that_is_not_utf_8_is_one_line(server):
    server.handler = sends(whole('{"error": "\u00e9"}'.encode(), "500 Oh"))
    code, _, err = ended(start_command("--url", server.url, "?", PYTHONIOENCODING="ascii"))
    assert (code, err) == (4, "500 Oh: \\xe9 (status_500)\n")


def test_a_full_disk_is_one_line(server):
    server.handler = streams(says("a"), DONE)
    with open("/dev/full", "w") as full:
        code, _, err = ended(start_command("--url", server.url, "?", stdout=full.fileno()))
    assert (code, err) == (141, "standard output: No space left on device\n")


def test_without_standard_output_nothing_is_asked(server, run, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    assert run("--url", server.url, "?")[0] == 141
    assert server.requests == []


def test_a_question_that_is_not_utf_8_is_a_wrong_argument(server):
    code, _, err = ended(start_command("--url", server.url, b"caf\xe9"))
    assert (code, err) == (2, "the question and the model's name must be UTF-8\n")
