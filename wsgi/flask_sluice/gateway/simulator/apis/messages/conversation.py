"""Checks a conversation as a whole, with the texts of Anthropic's errors."""

from dataclasses import dataclass, field
from itertools import pairwise

from flask_sluice.gateway.simulator.apis.messages.block_checks import check_block, refusal
from flask_sluice.gateway.simulator.apis.messages.blocks import Block, Message
from flask_sluice.stream.errors import ApiError
from flask_sluice.stream.loop.give_way import give_way

_ONLY_IN = {
    "tool_use": "assistant",
    "server_tool_use": "assistant",
    "thinking": "assistant",
    "redacted_thinking": "assistant",
    "tool_result": "user",
}
_CHECKED_AT_ONCE = 500


@dataclass(slots=True)
class _Turn:
    """Messages of one role that follow each other: the API reads them as one.

    number: of its first message
    blocks: each with its place, such as ``messages.0.content.1``
    """

    role: str
    number: int
    blocks: list[tuple[str, Block]] = field(default_factory=list)


def check_conversation(messages: list[Message], *, may_prefill: bool, must_think: bool) -> None:
    """Raise ApiError 400 for messages that the API does not accept. Many give way to other streams.

    may_prefill: whether the last message may be the assistant's, whose text the answer goes on with
    must_think: whether a call of a tool needs the thinking before it
    """
    if not messages:
        raise refusal("messages: at least one message is required")
    for message in messages:
        if message.role not in ("user", "assistant", "system"):
            raise refusal(
                f'messages: Unexpected role "{message.role[:100]}". Allowed roles are "user" or "assistant"'
            )
    turns = _turns(messages)
    _check_system(messages)
    if messages[0].role != "user":
        raise refusal('messages: first message must use the "user" role')
    for turn in turns:
        _check_content(turn, is_last=turn is turns[-1])
    _check_tools(turns)
    if must_think:
        _check_thinking(turns)
    _check_prefill(messages[-1], may_prefill=may_prefill)


def _turns(messages: list[Message]) -> list[_Turn]:
    """Return the turns of the conversation, whose blocks are checked one by one."""
    turns: list[_Turn] = []
    count = 0
    for number, message in enumerate(messages):
        is_new = not turns or turns[-1].role != message.role
        turn = _Turn(message.role, number) if is_new else turns[-1]
        for place, block in enumerate(message.blocks):
            where = f"messages.{number}.content.{place}"
            check_block(where, block)
            turn.blocks.append((where, block))
            count += 1
            if count % _CHECKED_AT_ONCE == 0:
                give_way()
        if is_new and message.role != "system":
            turns.append(turn)
    return turns


def _check_system(messages: list[Message]) -> None:
    """Raise ApiError for an instruction at a place where none may stand."""
    if messages[0].role == "system":
        raise refusal(
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, '
            'not "system" as an input message role.'
        )
    for number, (message, following) in enumerate(pairwise(messages)):
        if message.role == "system" and following.role == "user":
            raise refusal(
                f"messages.{number}: role 'system' must precede an 'assistant' message or end the array"
            )


def _check_content(turn: _Turn, *, is_last: bool) -> None:
    if not turn.blocks and turn.role == "user":
        raise refusal(f"messages.{turn.number}: user messages must have non-empty content")
    if not turn.blocks and not is_last:
        raise refusal(
            f"messages.{turn.number}: all messages must have non-empty content except for the optional final "
            "assistant message"
        )
    for where, block in turn.blocks:
        only_in = _ONLY_IN.get(block.type, turn.role)
        if only_in != turn.role:
            raise refusal(f"{where}: `{block.type}` blocks can only be in `{only_in}` messages")
        if block.type == "text" and not block.text:
            raise refusal("messages: text content blocks must be non-empty")
        if block.type == "text" and str(block.text).isspace():
            raise refusal("messages: text content blocks must contain non-whitespace text")


def _check_tools(turns: list[_Turn]) -> None:
    """Raise ApiError unless each call of a tool has its one result, at the beginning of the next message."""
    calls: dict[str, str] = {}
    seen: set[str] = set()
    for turn in turns:
        if turn.role == "user":
            _check_answered(calls, _results(turn, calls))
            calls = {}
            continue
        calls = _calls(turn)
        for tool_use_id, where in calls.items():
            if tool_use_id in seen:
                raise _not_unique(where)
        seen |= calls.keys()
    _check_answered(calls, set())


def _calls(turn: _Turn) -> dict[str, str]:
    """Return the place of each call by its id."""
    calls: dict[str, str] = {}
    for where, block in turn.blocks:
        if block.type == "tool_use" and calls.setdefault(str(block.id), where) != where:
            raise _not_unique(where)
    return calls


def _results(turn: _Turn, calls: dict[str, str]) -> set[str]:
    """Return the ids of the calls that the turn answers. A result behind other blocks answers none."""
    answered: set[str] = set()
    seen: set[str] = set()
    is_leading = True
    for where, block in turn.blocks:
        if block.type != "tool_result":
            is_leading = False
            continue
        tool_use_id = str(block.tool_use_id)
        if tool_use_id not in calls:
            raise refusal(
                f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {tool_use_id}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        if tool_use_id in seen:
            raise refusal(
                f"{where}: each tool_use must have a single result. Found multiple `tool_result` blocks "
                f"with id: {tool_use_id}"
            )
        seen.add(tool_use_id)
        if is_leading:
            answered.add(tool_use_id)
    return answered


def _check_answered(calls: dict[str, str], answered: set[str]) -> None:
    missing = [tool_use_id for tool_use_id in calls if tool_use_id not in answered]
    if missing:
        message = calls[missing[0]].partition(".content")[0]
        raise refusal(
            f"{message}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing[:100])}. Each `tool_use` block must have a corresponding `tool_result` block "
            "in the next message."
        )


def _not_unique(where: str) -> ApiError:
    return refusal(f"{where}: `tool_use` ids must be unique")


def _check_thinking(turns: list[_Turn]) -> None:
    """Raise ApiError if the last call of a tool has lost the thinking before it."""
    assistants = [turn.blocks for turn in turns if turn.role == "assistant" and turn.blocks]
    if not assistants or not any(block.type == "tool_use" for _, block in assistants[-1]):
        return
    where, first = assistants[-1][0]
    if first.type not in ("thinking", "redacted_thinking"):
        raise refusal(
            f"{where}.type: Expected `thinking` or `redacted_thinking`, but found `{first.type}`. When `thinking` "
            "is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set "
            "of `tool_use` and `tool_result` blocks)."
        )
    if first.type == "thinking" and not first.signature:
        raise refusal(f"{where}: Invalid `signature` in `thinking` block")


def _check_prefill(last: Message, *, may_prefill: bool) -> None:
    if last.role != "assistant":
        return
    if not may_prefill:
        raise refusal(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    blocks = last.blocks
    if blocks and blocks[-1].type == "text" and str(blocks[-1].text)[-1:].isspace():
        raise refusal("messages: final assistant content cannot end with trailing whitespace")
