"""Who reads a channel, in memory or in Redis, as one process sees it."""

import logging
import threading
import time
import uuid

import pytest

from tests.support.server import wait_until
from tests.unit.channels import Reader, make_channels


@pytest.fixture(autouse=True)
def journals_of_greenlets():
    """Not here: what runs is greenlets in a process that gevent has patched, and threads elsewhere."""


@pytest.fixture
def channels():
    channels = make_channels()
    yield channels
    channels.close()


@pytest.fixture
def name():
    return f"test:{uuid.uuid4().hex}"


@pytest.fixture
def told(channels):
    """What on_join and on_leave have said, in order."""
    told = []
    channels.on_join(lambda *about: told.append(("join", *about)))
    channels.on_leave(lambda *about: told.append(("leave", *about)))
    return told


def owners(channels, name):
    return sorted(presence.owner for presence in channels.present(name))


def test_an_owner_joins_with_the_first_reader_and_leaves_with_the_last(channels, name, told):
    tabs = [Reader(channels, name, owner=7, details={"tab": tab}) for tab in range(2)]
    wait_until(lambda: owners(channels, name) == ["7"])
    wait_until(lambda: told == [("join", name, "7", {"tab": "0"})])
    tabs[0].leave()
    wait_until(lambda: [each.details for each in channels.present(name)] == [{"tab": "1"}])
    assert len(told) == 1
    tabs[1].leave()
    wait_until(lambda: told[1:] == [("leave", name, "7", {"tab": "1"})])
    assert channels.present(name) == []


def test_owners_are_told_apart(channels, name, told):
    readers = [Reader(channels, name, owner=owner) for owner in ("a", "b")]
    wait_until(lambda: len(told) == 2)
    assert owners(channels, name) == ["a", "b"]
    readers[0].leave()
    wait_until(lambda: told[2:] == [("leave", name, "a", {})])
    assert owners(channels, name) == ["b"]


def test_a_reader_without_an_owner_is_not_noted(channels, name, told):
    Reader(channels, name)
    Reader(channels, name, owner="a")
    wait_until(lambda: told)
    assert told == [("join", name, "a", {})]
    assert owners(channels, name) == ["a"]


def test_a_reader_of_several_channels_is_in_each_of_them(channels, name, told):
    other = f"{name}-other"
    reader = Reader(channels, name, other, owner="a")
    wait_until(lambda: owners(channels, name) == owners(channels, other) == ["a"])
    reader.leave()
    wait_until(lambda: owners(channels, name) == owners(channels, other) == [])
    wait_until(lambda: len(told) == 4)
    assert sorted(about[:2] for about in told) == sorted(
        (what, each) for what in ("join", "leave") for each in (name, other)
    )


def test_a_kicked_reader_leaves_when_its_response_ends(channels, name, told):
    reader = Reader(channels, name, owner="a")
    channels.kick(name, "a")
    wait_until(lambda: reader.is_finished)
    reader.leave()
    wait_until(lambda: [about[0] for about in told] == ["join", "leave"])


def test_presence_says_since_when(channels, name):
    before = time.time()
    Reader(channels, name, owner="a")
    Reader(channels, name, owner="a")
    (presence,) = wait_until(lambda: channels.present(name))
    assert before - 1 <= presence.since <= time.time() + 1


def test_a_function_that_fails_is_logged_and_the_others_are_called(channels, name, caplog, request):
    called = []

    @channels.on_join
    def fail(*_):
        raise ZeroDivisionError

    channels.on_join(lambda *_: called.append(True))
    with caplog.at_level(logging.ERROR, "sluice"):
        Reader(channels, name, owner="a")
        wait_until(lambda: called)
    assert "ZeroDivisionError" in caplog.text


class GivesUp(BaseException):
    """As gevent.Timeout and SystemExit are, this is no Exception."""


def test_a_function_that_gives_up_is_logged_and_the_others_are_called(channels, name, caplog):
    called = []

    @channels.on_join
    def fail(*_):
        raise GivesUp

    channels.on_join(lambda *_: called.append(True))
    with caplog.at_level(logging.ERROR, "sluice"):
        Reader(channels, name, owner="a")
        wait_until(lambda: called)
    assert "GivesUp" in caplog.text


def test_a_function_may_block_and_publish_and_holds_nobody_up(channels, name):
    may_go_on = threading.Event()

    @channels.on_join
    def announce(channel, owner, details):
        may_go_on.wait(10)
        channels.publish(channel, {"joined": owner})

    reader = Reader(channels, name, owner="a")
    channels.publish(name, "meanwhile")
    wait_until(lambda: reader.data == ['"meanwhile"'])
    may_go_on.set()
    wait_until(lambda: reader.data == ['"meanwhile"', '{"joined":"a"}'])


def test_who_comes_and_goes_quickly_joins_as_often_as_it_leaves(channels, name, told):
    for _ in range(20):
        Reader(channels, name, owner="a").leave()
    Reader(channels, name, owner="a")
    wait_until(lambda: len(told) == 41)
    assert [about[0] for about in told] == ["join", "leave"] * 20 + ["join"]
    assert owners(channels, name) == ["a"]


def test_the_decorator_returns_the_function(channels):
    def function(*_):
        """Do nothing."""

    assert channels.on_join(function) is function
    assert channels.on_leave(function) is function
