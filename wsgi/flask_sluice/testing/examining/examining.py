"""Runs the client in each case."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

from flask_sluice.testing.examining.cases import CASES, TEXT, WHOLE, Case
from flask_sluice.testing.examining.verdict import Judged, Run, judge
from flask_sluice.testing.simulated.llm import SimulatedLlm, simulated_llm

_SHOWN_CHARACTERS = 2000


class ExaminationError(RuntimeError):
    """The client cannot be examined; the message says why and what to do."""


def examine_client(command: str, *, timeout_seconds: float) -> Iterator[Judged]:
    """Run the command once for each case, and yield what to think of it.

    command: for the shell; it finds the simulator by environment variables such as OPENAI_BASE_URL, asks it for an answer,
        and succeeds (exit code 0) if it takes that answer for whole
    timeout_seconds: how long one run may take

    Raises ExaminationError for a command that sends no request, or fails although nothing is wrong; RuntimeError where the
    simulator cannot be started.
    """
    with simulated_llm() as llm:
        whole = _run(command, WHOLE, llm, timeout_seconds)
        _check(whole)
        shows_text = whole.has_whole_text
        yield judge(WHOLE, whole, shows_text=shows_text)
        for case in CASES[1:]:
            yield judge(case, _run(command, case, llm, timeout_seconds), shows_text=shows_text)


def set_case(llm: SimulatedLlm, case: Case, **match: str) -> None:
    """Have the simulator answer as the case says. match: which requests; none: all"""
    options = {} if case.fault is None else {"fault": case.fault}
    rule = llm.answer(TEXT, **match, **options)
    if case.is_once:
        rule.then_answer(TEXT)


def _run(command: str, case: Case, llm: SimulatedLlm, timeout_seconds: float) -> Run:
    llm.reset()
    set_case(llm, case)
    began_at = time.monotonic()
    process = subprocess.Popen(  # noqa: S602 - the command is the user's own
        command,
        shell=True,
        env={**os.environ, **llm.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_seconds)
        exit_code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        exit_code = None
        _kill(process)
        output, _ = process.communicate()
    except BaseException:
        _kill(process)
        process.wait()
        raise
    seconds = time.monotonic() - began_at
    requests = llm.requests
    waits = tuple(each.waited_seconds for each in requests if each.waited_seconds is not None)
    return Run(exit_code, output.decode("utf-8", "replace"), seconds, len(requests), waits)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End the command and what it has started."""
    with suppress(ProcessLookupError):  # All of it may have ended at this moment.
        os.killpg(process.pid, signal.SIGKILL)


def _check(whole: Run) -> None:
    shown = f" It wrote:\n{whole.output[-_SHOWN_CHARACTERS:].strip()}" if whole.output else ""
    if whole.request_count == 0:
        raise ExaminationError(
            "the command sent no request to the simulator: its client has to take the server from OPENAI_BASE_URL, "
            f"ANTHROPIC_BASE_URL, OLLAMA_HOST or GOOGLE_GEMINI_BASE_URL.{shown}"
        )
    if whole.exit_code is None:
        raise ExaminationError(
            f"the command had not ended after {whole.seconds:.0f} s, although nothing is wrong; --timeout gives it longer.{shown}"
        )
    if whole.exit_code != 0:
        raise ExaminationError(
            f"the command fails (exit code {whole.exit_code}) although nothing is wrong.{shown}"
        )
