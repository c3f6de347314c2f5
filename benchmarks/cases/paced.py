"""Streams that stay open, each with an event now and then: what a relay does nearly all the time."""

from benchmarks import servers
from benchmarks.bench import SIMULATOR, SLUICE, Bench
from benchmarks.figures import (
    NGINX,
    added_delay_cells,
    busy_notes,
    cpu_cell,
    cpu_per_event_us,
    events_per_second,
    lost_notes,
    median,
    speed_cell,
)
from benchmarks.measure import Rounds, Target, simulator_body
from benchmarks.report import Bars, Lines, Section, Table
from benchmarks.servers import Start

_TOKENS = 2000
"""Of a simulated stream, so that it outlasts the window."""
_DIRECT = "upstream, directly"


def paced(bench: Bench) -> Section:
    scale = bench.scale
    rate, slow_rate = scale.events_per_second, scale.slow_events_per_second
    direct = {_DIRECT: Target(bench.upstream, None)}
    with bench.relays(bench.fast) as relays, servers.sluice(None) as server:
        body = simulator_body(1000 * scale.streams // rate, _TOKENS)
        simulator = Target(server, None, body=body)
        targets = direct | relays | {SIMULATOR: simulator}
        full = bench.open_streams(targets, scale.streams, rate)
    some: dict[str, Start] = {NGINX: servers.nginx, SLUICE: servers.sluice}
    with bench.relays(some | bench.slow) as relays:
        slow = bench.open_streams(direct | relays, scale.streams, slow_rate)
    title = f"{rate:,} events/s from {scale.streams} streams"
    bars = {name: median(full[name], cpu_per_event_us) for name in full if name != _DIRECT}
    return Section(
        f"Paced: {title}",
        f"Streams that stay open, their events spread evenly, counted for {scale.window_seconds:g} s once all are there. "
        "Added latency: from an event's sending by the upstream to its arrival at the client, less the same for a "
        "client that reads from the upstream itself, each in the calmest of its rounds: where the machine stands still "
        "for 20 ms, that is a round's p99. The simulator makes its events itself; it stands beside relays of events of "
        "about the same size.",
        [
            _table(full),
            Bars("paced", title, "µs of the server's CPU for an event", bars),
            f"The same with {slow_rate:,} events/s, since {rate:,} are more than a core can do with some of these. "
            "An event then costs everybody more: a server that has nothing to do sleeps, and has to be woken.",
            _table(slow),
        ],
        [*(busy_notes(full) or busy_notes(slow)), *lost_notes(full), *lost_notes(slow)],
    )


def _table(rounds: Rounds) -> Table:
    columns = ["", "µs CPU/event (× nginx)", "of its core", "events/s"]
    columns += ["added latency p50, ms", "p99, ms"]
    rows = []
    for name, results in rounds.items():
        if name == _DIRECT:
            continue
        has_delays = bool(results[0].delays)
        core = median(results, lambda result: result.usage.server / result.usage.wall)
        rows.append(
            [
                name,
                cpu_cell(rounds, name),
                f"{core:.0%}",
                speed_cell(results, events_per_second),
                *(added_delay_cells(rounds, name, _DIRECT) if has_delays else ["–", "–"]),
            ]
        )
    return Table(columns, rows)


def more_streams(bench: Bench) -> Section:
    """The same events per second, from ever more streams."""
    scale = bench.scale
    rows, by_name = [], {name: list[float]() for name in bench.fast}
    notes: list[str] = []
    lost: list[str] = []
    with bench.relays(bench.fast) as relays:
        for streams in scale.more_streams:
            rounds = bench.open_streams(relays, streams, scale.events_per_second)
            rows.append([f"{streams:,}", *[cpu_cell(rounds, name) for name in rounds]])
            notes = notes or busy_notes(rounds)
            lost += lost_notes(rounds)
            for name, results in rounds.items():
                by_name[name].append(median(results, cpu_per_event_us))
    title = f"{scale.events_per_second:,} events/s from more and more streams"
    return Section(
        title,
        "µs CPU/event (× nginx). In all rows the same events per second: what grows is the number of streams.",
        [
            Table(["streams", *bench.fast], rows),
            Lines(
                "more-streams",
                title,
                "streams",
                "µs of the server's CPU for an event",
                scale.more_streams,
                dict(by_name),
            ),
        ],
        [*notes, *lost],
    )
