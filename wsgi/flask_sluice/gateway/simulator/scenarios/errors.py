"""What is wrong with a scenario."""

import difflib
from collections.abc import Iterable


class ScenarioError(ValueError):
    """The message says where the mistake is, and what is taken there.

    rule: the rule's number, from 1 on, if the mistake is in one; with ``field``, such as "fault.kind", it leads to the line of a file
    """

    def __init__(self, message: str, rule: int | None = None, field: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.field = field


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ScenarioError for a name that is not known, with the nearest one that is."""
    names = sorted(known)
    for name in given:
        if name not in names:
            nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]}?" if nearest else f"it takes {', '.join(names)}"
            raise ScenarioError(f"unknown field {name}: {hint}", field=name)
