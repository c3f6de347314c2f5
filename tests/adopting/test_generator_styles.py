"""What Flask's Response takes for the items of a stream, ``sse_response`` takes too."""

from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from flask import Flask

from flask_sluice import sse_response
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


NO_EVENTS = {
    "text": ["Hello", " world"],
    "lines of JSON": ['{"a": 1}\n', '{"b": 2}\n'],
    "one line end": ["data: a\n", "data: b\n"],
    "no blank line at the end": ["data: a\n\n", "data: b\n"],
    "half an event at the end": ["data: a\n\n", "data: b"],
}


@pytest.mark.parametrize("items", NO_EVENTS.values(), ids=NO_EVENTS)
def test_text_that_no_browser_takes_for_an_event_is_an_error_that_says_what_to_do(items):
    app = Flask(__name__)
    app.testing = True
    app.add_url_rule("/", "view", lambda: sse_response(iter(items)))
    with pytest.raises(ValueError, match=r"wrap it in Event\(data=…\)"):
        app.test_client().get("/").get_data()
