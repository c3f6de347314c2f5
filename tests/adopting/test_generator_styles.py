"""What Flask's Response takes for the items of a stream, ``sse_response`` takes too."""

from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from tests.adopting.styles import STYLES, app
from tests.adopting.variants import GUNICORN, without_ours
from tests.support.server import Server
from tests.support.stream import ask, get

KINDS = [
    "test client",
    pytest.param("gthread", marks=pytest.mark.slow),
    pytest.param("gevent", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=KINDS)
def read(request: pytest.FixtureRequest) -> Iterator[Callable[[str], bytes]]:
    """Returns the body of a path, from a server or a test client."""
    if request.param == "test client":
        yield lambda path: app.test_client().get(path).data
        return
    configuration, arguments = GUNICORN[request.param]
    with Server(
        "tests.adopting.styles:app", configuration=configuration, arguments=arguments
    ) as server:
        yield lambda path: ask(server, get(quote(path)))[1]


@pytest.mark.parametrize("style", STYLES)
def test_the_events_are_sent_with_the_same_bytes(read, style):
    before, after = read(f"/before/{style}"), read(f"/after/{style}")
    # The path is the data of one of the styles' events.
    assert without_ours(after) == before.replace(b"/before/", b"/after/")
