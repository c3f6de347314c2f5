"""Measures Sluice beside its peers, in one run: python -m benchmarks [--quick] [CASE …]

A full run of all cases writes benchmarks/RESULTS.md and its plots.
"""

import argparse
import os
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import plots, report
from benchmarks.bench import bench, left_out
from benchmarks.cases import CASES
from benchmarks.figures import percentile
from benchmarks.measure import Scale
from benchmarks.processes import CORES, LOAD_CORE
from benchmarks.report import Section, Table

_HERE = Path(__file__).parent
_QUICK = Scale(
    rounds=1,
    window_seconds=0.5,
    more_streams=(50, 1000),
    flat_out=(50, 200),
    short_answers=500,
    idle_relayed=(1000,),
    idle_simulated=(1000, 4000),
    cancels=20,
    codec_events=10_000,
    followed_streams=((200, 50), (1000, 10)),
)


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of all, for a first look")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    arguments = parser.parse_args()
    for name in set(arguments.cases) - set(CASES):
        parser.error(f"there is no case {name}; there are {', '.join(CASES)}")
    if CORES < 2:
        sys.exit("this needs two cores: one for the server, one for what asks it")
    os.sched_setaffinity(0, {LOAD_CORE})
    started_at = time.monotonic()
    for reason in left_out():
        print(reason)
    sections: list[Section] = []
    with bench(_QUICK if arguments.quick else Scale()) as all_cases:
        for name in arguments.cases or CASES:
            section = CASES[name](all_cases)
            print(f"\n{section.as_markdown()}", flush=True)
            sections.append(section)
    text = _introduction(all_cases.scale, all_cases.foreign_shares, time.monotonic() - started_at)
    print(f"\n{text}")
    if not arguments.quick and not arguments.cases:
        write(text, sections, _HERE)


def _introduction(scale: Scale, foreign_shares: list[float], seconds: float) -> str:
    parts = [
        "# What Sluice costs, beside its peers",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}, in {seconds / 60:.0f} minutes. {report.machine()}.",
        "How it is measured, and where the time goes: [docs/performance.md](../docs/performance.md). In short: one process "
        "serves, on one core; load and upstream are on another. CPU is user and system time of all the server's "
        f"processes, as the kernel counts it. Servers take turns; figures are medians of {scale.rounds} rounds after one for "
        "warming up; in brackets the ratio to nginx in the same round, its median and its range. Ratios say more than "
        "microseconds, which are this machine's.",
        *left_out(),
    ]
    if foreign_shares:
        parts.append(
            f"Other programs took {statistics.median(foreign_shares):.0%} of the machine in the median run and "
            f"{percentile(foreign_shares, 90):.0%} or more in one of ten."
        )
    return "\n\n".join(parts)


def write(introduction: str, sections: list[Section], folder: Path) -> None:
    texts = [introduction, *[section.as_markdown() for section in sections]]
    (folder / "RESULTS.md").write_text("\n\n".join(texts) + "\n")
    for section in sections:
        for block in section.blocks:
            if not isinstance(block, str | Table):
                plots.draw(block, folder / "plots")


if __name__ == "__main__":
    main()
