"""Readers that keep an account of all that they are told, and leave now and then."""

import itertools
import json
import random
import time

import gevent
import msgspec

from flask_sluice.sse.event import ReceivedEvent
from tests.support.stream import chat, get, post
from tests.system.chaos.account import CHAT, READ, START, Accounts, Answer
from tests.system.chaos.exchange import Exchange, error_code
from tests.system.chaos.upstream import Script
from tests.system.nginx_server import Nginx

ANSWER_SECONDS = 60.0
"""A resumable answer has an end for its reader by then, whatever happens: it is generated in some ten seconds."""


class Reader:
    """Asks one question after the other until it is told that this was the last.

    exchange: the request that is under way
    """

    def __init__(self, name: str, nginx: Nginx, accounts: Accounts, seed: int) -> None:
        self._nginx = nginx
        self._accounts = accounts
        self.random = random.Random(seed)
        self._request_ids = (f"{name}-{number}" for number in itertools.count(1))
        self.exchange: Exchange | None = None
        self.is_last = False

    def run(self) -> None:
        while not self.is_last:
            self.ask(self._script())
            gevent.sleep(self.random.uniform(0, 0.2))

    def ask(self, script: Script) -> None:
        raise NotImplementedError

    def begin(self, route: str, leaves_after: int | None = None) -> Exchange:
        attempt = self._accounts.begin(next(self._request_ids), route)
        self.exchange = Exchange(self._nginx, self._accounts, attempt, leaves_after)
        return self.exchange

    def check_numbers(self, exchange: Exchange, numbers: list[int]) -> None:
        if numbers != list(range(1, len(numbers) + 1)):
            self._accounts.fault(exchange.attempt, f"lost, doubled or out of order: {numbers}")

    def check_end(self, exchange: Exchange, told: str, script: Script, numbers: list[int]) -> None:
        """Note what a response whose end is proper has told."""
        if told == "complete" and len(numbers) != script.events:
            self._accounts.fault(exchange.attempt, f"complete with {len(numbers)} of {script}")
        if not exchange.attempt.told:
            exchange.attempt.told = told or "nothing"
            if not told:
                self._accounts.fault(exchange.attempt, "half an answer passes for a whole one")

    def _script(self) -> Script:
        end = "done" if self.random.random() < 0.85 else self.random.choice(["cut", "error"])
        status = 200 if self.random.random() < 0.95 else self.random.choice([429, 503])
        return Script(self.random.randint(1, 80), self.random.uniform(0.0, 0.15), end, status)


class ChatReader(Reader):
    """Reads plain chat completions."""

    def ask(self, script: Script) -> None:
        leaves = self.random.random() < 0.1
        exchange = self.begin(CHAT, self.random.randint(1, script.events) if leaves else None)
        numbers: list[int] = []
        told = ""
        for event in exchange.events(post("/v1/chat/completions", _question(script))):
            if told:
                self._accounts.fault(exchange.attempt, f"something after the end: {event}")
            if event.data == "[DONE]":
                told = "complete"
            elif code := error_code(event):
                told = f"error {code}"
            else:
                numbers += _numbers(event)
        self.check_numbers(exchange, numbers)
        self.check_end(exchange, told, script, numbers)


class ResumingReader(Reader):
    """Starts resumable answers, and reads each over as many connections as it takes."""

    def ask(self, script: Script) -> None:
        start = self.begin(START)
        for _ in start.events(post("/v1/streams", _question(script))):
            self._accounts.fault(start.attempt, "events instead of a document")
        if start.attempt.told != "started":
            return
        url = json.loads(start.body)["url"]
        answer = _Answer(script)
        leaves_for_good = self.random.random() < 0.1
        deadline = time.monotonic() + ANSWER_SECONDS
        while not answer.told:
            exchange = self._read(url, answer)
            if exchange.attempt.told == "left" and leaves_for_good:
                answer.told = "left"
            elif time.monotonic() > deadline:
                answer.told = "nothing"
                self._accounts.fault(exchange.attempt, f"no end of {start.attempt.request_id}")
            elif not answer.told:
                # As long as clients would wait, or rather longer than the storm of all that come back.
                gevent.sleep(max(exchange.retry_after, answer.retry_seconds, 0.05))
        self._accounts.answers.append(Answer(start.attempt.request_id, answer.told))

    def _read(self, url: str, answer: "_Answer") -> Exchange:
        leaves = self.random.random() < 0.15
        exchange = self.begin(READ, self.random.randint(1, 20) if leaves else None)
        told = ""
        answer.retry_seconds = 0.0
        for event in exchange.events(get(url, Last_Event_ID=str(answer.last_id))):
            if told:
                self._accounts.fault(exchange.attempt, f"something after the end: {event}")
            told = answer.take(event)
            if event.event == "reset":
                self._accounts.fault(exchange.attempt, f"events are gone: {event}")
        self.check_numbers(exchange, answer.ids)
        self.check_numbers(exchange, answer.numbers)
        self.check_end(exchange, told, answer.script, answer.numbers)
        if exchange.attempt.told == "over":
            answer.told = answer.last_error or "over"
            self._accounts.fault(exchange.attempt, "asked to come back to an answer that was over")
        if exchange.attempt.told.startswith("refused 404"):
            answer.told = "gone"
            self._accounts.fault(exchange.attempt, "a running answer is gone")
        return exchange


class _Answer:
    """A resumable answer as far as it has come.

    ids: of its events; numbers: the upstream's, which are in these; told: how it ended
    retry_seconds: how long the last error event asks to wait, when it asks for another try
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.ids: list[int] = []
        self.numbers: list[int] = []
        self.told = ""
        self.last_error = ""
        self.retry_seconds = 0.0

    @property
    def last_id(self) -> int:
        return len(self.ids)

    def take(self, event: ReceivedEvent) -> str:
        """Return what the event says about the end of this response, if anything."""
        if event.id and event.id != str(self.last_id):
            self.ids.append(int(event.id))
        if event.event == "done":
            self.told = "complete"
            return self.told
        if code := error_code(event):
            self.last_error = f"error {code}"
            if event.retry is None:
                self.told = f"error {code}"
            else:
                self.retry_seconds = event.retry / 1000
            return f"error {code}"
        self.numbers += _numbers(event)
        return ""


def _question(script: Script) -> dict[str, object]:
    return chat(msgspec.json.encode(script).decode())


def _numbers(event: ReceivedEvent) -> list[int]:
    """Return the number in an upstream's event, if it has one."""
    if event.event != "message":
        return []
    (choice,) = json.loads(event.data)["choices"]
    content = choice["delta"].get("content")
    return [] if content is None else [int(content)]
