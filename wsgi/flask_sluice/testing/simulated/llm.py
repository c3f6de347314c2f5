"""A language model for tests: a server on this machine, which answers as the test says."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from flask_sluice.testing.simulated.process import SimulatorProcess
from flask_sluice.testing.simulated.requests import LlmRequest, requests_of
from flask_sluice.testing.simulated.rules import (
    LlmRule,
    answer_fields,
    fault_fields,
    refusal_fields,
    split_match,
)

_KEY = "sk-simulated-llm"
_DEFAULTS = {"itl_ms": 0}
_POLL_SECONDS = 0.01


class SimulatedLlm:
    """A server that answers like a language model. ``simulated_llm`` starts one, and the fixture ``llm`` gives one.

    Without a rule it answers every request with a text about the prompt, the same each time, and without pauses.
    """

    def __init__(self, process: SimulatorProcess) -> None:
        self._process = process
        self._rule_count = 0
        self._set_defaults()

    @property
    def url(self) -> str:
        """The root of the server, without a slash at the end: for Anthropic's, Ollama's and Google's clients."""
        return f"http://127.0.0.1:{self._process.port}"

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI's clients: with ``/v1``."""
        return f"{self.url}/v1"

    @property
    def api_key(self) -> str:
        """A key for clients that want one; any other does as well."""
        return _KEY

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead the clients of the field to this server: for monkeypatch, or for another process."""
        return {
            "OPENAI_BASE_URL": self.openai_url,
            "OPENAI_API_BASE": self.openai_url,
            "OPENAI_API_KEY": _KEY,
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": _KEY,
            "OLLAMA_HOST": self.url,
            "GOOGLE_GEMINI_BASE_URL": self.url,
            "GEMINI_API_KEY": _KEY,
            "GOOGLE_API_KEY": _KEY,
        }

    @property
    def pid(self) -> int:
        """The process's."""
        return self._process.pid

    @property
    def log(self) -> str:
        """The end of what the server has logged: text."""
        return self._process.log

    def answer(self, text: str | None = None, **options: Any) -> LlmRule:
        """Answer the requests that fit, all of them if nothing says which. The rule that was given last is tried first.

        text: of the answer; None: one about the prompt
        options: those that tell the requests: ``model``, ``prompt``, ``conversation``, ``role``, ``tool``, ``api``,
            ``stream``, ``header``, ``path``, ``request``; and those of the answer: ``tokens``, ``tool_calls`` (a list of
            ``{"name": …, "arguments": …}``), ``reasoning``, ``refusal``, ``finish_reason``, ``ttft_ms``, ``itl_ms``,
            ``times`` (seconds), ``fault``, … as in a scenario

        Raises ValueError for an option that there is not, or that takes another value.
        """
        match = split_match(options)
        return self._new_rule(match).add(answer_fields(text, options))

    def fail(self, kind: str, *, after: int | None = None, **options: Any) -> LlmRule:
        """Answer with a fault.

        kind: "cut", "reset", "stall", "error_event", "truncate", "no_done", "malformed", "duplicate", "heartbeat",
            "split_utf8", "json_body"
        after: how many tokens come before it; None: 3
        options: as in ``answer``
        """
        match = split_match(options)
        return self._new_rule(match).add(fault_fields(kind, after, options))

    def refuse(self, status: int, *, retry_after: int | None = None, **match: Any) -> LlmRule:
        """Answer with an HTTP status from 400 to 599. retry_after: seconds; match: as in ``answer``"""
        found = split_match(match)
        return self._new_rule(found).add({**match, **refusal_fields(status, retry_after)})

    def scenario(self, scenario: "str | PathLike[str] | dict[str, Any]") -> None:
        """Answer as a scenario says, in place of the rules that were given before.

        scenario: the path of its TOML file, which is read again when it has changed; or the same as a dict:
            ``{"rule": [{"match": {…}, "answer": {…}}], "default": {…}}``

        Raises ValueError, which says where the scenario is wrong.
        """
        if isinstance(scenario, dict):
            with_defaults = {**scenario, "default": {**_DEFAULTS, **scenario.get("default", {})}}
            self._process.ask("PUT", "/simulator/scenario", {"scenario": with_defaults})
        else:
            path = str(Path(fspath(scenario)).resolve())
            self._process.ask("PUT", "/simulator/scenario", {"file": path})

    @property
    def requests(self) -> list[LlmRequest]:
        """The requests that came since the test began, the oldest first: the last 1,000, with 16 MiB of bodies."""
        return requests_of(self._process.ask("GET", "/simulator/requests"))

    def wait_for_requests(
        self, count: int, *, ended: bool = False, timeout_seconds: float = 10
    ) -> list[LlmRequest]:
        """Return the requests as soon as there are so many. Raises TimeoutError.

        ended: whether to wait for the end of their answers, too
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            requests = self.requests
            over = [each for each in requests if each.outcome is not None or not ended]
            if len(over) >= count:
                return requests
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(over)} requests{' have ended' if ended else ' came'} in {timeout_seconds:g} s, not {count}: "
                    + (
                        ", ".join(
                            f"{each.method} {each.path} ({each.outcome})" for each in requests
                        )
                        or "none"
                    )
                )
            time.sleep(_POLL_SECONDS)

    def reset(self) -> None:
        """Forget the rules, the scenario and the requests."""
        self._process.ask("DELETE", "/simulator/requests")
        self._rule_count = 0
        self._set_defaults()

    def _set_defaults(self) -> None:
        self.scenario({})

    def _new_rule(self, match: dict[str, Any]) -> LlmRule:
        self._rule_count += 1
        path = f"/simulator/rules/{self._rule_count}"
        return LlmRule(match, lambda rule: self._process.ask("PUT", path, rule))


@contextmanager
def simulated_llm(**settings: str) -> Iterator[SimulatedLlm]:
    """Start a language model for tests on a free port. It has ended when the block ends, or when this process does.

    settings: of the gateway, without ``SLUICE_`` and in lower case: ``models="gpt-4o"`` for example

    Raises LlmStartError, a RuntimeError, if it cannot be started here: on Windows, or without the extra ``gateway``.
    """
    process = SimulatorProcess(settings)
    try:
        yield SimulatedLlm(process)
    finally:
        process.stop()
