"""An answer as it is decided, in no API's form yet."""

from dataclasses import dataclass, replace
from typing import Literal

from flask_sluice.gateway.simulator.options import FinishReason

PartKind = Literal["reasoning", "text", "refusal", "tool_call"]


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of one kind in an answer.

    tokens: of its text; of a tool call, those of the arguments' JSON
    tool: the name of the tool that is called
    is_free_text: whether that tool takes text of any form, not JSON
    """

    kind: PartKind
    tokens: list[str]
    tool: str | None = None
    is_free_text: bool = False

    @property
    def text(self) -> str:
        return "".join(self.tokens)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers that a request is for.

    finish_reason: in OpenAI's words; None: the answer breaks off without one
    stop_sequence: before which the answer ended
    hidden_tokens: of reasoning that is not shown: they are paid, and none of the parts
    """

    parts: list[Part]
    finish_reason: FinishReason | None
    stop_sequence: str | None = None
    hidden_tokens: int = 0

    @property
    def token_count(self) -> int:
        """How many are sent."""
        return sum(len(part.tokens) for part in self.parts)

    @property
    def reasoning_token_count(self) -> int:
        """Those that are shown, and those that are not."""
        shown = sum(len(part.tokens) for part in self.parts if part.kind == "reasoning")
        return shown + self.hidden_tokens

    def texts(self, kind: PartKind) -> list[str]:
        """Return the text of each part of that kind."""
        return [part.text for part in self.parts if part.kind == kind]

    def cut(self, token_count: int) -> list[Part]:
        """Return the parts up to that token."""
        kept = []
        for part in self.parts:
            if token_count <= 0:
                break
            kept.append(replace(part, tokens=part.tokens[:token_count]))
            token_count -= len(part.tokens)
        return kept


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of a request and its answer, all choices together."""

    prompt: int
    cached: int
    completion: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class Answer:
    """All choices of an answer, and the seed from which its pace varies."""

    choices: list[Choice]
    usage: Usage
    seed: int

    @property
    def longest(self) -> int:
        """The number of tokens of the longest choice."""
        return max(choice.token_count for choice in self.choices)

    def broken_off(self, token_count: int) -> "Answer":
        """Return the answer as it is after so many tokens of each choice, without an end."""
        return replace(
            self, choices=[Choice(choice.cut(token_count), None) for choice in self.choices]
        )
