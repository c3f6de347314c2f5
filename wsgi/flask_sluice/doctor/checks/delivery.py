"""When events arrive, compared with when they were sent."""

from collections.abc import Iterator

from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.report import Check


def check(examination: Examination) -> Iterator[Check]:
    """Yield the checks of the delivery."""
    yield from ()
