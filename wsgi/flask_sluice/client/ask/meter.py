"""Measures the pace of an answer."""

import time


class Meter:
    """Measures the time to the first token and the token rate."""

    def __init__(self) -> None:
        self.tokens = 0
        self._started_at = self._first_at = self._last_at = time.monotonic()

    def count(self) -> None:
        self._last_at = time.monotonic()
        if not self.tokens:
            self._first_at = self._last_at
        self.tokens += 1

    def __str__(self) -> str:
        if not self.tokens:
            return "no tokens"
        seconds = self._last_at - self._first_at
        rate = f", {(self.tokens - 1) / seconds:.1f} tokens/s" if seconds else ""
        first_seconds = self._first_at - self._started_at
        tokens = "1 token" if self.tokens == 1 else f"{self.tokens} tokens"
        return f"first token after {first_seconds:.3f} s, {tokens}{rate}"
