"""The addresses of an upstream's name: looked up again and again, together, and without waiting for ever."""

import socket

import gevent
import pytest
from gevent.event import Event

from flask_sluice.gateway.relay.dialing import resolver
from flask_sluice.gateway.relay.dialing.resolver import (
    FRESH_SECONDS,
    MAX_STALE_SECONDS,
    Resolver,
)
from tests.unit.greenlets import wait_until

NAME = "engine.test"
PATIENT_SECONDS = 20
NOT_THERE = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
NO_ANSWER = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class NameServer:
    """Answers for getaddrinfo."""

    def __init__(self):
        self.answer = ["10.0.0.1"]
        self.lookups = []
        self.answers = Event()
        self.answers.set()

    def getaddrinfo(self, host, port, **_):
        self.lookups.append(host)
        self.answers.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (each, port, 0, 0))
            if ":" in each
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in self.answer
        ]


@pytest.fixture
def names(monkeypatch):
    server = NameServer()
    monkeypatch.setattr(resolver.socket, "getaddrinfo", server.getaddrinfo)
    yield server
    server.answers.set()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def engine(names, clock):
    return Resolver(NAME, 80, clock)


def hosts(of, timeout_seconds=PATIENT_SECONDS):
    return [address[0] for _, address in of.addresses(timeout_seconds)]


@pytest.mark.parametrize(
    ("host", "family", "address"),
    [
        ("127.0.0.1", socket.AF_INET, ("127.0.0.1", 80)),
        ("::1", socket.AF_INET6, ("::1", 80, 0, 0)),
    ],
)
def test_an_ip_address_is_not_looked_up(names, clock, host, family, address):
    of = Resolver(host, 80, clock)
    clock.now += 2 * MAX_STALE_SECONDS
    assert of.addresses(PATIENT_SECONDS) == [(family, address)]
    assert names.lookups == []


def test_a_name_is_looked_up_again_once_its_addresses_are_not_fresh(names, clock, engine):
    assert hosts(engine) == ["10.0.0.1"]
    names.answer = ["10.0.0.2"]
    clock.now += FRESH_SECONDS - 0.1
    assert hosts(engine) == ["10.0.0.1"]
    clock.now += 0.1
    assert hosts(engine) == ["10.0.0.2"]


def test_those_that_connect_at_once_share_a_lookup(names, engine):
    names.answers.clear()
    waiting = [gevent.spawn(hosts, engine) for _ in range(50)]
    wait_until(lambda: names.lookups)
    names.answers.set()
    gevent.joinall(waiting, raise_error=True)
    assert {tuple(each.value) for each in waiting} == {("10.0.0.1",)}
    assert names.lookups == [NAME]


def test_each_address_comes_first_in_turn(names, engine):
    names.answer = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    first = [hosts(engine)[0] for _ in range(6)]
    assert sorted(first[:3]) == names.answer
    assert first[3:] == first[:3]


def test_families_alternate_and_the_first_stays_the_first(names, engine):
    names.answer = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "10.0.0.1"]
    for _ in range(4):
        families = [":" in host for host in hosts(engine)]
        assert families == [True, False, True, True]


def test_an_address_that_is_named_twice_is_tried_once(names, engine):
    names.answer = ["10.0.0.1", "10.0.0.1"]
    assert hosts(engine) == ["10.0.0.1"]


# Lookups that fail or hang.


def test_a_name_that_is_not_there_is_an_error(names, engine):
    names.answer = NOT_THERE
    with pytest.raises(OSError, match="Name or service not known"):
        hosts(engine)


def test_a_name_that_cannot_be_looked_up_is_an_error(names, engine):
    names.answer = UnicodeError("label empty or too long")
    with pytest.raises(OSError, match="can be looked up"):
        hosts(engine)


def test_after_a_failure_the_next_connection_looks_again(names, engine):
    names.answer = NO_ANSWER
    with pytest.raises(OSError, match="Temporary failure"):
        hosts(engine)
    names.answer = ["10.0.0.1"]
    assert hosts(engine) == ["10.0.0.1"]


def test_a_lookup_that_hangs_is_given_up_at_the_timeout(names, engine):
    names.answers.clear()
    with pytest.raises(TimeoutError, match=r"not resolved within 0\.01 seconds"):
        hosts(engine, 0.01)
    with pytest.raises(TimeoutError):
        hosts(engine, 0.01)
    assert len(names.lookups) == 1


def test_a_lookup_that_hangs_does_not_stop_other_names(names, clock, engine):
    names.answers.clear()
    waiting = gevent.spawn(hosts, engine)
    wait_until(lambda: names.lookups)
    assert hosts(Resolver("127.0.0.1", 80, clock)) == ["127.0.0.1"]
    assert not waiting.ready()
    names.answers.set()
    assert waiting.get() == ["10.0.0.1"]


def test_what_was_known_is_used_while_name_servers_fail(names, clock, engine):
    hosts(engine)
    names.answer = NO_ANSWER
    clock.now += MAX_STALE_SECONDS - 1
    assert hosts(engine) == ["10.0.0.1"]
    clock.now += 1
    with pytest.raises(OSError, match="Temporary failure"):
        hosts(engine)


def test_what_was_known_is_used_while_a_lookup_hangs(names, clock, engine, monkeypatch):
    monkeypatch.setattr(resolver, "PATIENCE_SECONDS", 0.01)
    hosts(engine)
    names.answers.clear()
    clock.now += FRESH_SECONDS
    with gevent.Timeout(PATIENT_SECONDS / 2, AssertionError("it waits for the lookup")):
        assert hosts(engine) == ["10.0.0.1"]


def test_what_was_known_is_forgotten_when_the_name_is_there_no_more(names, clock, engine):
    hosts(engine)
    names.answer = NOT_THERE
    clock.now += FRESH_SECONDS
    with pytest.raises(OSError, match="Name or service not known"):
        hosts(engine)
