"""The table in docs/redis.md, made of what readers were given while Redis failed.

``python -m tests.failover.table`` runs all faults and writes results.json and, if none fails, the table.
``python -m tests.failover.table cluster`` runs those of this column only.
"""

import json
import math
import sys
from pathlib import Path

from tests.failover import (
    cluster_faults,
    loss_faults,
    network_faults,
    refusal_faults,
    sentinel_faults,
)
from tests.failover.faults import Fault
from tests.support.server import ROOT

PAGE = ROOT / "docs/redis.md"
RESULTS = Path(__file__).with_name("results.json")
BEGIN = "<!-- `make failover-table` writes what follows. -->\n"
END = "<!-- Until here. -->\n"

FAULTS: list[Fault] = [
    *loss_faults.FAULTS,
    *sentinel_faults.FAULTS,
    *cluster_faults.FAULTS,
    *refusal_faults.FAULTS,
    *refusal_faults.OF_SENTINELS,
    *refusal_faults.OF_CLUSTERS,
    *network_faults.FAULTS,
]
TOPOLOGIES = list(dict.fromkeys(fault.topology for fault in FAULTS))
"""The columns."""

_SHORT_SILENCE_SECONDS = 1

Results = dict[str, int]
"""For how many seconds a reader got no event at most, rounded up, by the id of the fault."""


def recorded() -> Results:
    results: Results = json.loads(RESULTS.read_text())
    return results


def render(results: Results) -> str:
    """Return the text between BEGIN and END."""
    lines = [
        "| " + " | ".join(["what happens", *TOPOLOGIES]) + " |",
        "|---" * (1 + len(TOPOLOGIES)) + "|",
    ]
    fault_of = {(fault.title, fault.topology): fault for fault in FAULTS}
    for title in dict.fromkeys(fault.title for fault in FAULTS):
        faults = [fault_of.get((title, name)) for name in TOPOLOGIES]
        cells = [_cell(fault, results) if fault else "" for fault in faults]
        lines.append("| " + " | ".join([title, *cells]) + " |")
    return "\n".join(lines) + "\n"


def _cell(fault: Fault, results: Results) -> str:
    seconds = results[fault.id]
    silence = "no pause" if seconds <= _SHORT_SILENCE_SECONDS else f"{seconds} s"
    return f"{fault.promise}; {silence}"


def generated_part(page: str) -> str:
    """Return what the page has between BEGIN and END."""
    return page.partition(BEGIN)[2].partition(END)[0]


def main(topologies: list[str]) -> None:
    results = recorded() if RESULTS.exists() else {}
    broken: list[str] = []
    for fault in FAULTS:
        if topologies and fault.topology not in topologies:
            continue
        try:
            results[fault.id] = math.ceil(fault.run().silence_seconds)
        except AssertionError as error:
            broken.append(fault.id)
            print(error)
        print(fault.id, results.get(fault.id), flush=True)
    kept = {fault.id: results[fault.id] for fault in FAULTS if fault.id in results}
    RESULTS.write_text(json.dumps(kept, indent=2) + "\n")
    if broken or len(kept) < len(FAULTS):
        sys.exit(f"not as promised: {broken}")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + render(kept) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main(sys.argv[1:])
