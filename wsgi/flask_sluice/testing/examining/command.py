"""``sluice simulate --examine COMMAND``: prints the verdict on a client."""

import json
import sys

from flask_sluice.testing.examining.examining import examine_client
from flask_sluice.testing.examining.verdict import Judged, Verdict

_EXIT_FAULT = 1
_EXIT_NOT_EXAMINED = 2
_NAME_WIDTH = 18


def examine(command: str, *, timeout_seconds: float, as_json: bool) -> int:
    """Examine a client and print what it makes of each case. Returns the exit code.

    0: it can be trusted · 1: it took a broken answer for success, failed where nothing is wrong, or waited for ever ·
    2: it cannot be examined
    """
    judged = []
    try:
        for each in examine_client(command, timeout_seconds=timeout_seconds):
            judged.append(each)
            if not as_json:
                _print(each)
    except RuntimeError as error:
        sys.stderr.write(f"sluice: {error}\n")
        return _EXIT_NOT_EXAMINED
    faults = [each for each in judged if each.verdict is Verdict.FAULT]
    if as_json:
        sys.stdout.write(json.dumps(_document(judged), indent=2) + "\n")
    else:
        sys.stdout.write(f"\n{_sentence(faults)}\n")
    return _EXIT_FAULT if faults else 0


def _print(judged: Judged) -> None:
    line = f"{judged.verdict.value:9}{judged.case.name:{_NAME_WIDTH}}{judged.case.what}: {judged.sentence}"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _sentence(faults: list[Judged]) -> str:
    if not faults:
        return "The client can be trusted: it tells a whole answer from each of these."
    taken = ", ".join(each.case.name for each in faults)
    return f"The client cannot be trusted with: {taken}."


def _document(judged: list[Judged]) -> list[dict[str, object]]:
    return [
        {
            "case": each.case.name,
            "what": each.case.what,
            "verdict": each.verdict.value,
            "sentence": each.sentence,
            "exit_code": each.run.exit_code,
            "seconds": round(each.run.seconds, 3),
            "requests": each.run.request_count,
            "waits_seconds": [round(seconds, 3) for seconds in each.run.waits_seconds],
        }
        for each in judged
    ]
