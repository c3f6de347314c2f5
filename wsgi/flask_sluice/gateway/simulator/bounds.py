"""What a request may hold and ask for, so that none keeps the event loop of all others for long."""

from flask_sluice.stream.errors import ApiError

MAX_BODY_BYTES = 4 * 1024 * 1024
"""What can be decoded in 15 ms, whatever is in it, with the two limits below: a million tokens of prose, or a photograph."""
_MAX_CONTAINERS = 50_000
_MAX_COMMAS = 500_000
SMALL_BODY_BYTES = 128 * 1024
"""What is decoded in a few milliseconds, whatever is in it."""
MAX_TOKENS = 100_000
"""Of all choices of one answer together, which are made before the first event is sent."""
MAX_TIMES = 1000
"""Of one answer, since some numbers take 5 us to decode."""
MAX_CHARACTERS = 1_000_000
"""Of the same, where the request contains the answer, whose tokens may be long."""
MAX_ECHOED_CHARACTERS = 100_000
"""Of the prompts that all choices of a text completion repeat."""
MAX_CHOICES = 500
"""Bounds the same time for choices with few tokens: each takes 70 us."""
MAX_PARTS = 10_000
"""Of messages and of parts of a message: far more than clients send, and read in a few milliseconds."""


def check_size(body: bytes) -> None:
    """Raise ApiError 400 for JSON with so many parts that decoding it would take long, whatever they are."""
    if body.count(b"{") + body.count(b"[") > _MAX_CONTAINERS or body.count(b",") > _MAX_COMMAS:
        raise ApiError(
            400,
            "invalid_request",
            f"the simulator reads at most {_MAX_CONTAINERS} objects and arrays, and {_MAX_COMMAS} commas",
        )
