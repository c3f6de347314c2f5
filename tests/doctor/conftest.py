"""What the tests of the doctor share."""

from collections.abc import Callable, Iterator

import pytest

from flask_sluice.doctor import Check, Report, examine
from tests.doctor.zoo.origins.raw_origin import raw_origin
from tests.doctor.zoo.origins.script import path


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """The URL of a server that streams as the query of the URL says."""
    with raw_origin() as url:
        yield url


@pytest.fixture
def check_of(origin) -> Callable[..., Check]:
    """Examine a stream of the origin, and return the check of that name; the options are those of the origin."""

    def check_of(
        name: str, route: str = "/events", *, doctor: dict | None = None, **script
    ) -> Check:
        return examined(origin, name.partition(".")[0], route, doctor or {}, script).check(name)

    return check_of


def examined(origin: str, group: str, route: str, doctor: dict, script: dict) -> Report:
    report = examine(origin + path(route, **script), groups=(group,), **doctor)
    assert report.problem == ""
    return report
