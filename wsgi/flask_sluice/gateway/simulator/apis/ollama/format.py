"""The lines of JSON with which Ollama answers, and the one document of an answer that is not streamed."""

import re
import time
import uuid
from collections.abc import Iterator

import msgspec

from flask_sluice.gateway.simulator.answers.answer import Answer, Part
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.format import Format, Json, Template, Text, encode_json
from flask_sluice.stream.headers_and_errors import ollama_error_json

_DONE = re.compile(rb'"eval_duration":\d+\}\n\Z|"done_reason":"(?:un)?load"\}\n\Z')
_LOAD_NANOSECONDS = 1000
"""There is no model to load."""


class OllamaFormat(Format):
    """Writes an answer; the subclasses say where its text stands.

    Times are those that have passed, so they agree with the pace of the answer.

    context_tokens: how many tokens of the prompt the model reads; None: all
    load_reason: why an answer without anything in it is done; None: it is an answer
    """

    content_type = "application/x-ndjson"
    tells_errors = True
    # A line of JSON has no comments, and a blank one is not JSON.
    heartbeat = b""

    def __init__(
        self,
        asked: Asked,
        answer: Answer,
        *,
        context_tokens: int | None,
        load_reason: str | None,
    ) -> None:
        super().__init__(asked, answer)
        self._context_tokens = context_tokens
        self._load_reason = load_reason
        self._began_at = time.monotonic_ns()
        self._first_token_at: int | None = None
        self._second = -1
        self._second_text = b""

    # What the subclasses say.

    def delta(self, kind: str, text: Text) -> Json:
        """Return the fields of a line with a piece of text."""
        raise NotImplementedError

    def calls(self, calls: list[Json]) -> Json:
        """Return the fields of a line with these tool calls."""
        raise NotImplementedError

    def nothing(self) -> Json:
        """Return the fields of a line without anything new."""
        raise NotImplementedError

    def all_of(self, text: str, thinking: str, calls: list[Json]) -> Json:
        """Return the fields of a whole answer."""
        raise NotImplementedError

    # The stream.

    def steps(self, number: int) -> Iterator[list[bytes]]:
        lines: list[bytes] = []
        for place, part in enumerate(self.answer.choices[number].parts):
            if part.kind == "tool_call":
                # A call comes whole, with the last of its tokens.
                for _ in part.tokens[:-1]:
                    yield lines
                    lines = []
                if (call := _call(part, place)) is not None:
                    lines = [*lines, self._line(self.calls([call]))]
                if part.tokens:
                    yield lines
                    lines = []
            else:
                for line in self._text_lines(part):
                    yield [*lines, line]
                    lines = []
        yield lines

    def terminal(self) -> bytes:
        return self._line({**self.nothing(), "done": True, **self.end()})

    @staticmethod
    def is_terminal(event: bytes) -> bool:
        return _DONE.search(event) is not None

    def error_event(self, error: Exception) -> bytes:
        return ollama_error_json(error) + b"\n"

    def whole(self) -> bytes:
        choice = self.answer.choices[0]
        if self._first_token_at is None:
            waited = int(self.asked.options.ttft_ms * 1_000_000)
            self._first_token_at = min(self._began_at + waited, time.monotonic_ns())
        calls = [
            call
            for place, part in enumerate(choice.parts)
            if part.kind == "tool_call" and (call := _call(part, place)) is not None
        ]
        text = "".join(choice.texts("text") + choice.texts("refusal"))
        fields = self.all_of(text, "".join(choice.texts("reasoning")), calls)
        # An answer that has broken off has no end.
        is_done = choice.finish_reason is not None
        end = self.end() if is_done else {}
        return self._line({**fields, "done": is_done, **end})[:-1]

    def end(self) -> Json:
        """Return what only the last line has."""
        if self._load_reason is not None:
            return {"done_reason": self._load_reason}
        now = time.monotonic_ns()
        first_token_at = self._first_token_at or now
        prompt_duration = max(1, first_token_at - self._began_at)
        eval_duration = max(1, now - first_token_at)
        usage = self.answer.usage
        read = usage.prompt
        if self._context_tokens is not None:
            read = min(read, self._context_tokens)
        is_cut = self.answer.choices[0].finish_reason == "length"
        return {
            "done_reason": "length" if is_cut else "stop",
            "total_duration": _LOAD_NANOSECONDS + prompt_duration + eval_duration,
            "load_duration": _LOAD_NANOSECONDS,
            "prompt_eval_count": read,
            "prompt_eval_duration": prompt_duration,
            "eval_count": usage.completion,
            "eval_duration": eval_duration,
        }

    def _text_lines(self, part: Part) -> Iterator[bytes]:
        fields = {**self.delta(part.kind, Template.GAP), "done": False}
        line = encode_json(self._head(Template.GAP) | fields) + b"\n"
        before, between, after = line.split(bytes(Template.GAP))
        for token in part.tokens:
            self._note_token()
            yield before + self._now() + between + encode_json(token) + after

    def _line(self, fields: Json) -> bytes:
        self._note_token()
        head = self._head(msgspec.Raw(self._now()))
        done: Json = {} if "done" in fields else {"done": False}
        return encode_json({**head, **fields, **done}) + b"\n"

    def _head(self, created_at: msgspec.Raw) -> Json:
        return {"model": self.asked.model, "created_at": created_at}

    def _note_token(self) -> None:
        if self._first_token_at is None:
            self._first_token_at = time.monotonic_ns()

    def _now(self) -> bytes:
        """Return the time as JSON, to the nanosecond; most of it stays the same for a second."""
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime('"%Y-%m-%dT%H:%M:%S', time.gmtime(second)).encode()
        return b'%b.%09dZ"' % (self._second_text, nanoseconds)


def _call(part: Part, place: int) -> Json | None:
    """Return a tool call; None where a limit has cut its arguments off."""
    arguments = json_object(part.text)
    if arguments is None:
        return None
    function = {"index": place, "name": part.tool, "arguments": arguments}
    return {"id": f"call_{uuid.uuid4().hex[:8]}", "function": function}


def json_object(text: str) -> msgspec.Raw | None:
    """Return the JSON of a tool's arguments, {} where there are none; None where it is no object."""
    try:
        msgspec.json.decode(text or "{}", type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return None
    return msgspec.Raw((text or "{}").encode())
