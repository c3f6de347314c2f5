"""The texts of a scenario that stand for other texts: exact names, names with ``*``, parts of a prompt, /regular expressions/.

An expression looks at a part of a long text only, since it runs on the event loop, which all streams of the worker share. The author
of a scenario sees to it that its expressions take a short time there.
"""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

from flask_sluice.gateway.simulator.scenarios.errors import ScenarioError

Fits = Callable[[str], bool]

SEARCHED_CHARACTERS = 1000
"""How much of a prompt's beginning, and of its end, an expression looks at. A text without slashes is looked for in all of it."""
_MAX_PATTERN_CHARACTERS = 1000


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
        return re.compile(source)
    except (re.error, RecursionError, OverflowError) as error:
        raise ScenarioError(f"{text} is not a regular expression: {error}") from None
