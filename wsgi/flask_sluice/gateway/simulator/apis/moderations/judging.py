"""Which categories of harm a text is flagged for: those of which it has one of the words below. Images are never flagged."""

import re
from collections.abc import Iterable
from hashlib import blake2b

from flask_sluice.gateway.simulator.apis.format import Json
from flask_sluice.stream.loop.give_way import give_way

_WORDS: dict[str, tuple[str, ...]] = {
    "harassment": ("idiot", "loser"),
    "harassment/threatening": ("threaten",),
    "hate": ("hate",),
    "hate/threatening": ("exterminate",),
    "illicit": ("smuggle", "counterfeit"),
    "illicit/violent": ("bomb",),
    "self-harm": ("suicide",),
    "self-harm/intent": ("suicidal",),
    "self-harm/instructions": ("overdose",),
    "sexual": ("porn",),
    "sexual/minors": ("lolita",),
    "violence": ("kill", "murder", "stab"),
    "violence/graphic": ("gore", "dismember"),
}
"""By category of omni-moderation-latest."""
WORDS = {word: category for category, words in _WORDS.items() for word in words}
_OF_IMAGES_TOO = (
    *("self-harm", "self-harm/intent", "self-harm/instructions"),
    *("sexual", "violence", "violence/graphic"),
)
"""The categories for which OpenAI's model looks at images; for the others it reads texts alone."""
_WORD = re.compile(r"[a-z]+")
_READ_AT_ONCE = 16 * 1024


def flagged_categories(texts: Iterable[str]) -> set[str]:
    """Return the categories for which these texts are flagged; other streams have their turn between."""
    found = set()
    for text in texts:
        for begin in range(0, len(text), _READ_AT_ONCE):
            if begin:
                give_way()
            words = _WORD.findall(text[begin : begin + _READ_AT_ONCE].lower())
            found |= {WORDS[word] for word in WORDS.keys() & set(words)}
    return found


def result_of(texts: list[str], flagged: set[str], *, has_image: bool) -> Json:
    """Return the result for an input of these texts, and perhaps images."""
    seed = "\n".join(text[:_READ_AT_ONCE] for text in texts[:1])
    return {
        "flagged": bool(flagged),
        "categories": {name: name in flagged for name in _WORDS},
        "category_scores": {name: _score(name, seed, name in flagged) for name in _WORDS},
        "category_applied_input_types": {
            name: [
                *(["text"] if texts else []),
                *(["image"] if has_image and name in _OF_IMAGES_TOO else []),
            ]
            for name in _WORDS
        },
    }


def _score(category: str, seed: str, is_flagged: bool) -> float:
    """Return a score of 0.9 and more where the text is flagged, and otherwise of less than 0.001."""
    digest = blake2b(f"{category}\n{seed}".encode(), digest_size=4).digest()
    part = int.from_bytes(digest, "big") / 2**32
    return round(0.9 + part / 10, 9) if is_flagged else round(part / 1000, 9)
