"""Reads the answer of each case with each client of the field, and writes what they made of it into docs/simulator.md.

Run: python -m tests.sdks.field.table
"""

import json
import subprocess
import sys

from flask_sluice.testing import simulated_llm
from flask_sluice.testing.examining.cases import CASES, Expected
from flask_sluice.testing.examining.examining import set_case
from flask_sluice.testing.examining.verdict import Run, judge
from tests.sdks.field.clients import GIVE_UP_SECONDS
from tests.support.server import ROOT

PAGE = ROOT / "docs/simulator.md"
BEGIN, END = "<!-- clients -->", "<!-- end of clients -->"
COLUMNS = [case for case in CASES if case.name != "whole"]
READERS = (
    [sys.executable, "-m", "tests.sdks.field.clients"],
    ["node", str(ROOT / "tests/node/field-clients.mjs")],
)
_RUN_SECONDS = 90


def read_all() -> dict[str, dict[str, str]]:
    """Return, for each client, what it made of each case, in a word or two."""
    listed = [json.loads(_output(_start(reader, "--list"))) for reader in READERS]
    names = [name for each in listed for name in each]
    cases = [case.name for case in CASES]
    with simulated_llm() as llm:
        # Each client meets each case at a model of its own, so that their retries are told apart.
        for index in range(len(names)):
            for case in CASES:
                set_case(llm, case, model=f"{case.name}.{index}")
        running = [
            _start(reader, llm.url, str(names.index(each[0])), *cases)
            for reader, each in zip(READERS, listed, strict=True)
        ]
        lines = [json.loads(line) for each in running for line in _output(each).splitlines()]
        requests = llm.requests
    read = {(line["client"], line["case"]): line for line in lines}
    return {
        name: {
            case.name: _word(case, read.get((name, case.name)), _count(requests, case, index))
            for case in CASES
        }
        for index, name in enumerate(names)
    }


def _start(reader, *arguments):
    return subprocess.Popen([*reader, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _output(process) -> str:
    try:
        output, _ = process.communicate(timeout=_RUN_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, process.args
    return output


def _count(requests, case, index) -> int:
    """How many requests a client has sent in a case. Google's name the model in their path."""
    model = f"{case.name}.{index}"
    return sum(each.model == model or f"/{model}:" in each.path for each in requests)


def _word(case, line, count) -> str:
    if line is None:
        run = Run(None, "", GIVE_UP_SECONDS, count)
    else:
        run = Run(0 if line["error"] is None else 1, line["text"], line["seconds"], count)
    judged = judge(case, run, shows_text=True)
    if run.exit_code is None:
        return "waits"
    if case.expected is Expected.SUCCESS:
        return "fine" if judged.verdict.value == "ok" else "**breaks**"
    if run.exit_code:
        return "noticed"
    if case.expected is Expected.EITHER:
        return "taken" if run.has_whole_text else "doubled"
    return "asks again" if judged.verdict.value == "ok" else "**taken**"


def table(found: dict[str, dict[str, str]]) -> str:
    """Return the table's lines, a client on each."""
    heads = ["client", *(case.name for case in COLUMNS)]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, words in found.items():
        lines.append("| " + " | ".join([name, *(words[case.name] for case in COLUMNS)]) + " |")
    return "\n".join(lines)


def table_of_page() -> str:
    """Return the table that the page has."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def main() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(read_all())}\n\n{END}{after}")


if __name__ == "__main__":
    main()
