"""Several readers at once: does each get its events, and does one that does not read hold up the others?"""

import statistics
from collections.abc import Iterator

from flask_sluice.doctor.checks.crowd import Crowd, read_at_once
from flask_sluice.doctor.checks.slow_reader import check_slow_reader
from flask_sluice.doctor.costs import is_paid
from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.options import Depth
from flask_sluice.doctor.remedies.load import OTHERS_WAIT, SIX_CONNECTIONS, TOO_FEW_AT_ONCE
from flask_sluice.doctor.remedies.products import first_for, products_of
from flask_sluice.doctor.remedies.remedy import Remedy
from flask_sluice.doctor.report import Check, CheckMaker

_make = CheckMaker("load")

_BROWSERS_CONNECTIONS = 6
_SEVEN, _FIFTY = 7, 50
_LATE_SECONDS = 1.0
_LATE_TIMES = 4
"""A first event that comes later than that, and so many times later than for one reader, has waited for something."""


def check(examination: Examination) -> Iterator[Check]:
    """Yield the checks of the load."""
    if not examination.log.events:
        for name in ("seven-connections", "slow-reader", "fifty-at-once"):
            yield _make.skipped(name, "One reader alone got no event in the time.")
        return
    paid = is_paid(examination)
    if paid and examination.depth is Depth.QUICK:
        yield _make.skipped(
            "seven-connections", "Each stream may cost; --quick opens no further ones."
        )
    else:
        yield _at_once(examination, "seven-connections", _SEVEN)
    if examination.depth is Depth.QUICK:
        return
    yield check_slow_reader(examination)
    if examination.depth is Depth.THOROUGH:
        yield _at_once(examination, "fifty-at-once", _FIFTY)
    else:
        yield _make.skipped("fifty-at-once", "Only --thorough opens 50 streams.")


def _at_once(examination: Examination, name: str, count: int) -> Check:
    cost = ""
    if is_paid(examination):
        tokens = count * examination.preset.tokens_per_request
        cost = f", which may cost up to {tokens} tokens"
    examination.tell(f"opening {count} streams at once{cost}")
    crowd = read_at_once(examination, count)
    numbers = {
        "connections": count,
        "served": len(crowd.first_seconds),
        "most_at_once": crowd.most_at_once,
        "first_event_seconds": round(max(crowd.first_seconds, default=0.0), 3),
    }
    if crowd.refused:
        return _refused(examination, name, crowd, numbers)
    if len(crowd.first_seconds) < count or crowd.waited_for_others:
        return _too_few(examination, name, crowd, numbers)
    if crowd.is_unclear:
        return _make.skipped(
            name,
            f"All {count} readers got the stream, but it is over in {(crowd.stream_seconds or 0.0) * 1000:.0f} ms, so that "
            "nothing shows whether they run side by side.",
        )
    return _all_served(examination, name, crowd, numbers)


def _all_served(
    examination: Examination, name: str, crowd: Crowd, numbers: dict[str, float]
) -> Check:
    one = _first_seconds(examination)
    last, usual = max(crowd.first_seconds), statistics.median(crowd.first_seconds)
    evidence = (
        f"All {crowd.count} readers got their first event, after {usual:.2f} s as a rule and {last:.2f} s at the latest "
        f"(one reader alone: {one:.2f} s)"
    )
    if last > max(_LATE_SECONDS, _LATE_TIMES * one):
        return _make.warning(
            name, f"{evidence}: they wait.", _remedies(examination, OTHERS_WAIT), **numbers
        )
    return _make.ok(name, f"{evidence}.{_about_browsers(examination, crowd)}", **numbers)


def _about_browsers(examination: Examination, crowd: Crowd) -> str:
    if crowd.count != _SEVEN or examination.main.http_version == "2":
        return ""
    return (
        f" A browser opens only {_BROWSERS_CONNECTIONS} connections to a host over HTTP/1.1, so its seventh EventSource would "
        f"wait all the same: serve HTTP/2 to pages with several tabs ({SIX_CONNECTIONS[0].where}: "
        f"{' '.join(SIX_CONNECTIONS[0].line.split())})."
    )


def _refused(examination: Examination, name: str, crowd: Crowd, numbers: dict[str, float]) -> Check:
    statuses = sorted({str(status) if status else "no connection" for status in crowd.refused})
    evidence = (
        f"Of {crowd.count} readers at once {len(crowd.first_seconds)} were served, and {len(crowd.refused)} refused "
        f"({', '.join(statuses)})"
    )
    remedies = _remedies(examination, TOO_FEW_AT_ONCE)
    if crowd.was_told:
        return _make.warning(
            name,
            f"{evidence}. They were told to come back later, so somebody has set this limit; see that it is high enough.",
            remedies,
            **numbers,
        )
    return _make.fault(name, f"{evidence}, and not told to come back.", remedies, **numbers)


def _too_few(examination: Examination, name: str, crowd: Crowd, numbers: dict[str, float]) -> Check:
    missing = crowd.count - len(crowd.first_seconds)
    if not missing:
        return _make.fault(
            name,
            f"Of {crowd.count} readers at once never more than {crowd.most_at_once} had a running stream: the others got their first "
            f"event when one of these was over, the last after {max(crowd.first_seconds):.1f} s.",
            _remedies(examination, TOO_FEW_AT_ONCE),
            **numbers,
        )
    if crowd.unblocked:
        return _make.fault(
            name,
            f"Of {crowd.count} readers at once {len(crowd.first_seconds)} got events, {crowd.most_at_once} at a time. The other "
            f"{missing} got nothing in {crowd.waited_seconds:.1f} s, and {crowd.unblocked} of them did as soon as those had left.",
            _remedies(examination, TOO_FEW_AT_ONCE),
            **numbers,
        )
    return _make.warning(
        name,
        f"Of {crowd.count} readers at once {missing} got no event in {crowd.waited_seconds:.1f} s, and none after the others "
        "had left; why, cannot be seen from here.",
        _remedies(examination, TOO_FEW_AT_ONCE),
        **numbers,
    )


def _first_seconds(examination: Examination) -> float:
    events = examination.log.events
    return events[0].seconds if events else 0.0


def _remedies(examination: Examination, remedies: tuple[Remedy, ...]) -> tuple[Remedy, ...]:
    return first_for(remedies, products_of(examination.main.headers))
