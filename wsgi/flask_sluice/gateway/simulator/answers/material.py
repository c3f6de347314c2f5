"""What a question offers for the arguments of a tool: its names, its numbers, what it quotes."""

import re
from itertools import pairwise

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")
_QUOTED = re.compile(r"“([^”]+)”|\"([^\"]+)\"|'([^']+)'(?!\w)|`([^`]+)`")
# The state or country of a place belongs to its name: “San Francisco, CA”.
_NAME = re.compile(r"[A-ZÀ-ÖØ-Þ][\w'’-]*(?:\s+[A-ZÀ-ÖØ-Þ][\w'’-]*)*(?:, [A-Z]{2}\b)?")
_SENTENCE_START = re.compile(r"(?:^|[.!?:\n]\s*)$")
_USUAL_FIRST_WORDS = frozenset(
    [
        "a",
        "add",
        "all",
        "an",
        "and",
        "answer",
        "are",
        "ask",
        "book",
        "by",
        "call",
        "can",
        "check",
        "compare",
        "compute",
        "convert",
        "could",
        "create",
        "delete",
        "do",
        "does",
        "explain",
        "find",
        "for",
        "from",
        "get",
        "give",
        "hello",
        "help",
        "hi",
        "how",
        "i",
        "if",
        "in",
        "is",
        "it",
        "let",
        "list",
        "look",
        "make",
        "my",
        "no",
        "of",
        "on",
        "open",
        "order",
        "please",
        "plan",
        "read",
        "run",
        "say",
        "search",
        "send",
        "show",
        "should",
        "sum",
        "summarize",
        "tell",
        "that",
        "the",
        "then",
        "there",
        "this",
        "to",
        "translate",
        "turn",
        "use",
        "was",
        "we",
        "what",
        "what's",
        "whats",
        "when",
        "where",
        "which",
        "who",
        "whose",
        "why",
        "will",
        "with",
        "would",
        "write",
        "yes",
        "you",
        "your",
    ]
)
_LISTED = re.compile(r"\s*(?:,|;|\band\b|\bund\b|\bet\b|&)\s*", re.IGNORECASE)


class Material:
    """Hands out what is in a question, each thing once; the last name again where there is no other.

    topic: the question, shortened
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.names = names_in(topic)
        self._numbers = [float(each) for each in _NUMBER.findall(topic)]
        self._next_name = 0

    def name(self) -> str | None:
        """Return the next name or quoted text, None where the question has none."""
        if not self.names:
            return None
        name = self.names[min(self._next_name, len(self.names) - 1)]
        self._next_name += 1
        return name

    def number(self, *, is_whole: bool) -> float | None:
        """Return the next number of the question, None where there is no more that fits."""
        for place, number in enumerate(self._numbers):
            if not is_whole or number.is_integer():
                return self._numbers.pop(place)
        return None


def names_in(text: str) -> list[str]:
    """Return what is quoted in the text, or else its proper names, in their order."""
    quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(text)]
    if quoted:
        return quoted
    names = []
    for match in _NAME.finditer(text):
        words = match[0].split()
        if _SENTENCE_START.search(text[: match.start()]):
            while words and words[0].lower() in _USUAL_FIRST_WORDS:
                words.pop(0)
        if words and not (len(words) == 1 and words[0] == "I"):
            names.append(" ".join(words).rstrip("'’"))
    return names


def things_listed(text: str) -> list[str]:
    """Return the names that the text lists, such as “Paris, Tokyo and Rome”; none where it lists nothing."""
    names = names_in(text)
    if len(names) < 2:
        return []
    places, start = [], 0
    for name in names:
        place = text.find(name, start)
        if place < 0:
            return []
        places.append((place, place + len(name)))
        start = place + len(name)
    gaps = [text[end:begin] for (_, end), (begin, _) in pairwise(places)]
    if [gap.strip() for gap in gaps] == [","]:
        # “Paris, France” is one place; a list of two has an “and”.
        return []
    listed = [names[0]]
    for gap, name in zip(gaps, names[1:], strict=True):
        # “in Paris and in Tokyo” lists as well.
        if _LISTED.match(gap) and len(gap) <= 12:
            listed.append(name)
    return listed if len(listed) > 1 else []
