"""A simulated language model server: what it is to answer, and what its clients have sent."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from flask_sluice.testing.llm.process import Address, running_simulator

FaultKind = Literal[
    "json_body",
    "cut",
    "reset",
    "stall",
    "error_event",
    "truncate",
    "no_done",
    "malformed",
    "duplicate",
    "heartbeat",
    "split_utf8",
]
Json = dict[str, Any]

_REQUEST_SECONDS = 30
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request that a client has sent.

    method, path: such as "POST" and "/v1/chat/completions"
    headers: with names in lower case; those that may hold a secret are left out
    body: decoded from JSON, as text where it is no JSON, None where there is none
    status: of the response; None: the client left before there was one
    outcome: "complete", "error" (the answer failed, or was broken off), or "cancelled" (the client left before its end);
        None: it is being answered, or the response was not a stream or a document
    events: how many events of a stream were sent
    came_at: in seconds, on a clock that only differences make sense of
    seconds: how long it took to answer; None: it is being answered
    waited_seconds: from the end of the same request before it, as of a client that tries again; None for the first
    """

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    status: int | None
    outcome: Literal["complete", "error", "cancelled"] | None
    events: int
    came_at: float
    seconds: float | None
    waited_seconds: float | None

    @property
    def left_early(self) -> bool:
        """Whether the client left before the end of the answer."""
        return self.outcome == "cancelled"

    @property
    def model(self) -> str | None:
        """The model that the body names."""
        return self.body.get("model") if isinstance(self.body, dict) else None

    @property
    def prompt(self) -> str:
        """The text of the last message of the user, or of the prompt; "" where none is found."""
        return _prompt_of(self.body)


class SimulatedLLM:
    """A running simulator. Its answers come without a pause unless they are given a pace.

    Rules are tried in the order in which they were made; those with the same conditions are one rule, whose answers are given
    in turn, the last again and again. A request that no rule is for gets an answer of a few paragraphs about its question.
    The conditions are ``model`` and ``path`` (with * for any text), ``prompt`` (a text in the last message of the user),
    ``tool`` (the name of one that is offered), ``has_tool_result``, ``stream`` and ``request`` (1 for the first that fits,
    "2.." for those after it).
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._rules: list[Json] = []
        self._default: Json = {"itl_ms": 0}

    @property
    def url(self) -> str:
        """The root of the server, as Anthropic's, Ollama's and Google's clients take it."""
        return f"http://{self._address.host}:{self._address.port}"

    @property
    def openai_url(self) -> str:
        """The base URL that OpenAI's clients take."""
        return f"{self.url}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables by which official clients find the server."""
        return {
            "OPENAI_BASE_URL": self.openai_url,
            "OPENAI_API_KEY": "simulated",
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": "simulated",
            "OLLAMA_HOST": self.url,
            "GOOGLE_GEMINI_BASE_URL": self.url,
            "GEMINI_API_KEY": "simulated",
        }

    def answer(self, text: str | None = None, *, when: Json | None = None, **options: Any) -> None:
        """Have requests answered.

        text: of the answer; None: as the options say, or one of a few paragraphs
        when: the conditions, such as ``{"model": "gpt-4*"}``; None: any request
        options: those of the ``simulator`` object of a request, such as tool_calls, reasoning, itl_ms, fault

        Raises ValueError for an option or a condition that there is not.
        """
        if text is not None:
            options["text"] = text
        self._add(when or {}, options)

    def fail(
        self,
        kind: FaultKind,
        *,
        after: int | None = None,
        when: Json | None = None,
        **options: Any,
    ) -> None:
        """Have answers go wrong.

        kind: of docs/simulator.md's faults
        after: how many tokens come before it; None: three
        when, options: as for ``answer``
        """
        fault: Json = {"kind": kind} if after is None else {"kind": kind, "after": after}
        self._add(when or {}, {**options, "fault": fault})

    def refuse(
        self, status: int, *, retry_after: int | None = None, when: Json | None = None
    ) -> None:
        """Have requests refused with a status from 400 to 599.

        retry_after: the seconds in the header Retry-After; None: there is none
        when: as for ``answer``
        """
        fault: Json = {"kind": "status", "status": status}
        if retry_after is not None:
            fault["retry_after"] = retry_after
        self._add(when or {}, {"fault": fault})

    def scenario(self, scenario: Json | str | Path) -> None:
        """Take a whole scenario in place of all rules: the content of a file, as a dict, or the file's path.

        Raises ValueError for a scenario that is wrong, and OSError for a file that cannot be read.
        """
        if isinstance(scenario, dict):
            document = scenario
        else:
            document = msgspec.toml.decode(Path(scenario).read_bytes(), type=Json)
        default = {"itl_ms": 0, **document.get("default", {})}
        self._send_scenario({**document, "default": default})
        self._rules = [_with_answers(rule) for rule in document.get("rule", [])]
        self._default = default

    @property
    def requests(self) -> list[SeenRequest]:
        """The requests that have come since the last reset, in their order."""
        found = json.loads(self._ask("GET", "/simulator/requests"))
        return _seen(found)

    def wait_for_requests(
        self, count: int, *, are_ended: bool = True, timeout_seconds: float = 10
    ) -> list[SeenRequest]:
        """Wait until so many requests have come, and return them all.

        are_ended: whether they have to be answered too, or their clients have left

        Raises TimeoutError.
        """
        ends_at = time.monotonic() + timeout_seconds
        while True:
            requests = self.requests
            ready = [each for each in requests if each.seconds is not None or not are_ended]
            if len(ready) >= count:
                return requests
            if time.monotonic() > ends_at:
                raise TimeoutError(
                    f"{len(ready)} of {count} requests were there after {timeout_seconds:g} s: {requests}"
                )
            time.sleep(_POLL_SECONDS)

    def reset(self) -> None:
        """Forget all rules and requests."""
        self._rules, self._default = [], {"itl_ms": 0}
        self._ask("DELETE", "/simulator/requests")
        self._send_scenario({"default": self._default})

    def _add(self, when: Json, options: Json) -> None:
        rules = [{**rule, "answers": [*rule["answers"]]} for rule in self._rules]
        same = [rule for rule in rules if rule.get("match", {}) == when]
        if same:
            same[0]["answers"].append(options)
        else:
            rules.append({"match": when, "answers": [options]})
        self._send_scenario({"default": self._default, "rule": rules})
        self._rules = rules

    def _send_scenario(self, scenario: Json) -> None:
        self._ask("PUT", "/simulator/scenario", scenario)

    def _ask(self, method: str, path: str, body: Json | None = None) -> bytes:
        connection = http.client.HTTPConnection(
            self._address.host, self._address.port, timeout=_REQUEST_SECONDS
        )
        headers = {"Authorization": f"Bearer {self._address.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            content = None if body is None else msgspec.json.encode(body)
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        if response.status == 400:
            raise ValueError(json.loads(data)["error"]["message"])
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {data.decode()}")
        return data


@contextmanager
def simulated_llm() -> Iterator[SimulatedLLM]:
    """Start a simulated language model server; the block's end stops it, and so does the end of the process.

    It takes about a second to start: tests share one, and call ``reset`` in between.

    Raises LLMStartError where it cannot be started: without the extra ``gateway``, or on Windows.
    """
    with running_simulator() as address:
        llm = SimulatedLLM(address)
        llm.reset()
        yield llm


def _with_answers(rule: Json) -> Json:
    if "answers" in rule:
        return rule
    return {"match": rule.get("match", {}), "answers": [rule["answer"]]}


def _seen(found: list[Json]) -> list[SeenRequest]:
    requests: list[SeenRequest] = []
    ends: dict[bytes, float] = {}
    for each in found:
        ended_at = each["ended_at"]
        kind = msgspec.json.encode((each["path"], each["body"]))
        last_end = ends.get(kind)
        waited = None if last_end is None else max(0.0, each["came_at"] - last_end)
        requests.append(
            SeenRequest(
                method=each["method"],
                path=each["path"],
                headers=each["headers"],
                body=each["body"],
                status=each["status"],
                outcome=each["outcome"],
                events=each["events"],
                came_at=each["came_at"],
                seconds=None if ended_at is None else ended_at - each["came_at"],
                waited_seconds=waited,
            )
        )
        if ended_at is not None:
            ends[kind] = ended_at
    return requests


def _prompt_of(body: Any) -> str:
    if not isinstance(body, dict):
        return ""
    for name in ("messages", "input", "contents"):
        given = body.get(name)
        if isinstance(given, str):
            return given
        if isinstance(given, list):
            users = [
                each for each in given if isinstance(each, dict) and each.get("role") == "user"
            ]
            return _text_of((users or [{}])[-1])
    prompt = body.get("prompt", "")
    return prompt if isinstance(prompt, str) else ""


def _text_of(message: Json) -> str:
    content = message.get("content", message.get("parts", ""))
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(str(part.get("text", "")) for part in parts if isinstance(part, dict)).strip()
