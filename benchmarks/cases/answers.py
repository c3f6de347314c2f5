"""Answers that come as fast as they can: long ones, and short ones."""

from benchmarks.bench import Bench
from benchmarks.figures import (
    answers_per_second,
    busy_notes,
    cpu_cell,
    cpu_per_answer_us,
    events_per_second,
    first_event_ms,
    first_event_spread_ms,
    median,
    speed_cell,
)
from benchmarks.load import Result
from benchmarks.measure import Rounds, Target
from benchmarks.report import Section, Table

_SHORT_EVENTS = 10
_TOGETHER = 16
_SLOW_SHARE = 0.25
"""Of the short answers, for those servers that take ten times as long for one."""


def flat_out(bench: Bench) -> Section:
    streams, events = bench.scale.flat_out
    with bench.relays(bench.fast | bench.slow) as relays:
        singly = bench.in_turns(relays, lambda target: target.answers(events, streams, streams))
        together = bench.in_turns(
            relays, lambda target: target.answers(events, streams, streams, _TOGETHER)
        )
    return Section(
        f"Flat out: {streams} streams of {events:,} events",
        "As fast as they go, each event sent by itself, as servers do. The spread tells how fair a server is: all ask at "
        "once, and it is the time from the first of all first events to the last of them.",
        [
            _flat_out_table(singly),
            f"The same from an upstream that sends {_TOGETHER} events together, which makes it, and the system calls, cheap for all: "
            "what is left is what a server does with each event.",
            _flat_out_table(together),
        ],
        busy_notes(singly) or busy_notes(together),
    )


def _flat_out_table(rounds: Rounds) -> Table:
    columns = ["", "µs CPU/event (× nginx)", "events/s", "first-event spread, ms"]
    rows = [
        [
            name,
            cpu_cell(rounds, name),
            speed_cell(results, events_per_second),
            f"{median(results, first_event_spread_ms):.0f}",
        ]
        for name, results in rounds.items()
    ]
    return Table(columns, rows)


def short(bench: Bench) -> Section:
    answers, at_once = bench.scale.short_answers, bench.scale.short_at_once
    with bench.relays(bench.fast | bench.slow) as relays:
        slow = [relays[name] for name in bench.slow]

        def ask(target: Target) -> Result:
            share = _SLOW_SHARE if target in slow else 1
            return target.answers(_SHORT_EVENTS, at_once, round(answers * share))

        rounds = bench.in_turns(relays, ask)
    rows = [
        [
            name,
            cpu_cell(rounds, name, cpu_per_answer_us),
            speed_cell(results, answers_per_second),
            *[f"{median(results, first_event_ms(percent)):.1f}" for percent in (50, 99)],
        ]
        for name, results in rounds.items()
    ]
    columns = ["", "µs CPU/answer (× nginx)", "answers/s", "first event p50, ms", "p99, ms"]
    return Section(
        f"Short answers: {answers:,} of {_SHORT_EVENTS} events, {at_once} at a time",
        "What a request costs, rather than its events. Starlette is asked for a quarter as many.",
        [Table(columns, rows)],
        busy_notes(rounds),
    )
