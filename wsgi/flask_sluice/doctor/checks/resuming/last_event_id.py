"""Whether a reader that says the last id it had gets exactly the next event."""

from collections import Counter

from flask_sluice.doctor.checks.meaning import has_content
from flask_sluice.doctor.checks.reconnecting import come_back
from flask_sluice.doctor.checks.resuming.comparison import Comparison, Finding, Outcome
from flask_sluice.doctor.checks.resuming.ids import own_id
from flask_sluice.doctor.checks.resuming.making import make
from flask_sluice.doctor.checks.wording import counted, shortened
from flask_sluice.doctor.events import EventLog
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.options import Depth
from flask_sluice.doctor.presets.preset import Preset
from flask_sluice.doctor.report import Check

_NAME = "last-event-id"
_CUTS = {Depth.QUICK: 1, Depth.USUAL: 3, Depth.THOROUGH: 5}
_EVENTS_AHEAD = 3


def last_event_id(examination: Examination) -> Check:
    """Come back after several events of the first stream, and compare with what followed them there."""
    log = examination.log
    places = _places(log, examination.preset, _CUTS[examination.depth])
    if not places:
        return make.skipped(_NAME, "Fewer than two events have ids that tell them apart.")
    examination.tell(f"coming back after {counted(len(places), 'cut')}")
    findings = {}
    for place in places:
        got = come_back(examination, log.events[place].event.id, _EVENTS_AHEAD)
        findings[place] = Comparison(log, place).judge(got)
    return _verdict(log, findings)


def _places(log: EventLog, preset: Preset, most: int) -> list[int]:
    """Where to cut: at events with an id of their own and content behind them, from the first to the last of these."""
    ids = [own_id(log, event) for event in log.events]
    counts = Counter(ids)
    last = max((n for n, event in enumerate(log.events) if has_content(event, preset)), default=0)
    places = [n for n in range(last) if ids[n] and counts[ids[n]] == 1]
    if len(places) <= most:
        return places
    if most == 1:
        return [places[len(places) // 2]]
    return [places[round(n * (len(places) - 1) / (most - 1))] for n in range(most)]


def _verdict(log: EventLog, findings: dict[int, Finding]) -> Check:
    worst = max(finding.outcome for finding in findings.values())
    hit = [place for place, finding in findings.items() if finding.outcome is worst]
    shown = hit[len(hit) // 2]
    finding = findings[shown]
    exact = sum(finding.outcome is Outcome.EXACT for finding in findings.values())
    numbers = {"cuts": len(findings), "exact_cuts": exact}
    after = ", ".join(str(place + 1) for place in findings)
    where = f"{counted(len(findings), 'cut')} (after event {after} of {len(log.events)})"
    if worst is Outcome.EXACT:
        return make.ok(_NAME, f"{where}: each time exactly the next event came.", **numbers)
    event_id = shortened(log.events[shown].event.id, 30)
    evidence = f"{where}, {len(hit)} of them thus: Last-Event-ID {event_id}: {finding.what}."
    if worst is Outcome.WRONG:
        return make.fault(_NAME, evidence, finding.remedies, **numbers)
    if worst is Outcome.DOUBTFUL:
        return make.warning(_NAME, evidence, finding.remedies, **numbers)
    return make.skipped(_NAME, f"Not known: {evidence}")
