"""Flask's ``stream_with_context`` around a stream's generator, with threads and with greenlets.

Each release of Flask from the oldest that the package takes does it in its own way: tests/wheel runs this file with them.
"""

import contextlib
import inspect
from contextlib import nullcontext

import pytest
from flask import (
    Flask,
    Response,
    current_app,
    g,
    has_app_context,
    has_request_context,
    request,
    session,
    stream_with_context,
)

from flask_sluice.sse import Event
from flask_sluice.stream.sse_response import sse_response
from tests.unit.wsgi_server import LONG_SECONDS, Threads, WsgiServer

# Traced streams hold more, which has to go with them. The environments of the wheel's tests have no tracing.
with contextlib.suppress(ModuleNotFoundError):
    import opentelemetry.trace  # noqa: F401


pytestmark = pytest.mark.timeout(30)


class Session:
    """A database session."""

    is_open = True

    def query(self):
        assert self.is_open
        return "a row"


def database():
    """The session of the current app context, made when it is first needed, as Flask-SQLAlchemy does."""
    if "session" not in g:
        g.session = Session()
    return g.session


def plain(items, **_options):
    return Response(items, mimetype="text/event-stream")


class Site:
    """A server of an app with hooks.

    seen: what they were told, in turn
    """

    def __init__(self, kind, monkeypatch):
        app = Flask(__name__)
        app.secret_key = "secret"
        self.seen = []
        self.server = WsgiServer(kind, app, monkeypatch)
        self.app = app

        @app.teardown_request
        def tear_request_down(error):
            self.seen.append(("request", request.args.get("q"), type(error).__name__))

        @app.teardown_appcontext
        def tear_app_context_down(error):
            session = g.pop("session", None)
            self.seen.append(("app", session is not None, type(error).__name__))
            if session is not None:
                session.is_open = False

    def respond(self, respond, generate, **options):
        """Have the view answer by ``respond``, sse_response or plain, with what ``generate`` yields."""

        def view():
            session["user"] = "ada"
            database().query()
            return respond(stream_with_context(generate()), **options)

        self.app.add_url_rule("/", "view", view)

    def get(self, method="GET"):
        return self.server.get("/?q=7", method)


@pytest.fixture
def make_site(kind, monkeypatch):
    """Makes sites, whose servers are stopped at the end of the test, and have kept nothing in this thread."""
    sites = []

    def make_site():
        sites.append(Site(kind, monkeypatch))
        return sites[-1]

    yield make_site
    for site in sites:
        site.server.stop()
        # A greenlet's generator may end a little later than its stream.
        site.server.wait_until(lambda: not (has_request_context() or has_app_context()))


@pytest.fixture
def site(make_site):
    return make_site()


def answer():
    yield f"data: {request.args['q']} {session['user']} {current_app.name == __name__}\n\n"
    yield f"data: {database().query()}\n\n"


def endless():
    while True:
        yield f"data: {database().query()}\n\n"


def once(seen, hold_headers):
    """Flask tears the contexts down when the view has returned, too, unless the generator has begun by then."""
    return seen[-2:] if hold_headers else seen


@pytest.mark.parametrize("hold_headers", [0, LONG_SECONDS])
class TestTheContexts:
    def test_are_those_of_the_request_in_the_generator(self, site, hold_headers):
        site.respond(sse_response, answer, hold_headers=hold_headers)
        call = site.get()
        assert call.rest() == b": stream\ndata: 7 ada True\n\ndata: a row\n\n"
        call.close()

    @pytest.mark.parametrize("error", [None, LookupError("no more rows")], ids=repr)
    def test_are_torn_down_as_without_sluice(self, make_site, kind, error, hold_headers):
        def seen_with(respond, **options):
            may_end = kind.Flag()

            def generate():
                yield from answer()
                may_end.wait(LONG_SECONDS)
                if error is not None:
                    raise error

            site = make_site()
            site.respond(respond, generate, **options)
            call = site.get()
            may_end.set()
            with nullcontext() if error is None or options else pytest.raises(LookupError):
                call.rest()
            call.close()
            return site.seen

        after = seen_with(sse_response, hold_headers=hold_headers)
        assert after == once(seen_with(plain), hold_headers)

    def test_are_torn_down_as_without_sluice_when_the_client_leaves(self, make_site, hold_headers):
        before, after = make_site(), make_site()
        before.respond(plain, endless)
        after.respond(sse_response, endless, hold_headers=hold_headers)
        for site in before, after:
            call = site.get()
            call.until(b"data: a row")
            call.leave()
            call.close()
        after.server.wait_until(lambda: after.seen[-1:] == before.seen[-1:])
        assert after.seen == once(before.seen, hold_headers)
        assert after.seen[-1][2] == "GeneratorExit"

    def test_are_torn_down_as_without_sluice_when_nothing_is_read(self, make_site, hold_headers):
        before, after = make_site(), make_site()
        before.respond(plain, endless)
        after.respond(sse_response, endless, hold_headers=hold_headers)
        for site in before, after:
            site.get(method="HEAD").close()
        assert after.seen == before.seen

    def test_are_there_while_the_answer_is_saved(self, site, kind, hold_headers):
        saved, may_save = [], kind.Flag()

        def generate():
            yield Event(event="done", data="x")
            may_save.wait(LONG_SECONDS)
            saved.append((database().query(), request.args["q"]))

        site.respond(sse_response, generate, hold_headers=hold_headers)
        call = site.get()
        call.until(b"done")
        call.leave()
        # With threads the request's own waits for the generator when it is closed, since the contexts are its own.
        kind.spawn(may_save.set)
        call.close()
        site.server.wait_until(lambda: saved)
        assert saved == [("a row", "7")]

    def test_are_told_that_the_answer_could_not_be_saved(self, site, kind, hold_headers):
        may_save = kind.Flag()

        def generate():
            yield Event(event="done", data="x")
            may_save.wait(LONG_SECONDS)
            raise LookupError("the disk is full")

        site.respond(sse_response, generate, hold_headers=hold_headers)
        call = site.get()
        call.until(b"done")
        call.leave()
        kind.spawn(may_save.set)
        call.close()
        site.server.wait_until(lambda: ("request", "7", "LookupError") in site.seen)

    def test_leave_the_thread_to_the_next_request(self, site, hold_headers):
        site.respond(sse_response, answer, hold_headers=hold_headers)
        for _ in range(3):
            call = site.get()
            call.rest()
            call.close()
            assert not has_request_context()


def test_an_error_before_the_first_event_is_the_apps(site):
    def generate():
        raise LookupError(request.args["q"])
        yield

    site.app.register_error_handler(LookupError, lambda error: (f"no row {error}", 404))
    site.respond(sse_response, generate, hold_headers=LONG_SECONDS)
    call = site.get()
    assert (call.status, call.rest()) == (404, b"no row 7")
    call.close()
    assert site.seen[-1][0] == "app"


def test_a_decorated_generator_is_wrapped_too(site):
    @stream_with_context
    def generate():
        yield f"data: {request.args['q']}\n\n"

    site.app.add_url_rule("/", "view", lambda: sse_response(generate()))
    call = site.get()
    assert call.rest().endswith(b"data: 7\n\n")
    call.close()


def test_a_wrapped_generator_may_be_inside_of_another_unless_flask_is_old(site, kind, caplog):
    def framed(texts):
        for text in texts:
            yield f"data: {text}\n\n"

    def generate():
        yield request.args["q"]
        yield database().query()

    site.app.add_url_rule(
        "/", "view", lambda: sse_response(framed(stream_with_context(generate())))
    )
    call = site.get()
    if kind is Threads and pushes_in_the_view():
        assert call.status == 500
        assert "sse_response(stream_with_context(outer(inner())))" in caplog.text
    else:
        assert call.rest() == b": stream\ndata: 7\n\ndata: a row\n\n"
    call.close()


def pushes_in_the_view():
    """Whether Flask is older than 3.1.2."""
    with Flask(__name__).test_request_context():
        wrapper = stream_with_context(item for item in [])
        found = inspect.getgeneratorlocals(wrapper)
        wrapper.close()
    return "ctx" in found


def test_an_iterator_that_is_no_generator_is_not_asked_for_more_when_it_is_closed(site):
    asked = []

    def make(_number):
        asked.append(request.args["q"])
        return "data: a\n\n"

    site.respond(sse_response, lambda: map(make, range(1000)))
    call = site.get()
    call.until(b"data: a")
    call.leave()
    call.close()
    site.server.wait_until(lambda: site.server.kind.left_behind() == (0, 0))
    assert 1 <= len(asked) <= 100


def test_a_body_that_is_dropped_gives_the_contexts_back(site):
    def view():
        response = sse_response(stream_with_context(endless()))
        next(response.response)
        return "another answer"

    site.app.add_url_rule("/", "view", view)
    call = site.get()
    assert call.rest() == b"another answer"
    call.close()
    site.server.wait_until(lambda: not has_request_context())
