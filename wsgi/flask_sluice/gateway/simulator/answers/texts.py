"""The text of the simulator's answers: readable, about the question, the same for the same question and seed."""

import random
import re
from functools import cache
from hashlib import sha512
from itertools import islice

from flask_sluice.stream.loop.give_way import give_way

_TOPIC_CHARACTERS = 120
_COUNTED_AT_ONCE = 16384
_HASHED_ONCE = 4096

_OPENINGS = (
    "You asked: “{topic}” — a good question to watch an answer arrive by.",
    "Let us take “{topic}” step by step. ✨",
    "About “{topic}”: here is what can be said, one token at a time.",
    "“{topic}” — that deserves more than one line, so here are a few.",
)

_PARAGRAPHS = (
    "First of all, this text is simulated. No model has read your question; Sluice has, and it writes what "
    "a model’s answer would look like on the wire: the same events, the same pace, the same ending. "
    "What you build against it works against a real server, too.",
    "A language model writes one token after the other, and a token is about three quarters of a word. At "
    "30 ms each that makes some thirty tokens a second — faster than most people read, slower than they "
    "are willing to wait for the whole. That is why one streams.",
    "On the wire each token is one event: a line that begins with “data:”, then an empty line. "
    "The format is from 2006, every browser speaks it, and it passes through every proxy that does not hold it "
    "back. Café, naïve, Größe, 你好, привет, 🌊 — all of it is UTF-8, and no character is ever cut in two.",
    "The hard part is not the sending, it is the ending. A stream that is complete says so: its last event "
    "is “[DONE]”. One that failed carries an error instead, and one that was cut has no proper "
    "end at all. A reader who checks for the three never takes half an answer for a whole one.",
    "While a model reads a long prompt nothing can be sent, and whoever sits between — a load balancer, "
    "a firewall — may take the silence for a dead connection. So a comment is sent now and then: a line "
    "that begins with a colon, which every client ignores. Try it: set “ttft_ms” to 60000.",
    "If you close this page now, the server knows within a few milliseconds and stops working on the "
    "answer. With a real model behind it that is a graphics card set free at once — a request nobody "
    "reads costs as much as one somebody does.",
    "A reader may be slower than the writer. Then the writer waits: eight events stand between them, no "
    "more, so that a phone in a tunnel costs the server a few kilobytes and not the whole answer. "
    "Everybody else goes on at full pace → nothing is shared but the clock.",
    "All of this is ordinary WSGI: a Flask view, a generator, gunicorn. What is new is small — one "
    "greenlet that watches the clock for all streams and one that watches for clients who leave. "
    "10 000 quiet streams cost little more than their buffers.",
)

_CLOSINGS = (
    "Ask again with another “seed”, and the answer will be another; with the same one, it will be this "
    "one, to the letter. 🙂",
    "That is all there is to say here. To see how each failure looks, ask with a “fault”: the documentation lists them.",
    "So much for “{topic}”. The next question is yours — à vous !",
)

# A token is a word with the space before it, a piece of a long word, a punctuation mark, or a run of line ends.
_TOKEN = re.compile(r" ?[^\W\d_]{1,9}| ?\d{1,3}| ?[^\w\s]|_| |\s+")


class Question:
    """A prompt, of which there may be many answers. A long one gives way to other streams when it is made.

    topic: its beginning, which the answers take up
    """

    def __init__(self, prompt: str) -> None:
        self.topic = shortened(prompt)
        self._seed = prompt
        if len(prompt) > _HASHED_ONCE:
            # Random would hash the whole of a text seed, for each answer.
            self._seed = sha512(prompt.encode("utf-8", "replace")).hexdigest()
            give_way()

    def answer(self, seed: int, tokens: int | None = None) -> list[str]:
        """Return the tokens of an answer.

        tokens: how many; None: as many as a few paragraphs have
        """
        # Random hashes a text seed with SHA-512, so it gives the same numbers on every machine and in every process.
        rng = random.Random(f"{seed}\n{self._seed}")
        topic = self.topic
        answer = tokenize(rng.choice(_OPENINGS).replace("{topic}", topic))
        for paragraph in rng.sample(_PARAGRAPHS, 3):
            answer += _paragraph_tokens(paragraph)
        answer += tokenize("\n\n" + rng.choice(_CLOSINGS).replace("{topic}", topic))
        if tokens is None:
            return answer
        while len(answer) < tokens:
            answer += _paragraph_tokens(rng.choice(_PARAGRAPHS))
        return answer[:tokens]


def write_answer(prompt: str, seed: int, tokens: int | None = None) -> list[str]:
    """Return the tokens of one answer to ``prompt``; see ``Question.answer``."""
    return Question(prompt).answer(seed, tokens)


@cache
def _paragraph_tokens(paragraph: str) -> list[str]:
    # With the cache an answer holds the same few strings over and over, 1 MB for 100,000 tokens instead of 6, and a
    # short answer does not tokenize its paragraphs anew, which was most of its cost.
    return tokenize("\n\n" + paragraph)


def tokenize(text: str) -> list[str]:
    """Cut text into word-like tokens, which joined are the text again."""
    return _TOKEN.findall(text)


def first_tokens(text: str, count: int) -> list[str]:
    """Return the first ``count`` tokens of ``text``, in a time that does not depend on how many it has."""
    if len(text) <= count:
        return tokenize(text)
    return [match[0] for match in islice(_TOKEN.finditer(text), count)]


def count_tokens(text: str) -> int:
    """Count the tokens of ``text``, give or take one for each 16 KiB; other streams have their turn between."""
    count = 0
    for start in range(0, len(text), _COUNTED_AT_ONCE):
        if start:
            give_way()
        count += len(tokenize(text[start : start + _COUNTED_AT_ONCE]))
    return count


def place_of_stop(text: str, stops: list[str]) -> tuple[int, str] | None:
    """Return the place of the first stop sequence and the sequence; None where there is none."""
    places = [(place, stop) for stop in stops if stop and (place := text.find(stop)) >= 0]
    return min(places, default=None)


def tokens_before(tokens: list[str], place: int) -> list[str]:
    """Return the tokens up to this place in their text."""
    kept = []
    for token in tokens:
        if place <= 0:
            break
        kept.append(token[:place])
        place -= len(token)
    return kept


def shortened(text: str) -> str:
    """Return the beginning of a text, on one line."""
    topic = " ".join(text[: 10 * _TOPIC_CHARACTERS].split()) or "nothing in particular"
    return topic if len(topic) <= _TOPIC_CHARACTERS else topic[: _TOPIC_CHARACTERS - 1] + "…"
