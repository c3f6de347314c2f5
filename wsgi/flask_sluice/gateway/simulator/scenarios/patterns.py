"""The texts of a scenario that stand for other texts: exact names, names with ``*``, parts of a prompt, /regular expressions/.

The expressions that could take very long are refused, and the others look at a part of a long text only: they run on the
event loop, which all streams of the worker share.
"""

import re
import sys
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

if sys.version_info >= (3, 11):
    from re import _parser as sre_parse
else:
    import sre_parse

from flask_sluice.gateway.simulator.scenarios.errors import ScenarioError

Fits = Callable[[str], bool]

SEARCHED_CHARACTERS = 1000
"""How much of a prompt's beginning, and of its end, an expression looks at. A text without slashes is looked for in all of it."""
_MAX_PATTERN_CHARACTERS = 1000
_MAX_WAYS = 4 * SEARCHED_CHARACTERS**2
"""In how many ways an expression may be tried at one place of a text: two repeats without an end, such as ``.*``."""
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


def name_pattern(text: str) -> Fits:
    """Return what fits a name: the same one, one that fits the ``*`` and ``?``, or one in which the expression is found."""
    if (expression := _expression(text)) is not None:
        return lambda name: expression.search(name[:SEARCHED_CHARACTERS]) is not None
    if "*" in text or "?" in text:
        return lambda name: fnmatchcase(name, text)
    return lambda name: name == text


def text_pattern(text: str) -> Fits:
    """Return what fits a text that contains this one, or in which the expression is found."""
    if (expression := _expression(text)) is not None:
        return lambda whole: _is_found(expression, whole)
    return lambda whole: text in whole


def _is_found(expression: "re.Pattern[str]", text: str) -> bool:
    if len(text) <= 2 * SEARCHED_CHARACTERS:
        return expression.search(text) is not None
    parts = (text[:SEARCHED_CHARACTERS], text[-SEARCHED_CHARACTERS:])
    return any(expression.search(part) is not None for part in parts)


def _expression(text: str) -> "re.Pattern[str] | None":
    """Return the expression of a text between slashes, None for another. Raises ScenarioError."""
    if len(text) < 3 or not (text.startswith("/") and text.endswith("/")):
        return None
    source = text[1:-1]
    if len(source) > _MAX_PATTERN_CHARACTERS:
        raise ScenarioError(
            f"the regular expression is longer than {_MAX_PATTERN_CHARACTERS} characters"
        )
    try:
        expression = re.compile(source)
        parsed: Any = sre_parse.parse(source)
    except (re.error, RecursionError, OverflowError) as error:
        raise ScenarioError(f"{text} is not a regular expression: {error}") from None
    if _ways(parsed) > _MAX_WAYS:
        raise ScenarioError(
            f"{text} could take very long: it takes two repeats such as .* or [a-z]+, and none inside another"
        )
    return expression


def _ways(parsed: Iterable[Any]) -> float:
    """Return in how many ways the expression may fit at one place of a text of ``SEARCHED_CHARACTERS``, at most."""
    ways = 1.0
    for operation, argument in parsed:
        name = str(operation)
        if name in _REPEATS:
            ways *= _ways_of_repeat(*argument)
        elif name == "BRANCH":
            ways *= sum(_ways(alternative) for alternative in argument[1])
        else:
            for inner in _inner(argument):
                ways *= _ways(inner)
    return ways


def _ways_of_repeat(least: int, most: int, repeated: Iterable[Any]) -> float:
    inside = _ways(repeated)
    count = min(int(most), SEARCHED_CHARACTERS)
    if inside > 1 and count > 1:
        # Each round may go each of the ways.
        return float("inf") if count >= SEARCHED_CHARACTERS else min(inside, 1e9) ** min(count, 30)
    return inside * max(1, count - least + 1)


def _inner(argument: object) -> Iterable[Any]:
    """Yield the expressions inside of an operation's argument."""
    if isinstance(argument, sre_parse.SubPattern):
        yield argument
    elif isinstance(argument, tuple | list):
        for each in argument:
            yield from _inner(each)
