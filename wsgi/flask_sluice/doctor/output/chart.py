"""The arrivals of a stream as an SVG image."""

from collections.abc import Sequence

_WIDTH, _HEIGHT = 960, 190
_LEFT, _BOTTOM, _TOP = 56, 150, 14
_TICKS = 6
Arrivals = Sequence[tuple[float, int, int]]


def arrival_chart(arrivals: Arrivals) -> str:
    """Return the chart: a bar for the bytes of each arrival, and above it a dot for each event that it completed.

    arrivals: (seconds, bytes, events) each; "" is returned if there are none
    """
    if not arrivals:
        return ""
    longest = max(arrivals[-1][0], 0.001)
    most = max(size for _, size, _ in arrivals)
    bars = [
        _bar(
            _x(seconds, longest),
            size / most,
            events,
            f"{seconds:.3f} s: {size} bytes, {events} events",
        )
        for seconds, size, events in arrivals
    ]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Arrivals of the stream">'
        f'<line class="axis" x1="{_LEFT}" y1="{_BOTTOM}" x2="{_WIDTH}" y2="{_BOTTOM}"/>'
        f'<text x="0" y="{_TOP + 10}">{most} B</text>'
        f"{_ticks(longest)}{''.join(bars)}"
        f'<text x="{_LEFT}" y="{_HEIGHT - 4}">seconds after the request; a bar is what came with one read, '
        "a dot an event that was complete with it</text></svg>"
    )


def _x(seconds: float, longest: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - 8) * seconds / longest


def _bar(x: float, share: float, events: int, title: str) -> str:
    height = max((_BOTTOM - _TOP - 12) * share, 1)
    dots = "".join(
        f'<circle class="event" cx="{x:.1f}" cy="{_BOTTOM - height - 5 - 4 * number:.1f}" r="2"/>'
        for number in range(min(events, 3))
    )
    return (
        f"<g><title>{title}</title>"
        f'<rect class="bytes" x="{x - 1:.1f}" y="{_BOTTOM - height:.1f}" width="2" height="{height:.1f}"/>{dots}</g>'
    )


def _ticks(longest: float) -> str:
    return "".join(
        f'<text x="{_x(longest * tick / _TICKS, longest):.0f}" y="{_BOTTOM + 16}">{longest * tick / _TICKS:.2f}</text>'
        for tick in range(_TICKS)
    )
