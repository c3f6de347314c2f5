"""The apps before and after, on each kind of server."""

from collections.abc import Iterator

import pytest

from tests.adopting.variants import Pair, pair_on

KINDS = [
    "test client",
    pytest.param("gthread", marks=pytest.mark.slow),
    pytest.param("gevent", marks=pytest.mark.slow),
    pytest.param("ours", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=KINDS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    with pair_on(request.param, tmp_path_factory.mktemp("databases")) as both:
        yield both


@pytest.fixture(params=["before", "after"])
def variant(request: pytest.FixtureRequest, pair: Pair):
    return getattr(pair, request.param)


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """Names a test's own request, and is a part of a URL."""
    return "".join(each for each in request.node.name if each.isalnum())
