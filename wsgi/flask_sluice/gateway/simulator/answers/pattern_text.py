"""A text that a regular expression matches, for the expressions that JSON Schemas have: literals, classes, groups, counts."""

import random

_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ESCAPES = {"d": _DIGITS, "w": _LETTERS + _DIGITS + "_", "s": " ", "t": "\t", "n": "\n", "r": "\r"}
_NEGATED = {"D": _DIGITS, "W": _ESCAPES["w"], "S": " \t\n\r"}
_ALL = _LETTERS + _LETTERS.upper() + _DIGITS + "-_ ./:@#"
_MAX_TEXT = 1000
_MORE_THAN_LEAST = 3


class UnsupportedPatternError(ValueError):
    """The expression has what is not understood here: references, conditions, looking around."""


def text_of_pattern(pattern: str, rng: random.Random) -> str:
    """Return a text that the expression matches, without running it. Raises UnsupportedPatternError."""
    reader = _Reader(pattern, rng)
    text = reader.alternatives()
    if reader.rest:
        raise UnsupportedPatternError(pattern)
    return text


class _Reader:
    """Reads the expression from left to right, and makes the text as it goes."""

    def __init__(self, pattern: str, rng: random.Random) -> None:
        self.rest = pattern
        self._pattern = pattern
        self._rng = rng

    def alternatives(self) -> str:
        """Return a text of one of the branches up to the end or to a closing parenthesis."""
        branches = [self._branch()]
        while self._take("|"):
            branches.append(self._branch())
        return self._rng.choice(branches)

    def _branch(self) -> str:
        text = ""
        while self.rest and self.rest[0] not in "|)":
            if self.rest[0] in "^$":
                self.rest = self.rest[1:]
                continue
            before = self.rest
            piece = self._atom()
            least, most = self._count()
            count = self._rng.randint(least, most)
            if count == 1:
                text += piece
                continue
            atom = before[: len(before) - len(self.rest)]
            for _ in range(count):
                # Each time anew, so that a class gives other characters.
                text += _Reader(atom, self._rng)._atom()
                if len(text) > _MAX_TEXT:
                    raise UnsupportedPatternError(self._pattern)
        return text

    def _atom(self) -> str:
        letter, self.rest = self.rest[0], self.rest[1:]
        if letter == "(":
            return self._group()
        if letter == "[":
            return self._rng.choice(self._class())
        if letter == ".":
            return self._rng.choice(_LETTERS)
        if letter == "\\":
            return self._rng.choice(self._escape())
        if letter in "*+?{":
            raise UnsupportedPatternError(self._pattern)
        return letter

    def _group(self) -> str:
        if self._take("?") and not self._take(":"):
            # A name is left out; what is looked around for is not understood.
            if not (self._take("P<") or self._take("<")) or self.rest[:1] in ("=", "!"):
                raise UnsupportedPatternError(self._pattern)
            self.rest = self.rest.partition(">")[2]
        text = self.alternatives()
        if not self._take(")"):
            raise UnsupportedPatternError(self._pattern)
        return text

    def _escape(self) -> str:
        letter, self.rest = self.rest[:1], self.rest[1:]
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter in _NEGATED:
            return "".join(each for each in _ALL if each not in _NEGATED[letter])
        if not letter or letter.isalnum():
            raise UnsupportedPatternError(self._pattern)
        return letter

    def _class(self) -> str:
        is_negated = self._take("^")
        letters = ""
        while not self._take("]") or not letters:
            if not self.rest:
                raise UnsupportedPatternError(self._pattern)
            letter, self.rest = self.rest[0], self.rest[1:]
            found = self._escape() if letter == "\\" else letter
            if len(found) == 1 and self.rest[:1] == "-" and self.rest[1:2] not in ("]", ""):
                end, self.rest = self.rest[1], self.rest[2:]
                end = self._escape() if end == "\\" else end
                found = "".join(map(chr, range(ord(found), min(ord(end[0]), ord(found) + 255) + 1)))
            letters += found
        if is_negated:
            letters = "".join(each for each in _ALL if each not in letters)
        if not letters:
            raise UnsupportedPatternError(self._pattern)
        # Printable ASCII, where there is a choice.
        return "".join(each for each in letters if " " <= each <= "~") or letters

    def _count(self) -> tuple[int, int]:
        least, most = 1, 1
        if self._take("*"):
            least, most = 0, _MORE_THAN_LEAST
        elif self._take("+"):
            least, most = 1, _MORE_THAN_LEAST
        elif self._take("?"):
            least, most = 0, 1
        elif self._take("{"):
            given, _, self.rest = self.rest.partition("}")
            first, comma, last = given.partition(",")
            if not first.isdigit() or (last and not last.isdigit()) or len(given) > 9:
                raise UnsupportedPatternError(self._pattern)
            least = int(first)
            most = int(last) if last else least + (_MORE_THAN_LEAST if comma else 0)
        else:
            return 1, 1
        self._take("?")  # A lazy one matches the same.
        if most < least or least > _MAX_TEXT:
            raise UnsupportedPatternError(self._pattern)
        return least, min(most, least + _MORE_THAN_LEAST)

    def _take(self, text: str) -> bool:
        if self.rest.startswith(text):
            self.rest = self.rest.removeprefix(text)
            return True
        return False
