"""What is made of several rounds: medians, ratios of servers in the same round, and how tables show them."""

import statistics
from collections.abc import Callable, Sequence

from benchmarks.load import Result
from benchmarks.measure import Rounds

Figure = Callable[[Result], float]

NGINX = "nginx"
_BUSY = 0.8
_BUSY_MARK = "\\*"


def cpu_per_event_us(result: Result) -> float:
    return result.usage.server / result.events * 1e6


def cpu_per_answer_us(result: Result) -> float:
    return result.usage.server / result.answers * 1e6


def events_per_second(result: Result) -> float:
    return result.events / result.usage.wall


def answers_per_second(result: Result) -> float:
    return result.answers / result.usage.wall


def delay_us(percent: int) -> Figure:
    return lambda result: percentile(result.delays, percent) * 1e6


def first_event_ms(percent: int) -> Figure:
    return lambda result: percentile(result.first_events, percent) * 1e3


def first_event_spread_ms(result: Result) -> float:
    return result.first_event_spread * 1e3


def median(results: Sequence[Result], figure: Figure) -> float:
    return statistics.median(map(figure, results))


def percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]


def ratios(rounds: Rounds, name: str, to: str, figure: Figure) -> list[float]:
    """Of the two in the same round, for each round."""
    pairs = zip(rounds[name], rounds[to], strict=True)
    return [figure(one) / figure(another) for one, another in pairs]


# Cells of tables.


def cpu_cell(rounds: Rounds, name: str, figure: Figure = cpu_per_event_us) -> str:
    """The median, and the ratio to nginx: the median of the rounds' ratios, and their range."""
    cell = f"{median(rounds[name], figure):.1f}"
    if name == NGINX:
        return cell
    each = ratios(rounds, name, NGINX, figure)
    return f"{cell} ({statistics.median(each):.2f}; {min(each):.2f}–{max(each):.2f})"


def added_delay_cells(rounds: Rounds, name: str, to: str) -> list[str]:
    """What a server adds to the delays of another, at p50 and p99, each in the calmest of its rounds.

    Not in the same round: when the machine stands still for 20 ms, that is the p99 of who is measured then.
    """

    def least(results: Sequence[Result], percent: int) -> float:
        return min(map(delay_us(percent), results))

    added = [least(rounds[name], percent) - least(rounds[to], percent) for percent in (50, 99)]
    return [f"{each / 1e3:.2f}" for each in added]


def speed_cell(results: Sequence[Result], figure: Figure) -> str:
    return f"{median(results, figure):,.0f}{_BUSY_MARK if _load_was_busy(results) else ''}"


def lost_notes(rounds: Rounds) -> list[str]:
    return [
        f"{name} lost streams (refused, closed, or never had an event): {lost}."
        for name, results in rounds.items()
        if (lost := sum(result.errors for result in results))
    ]


def busy_notes(rounds: Rounds) -> list[str]:
    """Where the load was the limit, its speed was measured and not the server's."""
    if not any(_load_was_busy(results) for results in rounds.values()):
        return []
    return [
        f"{_BUSY_MARK} The core of the load and the upstream was busy for more than {_BUSY:.0%} of the time: the speed is "
        "what they could do, not what the server could. Its CPU time is its own all the same."
    ]


def _load_was_busy(results: Sequence[Result]) -> bool:
    return median(results, lambda result: result.usage.load / result.usage.wall) > _BUSY
