"""How the evidence says numbers and texts."""


def counted(count: int, noun: str) -> str:
    """The number with its noun: "1 event", "2 events"."""
    return f"{count} {noun}{'s' * (count != 1)}"


def shortened(text: str, most: int = 60) -> str:
    """The beginning of a text, in quotes and on one line."""
    shown = text if len(text) <= most else f"{text[: most - 1]}…"
    return repr(shown)


def span(seconds: float) -> str:
    """A time for people: "40 ms", "1.2 s", "65 s", "24 h"."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds >= 7200:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
