"""The items of a response's input: messages, calls of tools, their results, and what the model thought."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from flask_sluice.gateway.simulator.apis.openai_errors import invalid, missing_field, unknown_value
from flask_sluice.gateway.simulator.apis.openai_media import file_tokens, image_tokens
from flask_sluice.gateway.simulator.bounds import MAX_PARTS
from flask_sluice.stream.loop.give_way import give_way

_ROLES = ("assistant", "system", "developer", "user")
_PART_TYPES = {
    "user": ("input_text", "input_image", "input_file", "input_audio"),
    "assistant": ("output_text", "refusal"),
}
_CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
"""The calls that a program answers, each with the type of its answer."""
_RESULTS = {result: call for call, result in _CALLS.items()}
_REQUIRED = {
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "custom_tool_call": ("call_id", "name", "input"),
    "custom_tool_call_output": ("call_id", "output"),
    "reasoning": ("summary",),
    "item_reference": ("id",),
}
_OTHER_TYPES = (
    *("apply_patch_call", "apply_patch_call_output", "code_interpreter_call", "compaction"),
    *("computer_call", "computer_call_output", "file_search_call", "image_generation_call"),
    *("local_shell_call", "local_shell_call_output", "mcp_approval_request"),
    *("mcp_approval_response", "mcp_call", "mcp_list_tools", "shell_call", "shell_call_output"),
    *("tool_search_call", "tool_search_output", "web_search_call"),
)
"""Accepted, and of no consequence."""
_TYPES = tuple(sorted((*_REQUIRED, *_OTHER_TYPES, "message")))


_ITEMS_AT_ONCE = 1000


class Content(Struct, gc=False):
    """A part of a message, of a tool's result, or of what the model thought."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None

    @property
    def tokens(self) -> int:
        """How many it has beside those of its text."""
        if self.type == "input_image":
            return image_tokens(self.image_url or "", self.detail)
        return file_tokens(self.file_data) if self.type == "input_file" else 0


Contents = Annotated[list[Content], Meta(max_length=MAX_PARTS)]


class Item(Struct):
    """One item; which fields it has depends on its type, and a message needs none."""

    type: str | None = None
    id: str | None = None
    role: str | None = None
    content: str | Contents | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    output: str | Contents | dict[str, msgspec.Raw] | None = None
    summary: Contents | None = None

    @property
    def kind(self) -> str:
        """Its type; one without is a message, or refers to another."""
        if self.type is not None:
            return self.type
        return "item_reference" if self.role is None and self.id is not None else "message"

    @property
    def parts(self) -> Iterator[Content]:
        for contents in (self.content, self.output, self.summary):
            if isinstance(contents, list):
                yield from contents

    def text(self) -> str:
        """Return all that the model reads of it."""
        if isinstance(self.content, str) and self.call_id is None:
            return self.content
        texts = [self.name, self.arguments, self.input]
        texts += [text for text in (self.content, self.output) if isinstance(text, str)]
        texts += [part.text or part.refusal for part in self.parts]
        return " ".join(text for text in texts if text)


Input = str | Annotated[list[Item], Meta(max_length=MAX_PARTS)] | None


def items_of(given: Input) -> list[Item]:
    """Return the items of a request's ``input``; a text is a message of the user."""
    if isinstance(given, str):
        return [Item(role="user", content=given)]
    return given or []


def check_items(items: Sequence[Item]) -> None:
    """Raise ApiError 400 for an item that OpenAI's API does not take."""
    for place, item in enumerate(items):
        path, kind = f"input[{place}]", item.kind
        if kind == "message":
            _check_message(path, item)
        elif kind in _REQUIRED:
            for field in _REQUIRED[kind]:
                if getattr(item, field) is None:
                    raise missing_field(f"{path}.{field}")
        elif kind not in _OTHER_TYPES:
            raise unknown_value(f"{path}.type", kind, _TYPES)


def check_calls(items: Sequence[Item]) -> None:
    """Raise ApiError 400 for a result without its call, and for a call without its result.

    items: of the whole conversation
    """
    calls = {item.call_id for item in items if item.kind in _CALLS}
    results = {item.call_id for item in items if item.kind in _RESULTS}
    for item in items:
        if item.kind in _RESULTS and item.call_id not in calls:
            what = _RESULTS[item.kind].replace("_", " ").removesuffix(" call")
            text = f"No tool call found for {what} call output with call_id {item.call_id}."
            raise invalid("input", text)
        if item.kind in _CALLS and item.call_id not in results:
            what = item.kind.replace("_", " ")
            raise invalid("input", f"No tool output found for {what} {item.call_id}.")


def _check_message(path: str, item: Item) -> None:
    if item.role is None:
        raise missing_field(f"{path}.role")
    if item.role not in _ROLES:
        raise unknown_value(f"{path}.role", item.role, _ROLES)
    if item.content is None:
        raise missing_field(f"{path}.content")
    if isinstance(item.content, str):
        return
    types = _PART_TYPES.get(item.role, _PART_TYPES["user"])
    for place, part in enumerate(item.content):
        if part.type not in types:
            raise unknown_value(f"{path}.content[{place}].type", part.type, types)
        if part.type in ("input_text", "output_text") and part.text is None:
            raise missing_field(f"{path}.content[{place}].text")
        if part.type == "input_image" and part.image_url is None and part.file_id is None:
            raise missing_field(f"{path}.content[{place}].image_url")


def texts_of(items: Sequence[Item]) -> list[str]:
    """Return what the model reads of each item; of many, others have their turn between."""
    texts = []
    for place, item in enumerate(items, start=1):
        texts.append(item.text())
        if place % _ITEMS_AT_ONCE == 0:
            give_way()
    return texts


def tool_results(items: Sequence[Item]) -> list[str]:
    """Return the texts of the results that came after the last message of the user."""
    asked_at = _asked_at(items)
    return [item.text() for item in items[asked_at + 1 :] if item.kind in _RESULTS]


def question_of(items: Sequence[Item]) -> str:
    """Return what the answer is about: the last message of the user."""
    asked_at = _asked_at(items)
    return items[asked_at].text() if items and asked_at >= 0 else ""


def _asked_at(items: Sequence[Item]) -> int:
    users = (place for place, item in enumerate(items) if item.role == "user")
    return max(users, default=-1)


def encoded_items(raw: msgspec.Raw, items: Sequence[Item], id_beginning: str) -> list[msgspec.Raw]:
    """Return the input as it is listed later: each item with an id and a type, and a message with parts.

    Of many items, others have their turn between.

    raw: the request's ``input``, undecoded
    items: the same, decoded
    id_beginning: of the ids that are given to items without one
    """
    if bytes(raw).startswith(b'"'):
        return [_listed_message(items[0], f"msg_{id_beginning}0")]
    listed = []
    for place, (item, text) in enumerate(
        zip(items, msgspec.json.decode(raw, type=list[msgspec.Raw]), strict=True)
    ):
        new_id = f"{_PREFIXES.get(item.kind, 'item')}_{id_beginning}{place:x}"
        if item.kind == "message" and isinstance(item.content, str):
            listed.append(_listed_message(item, item.id or new_id))
        else:
            listed.append(_with_id(item, text, new_id))
        if place % _ITEMS_AT_ONCE == _ITEMS_AT_ONCE - 1:
            give_way()
    return listed


_PREFIXES = {"message": "msg", "function_call": "fc", "custom_tool_call": "ctc", "reasoning": "rs"}


def _listed_message(item: Item, item_id: str) -> msgspec.Raw:
    part: dict[str, Any] = {"type": "input_text", "text": item.content}
    if item.role == "assistant":
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": item.content}
    message = {
        "id": item_id,
        "type": "message",
        "status": "completed",
        "role": item.role,
        "content": [part],
    }
    return msgspec.Raw(msgspec.json.encode(message))


def _with_id(item: Item, text: msgspec.Raw, new_id: str) -> msgspec.Raw:
    added = {"id": new_id} if item.id is None else {}
    if item.type is None:
        added["type"] = item.kind
    if not added:
        return msgspec.Raw(_on_one_line(text))
    return msgspec.Raw(msgspec.json.encode(added)[:-1] + b"," + _on_one_line(text)[1:])


def _on_one_line(text: msgspec.Raw) -> bytes:
    formatted: bytes = msgspec.json.format(bytes(text), indent=-1)
    return formatted
