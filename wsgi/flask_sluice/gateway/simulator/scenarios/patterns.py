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

SEARCHED_CHARACTERS = 2000
"""How much of a prompt's beginning, and of its end, an expression looks at. A text without slashes is looked for in all of it."""
_MAX_PATTERN_CHARACTERS = 1000
_MAX_OPEN_REPEATS = 2
"""With n repeats, an expression may take time like the text's length to the power of n + 1."""
_OPEN = 100
"""A repeat that may come more often than this counts as one without an end."""
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
    if _open_repeats(parsed) > _MAX_OPEN_REPEATS:
        raise ScenarioError(
            f"{text} could take very long: it takes at most {_MAX_OPEN_REPEATS} repeats such as .* or [a-z]+, "
            "and none inside another"
        )
    return expression


def _open_repeats(parsed: Iterable[Any]) -> float:
    """Return how many repeats without an end are in the expression; infinity where one is inside another."""
    count = 0.0
    for operation, argument in parsed:
        if str(operation) in _REPEATS:
            _, most, inner = argument
            inside = _open_repeats(inner)
            if most is not sre_parse.MAXREPEAT and int(most) <= _OPEN:
                count += inside * int(most)
            elif inside or _has_branch(inner):
                return float("inf")
            else:
                count += 1
        else:
            count += sum(_open_repeats(inner) for inner in _inner(argument))
    return count


def _has_branch(parsed: Iterable[Any]) -> bool:
    """Return whether there are alternatives or optional parts inside, as in (a|a)*, which can fit in many ways."""
    return any(
        str(operation) in ("BRANCH", *_REPEATS)
        or any(_has_branch(inner) for inner in _inner(argument))
        for operation, argument in parsed
    )


def _inner(argument: object) -> Iterable[Any]:
    """Yield the expressions inside of an operation's argument."""
    if isinstance(argument, sre_parse.SubPattern):
        yield argument
    elif isinstance(argument, tuple | list):
        for each in argument:
            yield from _inner(each)
