"""The events of the Responses API, and the response itself."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha512
from typing import Any

import msgspec

from flask_sluice.gateway.simulator.answers.answer import Answer
from flask_sluice.gateway.simulator.answers.asked import Asked
from flask_sluice.gateway.simulator.apis.format import Format, Json, encode_json, named_event
from flask_sluice.gateway.simulator.apis.openai_logprobs import encoded_chat_logprobs, telling
from flask_sluice.gateway.simulator.apis.responses.made import Made
from flask_sluice.gateway.simulator.apis.responses.output import OutputItem
from flask_sluice.stream.errors import STOPPED, as_api_error
from flask_sluice.stream.headers_and_errors import error_for_responses

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_LAST_EVENTS = tuple(
    f"event: response.{state}\n".encode() for state in ("completed", "incomplete", "failed")
)
_GAP = msgspec.Raw(b"\0")
_PADDING = "kQ3vXw8Zr1Ty5Lba"
"""What the field ``obfuscation`` has as much of as makes all deltas of about one length."""


class ResponsesFormat(Format):
    """Writes the events of a response, each with its number, and the response whole.

    made: its id, and where it is kept
    told: the fields of the response that repeat its request
    is_background: whether a failure is an end of the response that its readers see, not of the connection
    is_stream: whether the events are sent; where they are not, the whole is kept all the same
    shows_summary: whether reasoning is shown as a summary, not as it is
    top_logprobs: how many alternatives each token of the text has; None: its log probabilities were not asked for
    is_padded: whether deltas have the field ``obfuscation``
    encrypts_reasoning: whether reasoning has ``encrypted_content``
    """

    malformed = (
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta\n\n'
    )

    def __init__(
        self,
        asked: Asked,
        answer: Answer,
        *,
        made: Made,
        told: Json,
        is_background: bool,
        shows_summary: bool,
        top_logprobs: int | None,
        is_padded: bool,
        encrypts_reasoning: bool,
    ) -> None:
        super().__init__(asked, answer)
        self._made = made
        self._told = told
        self._is_background = is_background
        self._is_padded = is_padded
        self._shows_summary = shows_summary
        self._logprobs = None if top_logprobs is None else self._told_logprobs(top_logprobs)
        self._encrypts_reasoning = encrypts_reasoning
        self._number = 0
        self._item_index = 0
        if not asked.is_stream and made.keeper is not None:
            self._begin_to_keep(self._state("response.created", "in_progress"))

    # The events, in their order.

    def opening(self) -> Iterable[bytes]:
        state = "queued" if self._is_background else "in_progress"
        created = self._state("response.created", state)
        if self._made.keeper is not None:
            self._begin_to_keep(created)
        yield created
        if self._is_background:
            yield self._kept(self._state("response.queued", state))
        yield self._kept(self._state("response.in_progress", "in_progress"))

    def begin_choice(self, number: int) -> Iterable[bytes]:
        if self._is_reasoning_hidden:
            item = self._items()[0]
            yield self._added(item)
            yield self._done(item)

    def begin_part(self, number: int, place: int) -> Iterable[bytes]:
        item = self._item_of(place)
        yield self._added(item)
        if item.kind == "tool_call":
            return
        name = "reasoning_summary_part" if "summary_index" in item.place else "content_part"
        yield self._event(f"response.{name}.added", **item.place, part=item.content(""))

    def token_events(self, number: int, place: int) -> Iterator[bytes]:
        item = self._item_of(place)
        assert item.part is not None
        if item.logprobs is not None:
            for token, logprob in zip(item.part.tokens, item.logprobs, strict=True):
                told: Json = {"delta": token, "logprobs": [logprob], **self._padding(token)}
                yield self._event("response.output_text.delta", **item.place, **told)
            return
        template = _DeltaTemplate(item, is_padded=self._is_padded)
        add = None if self._made.keeper is None else self._made.keeper.add
        for token in item.part.tokens:
            event = template.write(self._number, token)
            self._number += 1
            if add is not None:
                add(event)
            yield event

    def end_part(self, number: int, place: int) -> Iterable[bytes]:
        item = self._item_of(place)
        assert item.part is not None
        text = item.part.text
        if item.kind == "tool_call":
            name = item.part.tool
            fields: Json = {"input": text} if item.is_custom else {"name": name, "arguments": text}
            yield self._event(f"response.{item.name}.done", **item.place, **fields)
        else:
            fields = {"refusal": text} if item.kind == "refusal" else {"text": text}
            if item.kind == "text":
                fields["logprobs"] = item.logprobs or []
            yield self._event(f"response.{item.name}.done", **item.place, **fields)
            name = "reasoning_summary_part" if "summary_index" in item.place else "content_part"
            yield self._event(f"response.{name}.done", **item.place, part=item.content(text))
        yield self._done(item)

    def terminal(self) -> bytes:
        response = self._whole_response()
        event = self._numbered(f"response.{response['status']}", response=response)
        if self._made.keeper is not None:
            self._made.keeper.end(event)
        return event

    @staticmethod
    def is_terminal(event: bytes) -> bool:
        return event.startswith(_LAST_EVENTS)

    def error_event(self, error: Exception) -> bytes:
        """See ``Format``. What is kept of the response is its end as a response, which is also what readers of one in the
        background see.
        """
        fault = self.asked.options.fault
        is_told_as_end = self._is_background or (fault is not None and fault.event == "failed")
        number = self._number
        end = self._end(error)
        if self._made.keeper is not None:
            self._made.keeper.end(end)
        return end if is_told_as_end else error_for_responses(error, number)

    def whole(self) -> bytes:
        response = self._whole_response()
        if self._made.keeper is not None:
            name = {"completed": "completed", "incomplete": "incomplete"}[response["status"]]
            self._made.keeper.end(self._numbered(f"response.{name}", response=response))
        return encode_json(response)

    # What is kept.

    def _begin_to_keep(self, created: bytes) -> None:
        assert self._made.keeper is not None
        self._made.keeper.begin(created, lambda: self._end(STOPPED))

    def _kept(self, event: bytes) -> bytes:
        if self._made.keeper is not None:
            self._made.keeper.add(event)
        return event

    def _end(self, error: Exception) -> bytes:
        """Return the last event of a response that has failed or was cancelled. The API has no event of its own for the latter."""
        told = as_api_error(error)
        if told.code == STOPPED.code:
            return self._numbered("response.incomplete", response=self._response("cancelled"))
        problem = {"code": "server_error", "message": told.message}
        response = self._response("failed", error=problem)
        return self._numbered("response.failed", response=response)

    # The parts of events.

    def _state(self, name: str, status: str) -> bytes:
        return self._numbered(name, response=self._response(status))

    def _added(self, item: OutputItem) -> bytes:
        name = "response.output_item.added"
        return self._event(name, output_index=item.index, item=item.begun())

    def _done(self, item: OutputItem) -> bytes:
        name = "response.output_item.done"
        return self._event(name, output_index=item.index, item=item.done())

    def _event(self, name: str, /, **fields: Any) -> bytes:
        return self._kept(self._numbered(name, **fields))

    def _numbered(self, name: str, /, **fields: Any) -> bytes:
        number = self._number
        self._number += 1
        return named_event(name, {"type": name, "sequence_number": number, **fields})

    def _padding(self, token: str) -> Json:
        return {"obfuscation": _padding(token)} if self._is_padded else {}

    @property
    def _is_reasoning_hidden(self) -> bool:
        return self.answer.choices[0].hidden_tokens > 0

    def _item_of(self, place: int) -> OutputItem:
        return self._item(place + self._is_reasoning_hidden)

    def _items(self) -> list[OutputItem]:
        count = len(self.answer.choices[0].parts) + self._is_reasoning_hidden
        return [self._item(index) for index in range(count)]

    def _item(self, index: int) -> OutputItem:
        choice = self.answer.choices[0]
        place = index - self._is_reasoning_hidden
        is_last = place == len(choice.parts) - 1
        is_cut = is_last and choice.finish_reason in (None, *_INCOMPLETE)
        part = None if place < 0 else choice.parts[place]
        is_encrypted = self._encrypts_reasoning and (part is None or part.kind == "reasoning")
        return OutputItem(
            self._made.token,
            index,
            part,
            is_whole=not is_cut,
            shows_summary=self._shows_summary,
            logprobs=None if self._logprobs is None or part is None else self._logprobs_of(place),
            encrypted_content=_encrypted(self._made.token) if is_encrypted else None,
        )

    def _told_logprobs(self, count: int) -> list[list[msgspec.Raw] | None]:
        """Return what is told of the tokens of each part of text. They are told whole at the end of a stream, too."""
        choice = self.answer.choices[0]
        with telling(choice.token_count, count):
            return [
                encoded_chat_logprobs(part.tokens, count) if part.kind == "text" else None
                for part in choice.parts
            ]

    def _logprobs_of(self, place: int) -> list[msgspec.Raw] | None:
        """Return those of a part, which may have been broken off since."""
        assert self._logprobs is not None
        told = self._logprobs[place]
        return None if told is None else told[: len(self.answer.choices[0].parts[place].tokens)]

    def _whole_response(self) -> Json:
        finish_reason = self.answer.choices[0].finish_reason
        output = [item.done() for item in self._items()]
        usage = self._usage()
        if finish_reason is None:
            return self._response("incomplete", output=output, usage=usage)
        if (reason := _INCOMPLETE.get(finish_reason)) is not None:
            details = {"reason": reason}
            return self._response(
                "incomplete", output=output, usage=usage, incomplete_details=details
            )
        now = int(time.time())
        return self._response("completed", output=output, usage=usage, completed_at=now)

    def _response(self, status: str, **known: Any) -> Json:
        made = self._made
        beginning = {
            "id": made.id,
            "object": "response",
            "created_at": made.created_at,
            "status": status,
        }
        return {**beginning, **self._told, **known}

    def _usage(self) -> Json:
        usage = self.answer.usage
        return {
            "input_tokens": usage.prompt,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
            "output_tokens": usage.completion,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.prompt + usage.completion,
        }


class _DeltaTemplate:
    """Writes the deltas of an item, which differ in their number, their text and its padding, without encoding each whole."""

    __slots__ = ("_after", "_before", "_between")

    def __init__(self, item: OutputItem, *, is_padded: bool) -> None:
        name = f"response.{item.name}.delta"
        fields: Json = {"type": name, "sequence_number": _GAP, **item.place, "delta": _GAP}
        if item.kind == "text":
            fields["logprobs"] = []
        if is_padded:
            fields["obfuscation"] = _GAP
        parts = named_event(name, fields).split(bytes(_GAP))
        self._before, self._between = parts[:2]
        self._after = [parts[2]]
        if is_padded:
            self._after = [
                b'%b"%b"%b' % (parts[2], _PADDING[:count].encode(), parts[3])
                for count in range(len(_PADDING) + 1)
            ]

    def write(self, number: int, token: str) -> bytes:
        after = self._after
        end = after[len(after) - 1 - len(token)] if len(token) < len(after) else after[0]
        return b"%b%d%b%b%b" % (self._before, number, self._between, encode_json(token), end)


def _padding(token: str) -> str:
    return _PADDING[: max(0, len(_PADDING) - len(token))]


def _encrypted(token: str) -> str:
    """Return text that looks like encrypted reasoning: the same for the same response, and of no other meaning."""
    digest = sha512(token.encode()).digest()
    return "gAAAAAB" + urlsafe_b64encode(digest * 2).decode()
