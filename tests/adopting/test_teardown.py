"""What Flask's teardown functions get at the end of a stream that ``stream_with_context`` wraps."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask, Response, request, stream_with_context

from flask_sluice import sse_response

MAKERS: dict[str, Callable[..., Response]] = {
    "before": lambda items: Response(items, mimetype="text/event-stream"),
    "after": sse_response,
}


def generate() -> Iterator[str]:
    yield "data: a\n\n"
    if "fails" in request.args:
        raise ZeroDivisionError
    yield "data: b\n\n"


def swallows() -> Iterator[str]:
    try:
        yield from generate()
    except GeneratorExit:
        return


def streams(make: Callable[..., Response], told: list[str], generator: Callable[[], Iterator[str]]):
    app = Flask(__name__)
    app.testing = True
    app.add_url_rule("/", "view", lambda: make(stream_with_context(generator())))
    app.teardown_request(lambda error: told.append(f"request: {error!r}"))
    app.teardown_appcontext(lambda error: told.append(f"app: {error!r}"))
    return app.test_client()


def both(run: Callable[..., None], generator: Callable[[], Iterator[str]] = generate):
    found = []
    for make in MAKERS.values():
        told: list[str] = []
        client = streams(make, told, generator)
        run(client)
        found.append(told)
    return found


def test_a_stream_that_ends_is_no_error_to_teardown_functions():
    before, after = both(lambda client: client.get("/").get_data())
    assert before == after
    assert before[-1].endswith("None")


@pytest.mark.parametrize("generator", [generate, swallows])
def test_a_client_that_leaves_is_a_generator_exit_to_teardown_functions(generator):
    """An app that commits in its teardown, unless there was an error, must not commit the half of an answer."""

    def leave(client) -> None:
        response = client.get("/")
        chunks = response.iter_encoded()
        while b"data: a" not in next(chunks):
            pass
        response.close()

    before, after = both(leave, generator)
    assert before == after
    assert "GeneratorExit" in before[-1]


def test_an_exception_of_the_generator_is_told_to_teardown_functions():
    def fail(client) -> None:
        with pytest.raises(ZeroDivisionError):
            client.get("/?fails=1").get_data()

    before, after = both(fail)
    assert before == after
    assert "ZeroDivisionError" in before[-1]
