"""What a program may get wrong about kept streams is told where it is done, with the argument's name."""

import uuid

import pytest
from flask import Flask

from flask_sluice import Event, Sluice, Streams


class User:
    id = 7


@pytest.fixture(autouse=True)
def journals_of_greenlets():
    """These journals run on threads."""


@pytest.fixture
def streams():
    streams = Streams()
    yield streams
    streams.close()


def acts(streams, owner):
    """Everything that takes an owner."""
    return [
        lambda: streams.create(owner=owner),
        lambda: streams.start([Event(data="a")], owner=owner),
        lambda: streams.stop("an-id", owner=owner),
        lambda: streams.status("an-id", owner=owner),
        lambda: streams.find(key="a", owner=owner),
        lambda: streams.follow("an-id", 0, print, owner=owner),
    ]


@pytest.mark.parametrize("number", range(6))
def test_an_owner_without_a_name_is_refused_since_visitors_would_share_it(streams, number):
    with pytest.raises(ValueError, match=r"owner takes .* an id of their own"):
        acts(streams, "")[number]()


@pytest.mark.parametrize("owner", [User(), True, b"ada", 1.5, ("a", 1)])
@pytest.mark.parametrize("number", range(6))
def test_an_owner_whose_text_tells_no_one_apart_is_refused(streams, owner, number):
    with pytest.raises(TypeError, match=rf"owner takes .* not {type(owner).__name__}"):
        acts(streams, owner)[number]()


@pytest.mark.parametrize("key", [b"chat", ("chat", 7), True])
def test_a_key_is_text_or_a_number(streams, key):
    for act in (streams.create, streams.find):
        with pytest.raises(TypeError, match="key takes"):
            act(key=key)


def test_a_key_has_characters(streams):
    for act in (streams.create, streams.find):
        with pytest.raises(ValueError, match="key takes a name"):
            act(key="")


@pytest.mark.parametrize("given", [None, 7, b"a" * 22, uuid.uuid4()])
def test_what_is_no_id_is_refused_and_not_unknown(streams, given):
    for act in (streams.stop, streams.status, lambda given: streams.follow(given, 0, print)):
        with pytest.raises(TypeError, match=f"such as stream.id, got {type(given).__name__}"):
            act(given)


def test_a_stream_in_place_of_its_id_is_told_apart(streams):
    with streams.create() as stream, pytest.raises(TypeError, match="got KeptStream"):
        streams.status(stream)


@pytest.mark.parametrize("deadline", [0, -1, "5", True])
def test_a_deadline_that_is_no_number_of_seconds_is_refused_before_the_stream_begins(
    streams, deadline
):
    with pytest.raises(ValueError, match="deadline takes a number of seconds > 0"):
        streams.start([Event(data="a")], deadline=deadline)


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        *(("history_bytes", value) for value in (0, -1, "4MB", 1.5, None)),
        *(("total_history_bytes", value) for value in (0, True)),
        *(("history_seconds", value) for value in (0, -1, "300", None)),
        *(("abandon_seconds", value) for value in (-1, "60", None)),
        *(("streams_per_owner", value) for value in (0, "2", 1.5)),
    ],
)
def test_a_limit_that_is_no_such_number_is_refused_when_the_streams_are_made(limit, value):
    with pytest.raises(ValueError, match=f"^{limit} takes "):
        Streams(**{limit: value})


@pytest.mark.parametrize("url", [7, b"redis://127.0.0.1"])
def test_a_url_is_text(url):
    with pytest.raises(TypeError, match="url takes a str"):
        Streams(url)


class TestAResponse:
    @pytest.fixture
    def streams(self):
        """Those of an app, in a request."""
        sluice = Sluice(app := Flask(__name__))
        with app.test_request_context():
            yield sluice.streams
        sluice.streams.close()

    @pytest.mark.parametrize(
        ("argument", "value", "takes"),
        [
            *(("wait", value, "a number of seconds >= 0") for value in ("10", None, -1, True)),
            *(("retry", value, "a number of milliseconds >= 0") for value in ("1", None, -1, 1.5)),
            ("owner", "", "what tells one user from others"),
        ],
    )
    def test_of_a_wrong_argument_is_refused_by_its_name(self, streams, argument, value, takes):
        with (
            streams.create() as stream,
            pytest.raises(ValueError, match=f"{argument} takes {takes}"),
        ):
            streams.response(stream.id, **{argument: value})
