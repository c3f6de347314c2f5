"""The head of the answer: what it tells clients and proxies to do with the body."""

from collections.abc import Iterator

from flask_sluice.doctor.examination import Examination
from flask_sluice.doctor.report import Check, CheckMaker

_make = CheckMaker("headers")


def check(examination: Examination) -> Iterator[Check]:
    """Yield the checks of the head."""
    main = examination.main
    yield _make.ok("status", f"{main.status} over HTTP/{main.http_version}.")
