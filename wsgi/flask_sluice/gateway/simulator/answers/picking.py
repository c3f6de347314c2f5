"""Which tools a question is about."""

import re

from flask_sluice.gateway.simulator.answers.asked import Tool
from flask_sluice.gateway.simulator.answers.material import things_listed

_WORD = re.compile(r"[a-z]+|\d+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_COMMON_WORDS = frozenset(
    [
        "a",
        "about",
        "all",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "do",
        "for",
        "from",
        "get",
        "given",
        "has",
        "have",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "me",
        "my",
        "no",
        "not",
        "of",
        "on",
        "one",
        "or",
        "our",
        "please",
        "some",
        "tell",
        "than",
        "that",
        "the",
        "then",
        "there",
        "this",
        "to",
        "tool",
        "up",
        "use",
        "used",
        "uses",
        "using",
        "was",
        "we",
        "what",
        "when",
        "where",
        "which",
        "who",
        "will",
        "with",
        "would",
        "you",
        "your",
        "function",
        "call",
        "returns",
        "return",
        "current",
    ]
)
_NAME_WEIGHT = 3
_MAX_CALLS = 8
_SUFFIX_LETTERS = 5
"""Of words as long as this the end may differ, as in “weather” and “weathers”."""


def pick_calls(tools: list[Tool], topic: str, *, may_pick_several: bool) -> list[tuple[Tool, str]]:
    """Return the tools that are called, each with what its call is about.

    Several, where several are allowed: those whose names the question has words of; and one tool for each of the things
    that the question lists, such as the weather in Paris, Tokyo and Rome. Else the one that the question has most words
    of, or the first.

    topic: the question
    """
    words = _stems(topic)
    scores = [_score(tool, words) for tool in tools]
    best = tools[max(range(len(tools)), key=lambda place: scores[place])]
    if not may_pick_several:
        return [(best, topic)]
    named = [tool for tool in tools if _stems(tool.name) & words]
    if len(named) > 1:
        return [(tool, topic) for tool in named[:_MAX_CALLS]]
    things = things_listed(topic)
    if things and _takes_one_text(best):
        return [(best, f"“{thing}”") for thing in things[:_MAX_CALLS]]
    return [(best, topic)]


def _score(tool: Tool, words: set[str]) -> int:
    return _NAME_WEIGHT * len(_stems(tool.name) & words) + len(_stems(tool.description) & words)


def _stems(text: str) -> set[str]:
    words = _WORD.findall(_CAMEL.sub(" ", text[:2000]).lower())
    return {
        word[:_SUFFIX_LETTERS] if len(word) > _SUFFIX_LETTERS else word for word in words
    } - _COMMON_WORDS


def _takes_one_text(tool: Tool) -> bool:
    """Whether its schema has just one required property of type string, for one thing at a time."""
    schema = bytes(tool.parameters or b"").lower()
    return schema.count(b'"array"') == 0 and b'"string"' in schema
