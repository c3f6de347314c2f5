"""Of several addresses of an upstream the first that takes a connection gets it."""

import errno
import socket
import time

import pytest

from flask_sluice.gateway.relay.dialing import dial as dialing
from flask_sluice.gateway.relay.dialing.dial import ATTEMPT_DELAY_SECONDS, dial

PATIENT_SECONDS = 20


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def silent():
    """An address that neither takes a connection nor refuses it: its queue is full."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        queued = []
        while True:
            sock = socket.socket()
            queued.append(sock)
            sock.settimeout(0.2)
            try:
                sock.connect(address)
            except TimeoutError:
                break
        yield socket.AF_INET, address
        for sock in queued:
            sock.close()


@pytest.fixture
def refusing():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield socket.AF_INET, bound.getsockname()


def test_the_first_address_is_taken_if_it_takes_the_connection(listener, refusing):
    with dial([(socket.AF_INET, listener.getsockname()), refusing], PATIENT_SECONDS) as sock:
        assert sock.getpeername() == listener.getsockname()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.gettimeout() == PATIENT_SECONDS


def test_the_next_address_is_tried_at_once_where_one_refuses(listener, refusing):
    count = 20
    addresses = [*[refusing] * count, (socket.AF_INET, listener.getsockname())]
    began = time.monotonic()
    with dial(addresses, PATIENT_SECONDS) as sock:
        assert sock.getpeername() == listener.getsockname()
    # With the delay before each it would be twice as long.
    assert time.monotonic() - began < count / 2 * ATTEMPT_DELAY_SECONDS


def test_the_next_address_is_tried_beside_one_that_is_slow(listener, silent):
    with dial([silent, (socket.AF_INET, listener.getsockname())], PATIENT_SECONDS) as sock:
        assert sock.getpeername() == listener.getsockname()


def test_the_last_refusal_is_raised_where_all_refuse(refusing):
    with pytest.raises(ConnectionRefusedError):
        dial([refusing] * 3, PATIENT_SECONDS)


def test_all_together_have_the_time_of_one(silent):
    count, seconds = 50, 2 * ATTEMPT_DELAY_SECONDS
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        dial([silent] * count, seconds)
    assert time.monotonic() - began < count / 5 * seconds


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_no_socket_stays_open_but_the_one_that_is_returned(listener, silent, monkeypatch):
    made = []
    make = socket.socket
    monkeypatch.setattr(
        dialing.socket, "socket", lambda *args: made.append(make(*args)) or made[-1]
    )
    sock = dial([silent, (socket.AF_INET, listener.getsockname())], PATIENT_SECONDS)
    assert [each.fileno() < 0 for each in made] == [True, False]
    assert made[-1] is sock
    sock.close()


def test_a_family_that_the_machine_has_not_is_passed_over(listener, monkeypatch):
    make = socket.socket

    def make_ipv4_only(family, kind):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return make(family, kind)

    monkeypatch.setattr(dialing.socket, "socket", make_ipv4_only)
    addresses = [
        (socket.AF_INET6, ("::1", 9, 0, 0)),
        (socket.AF_INET, listener.getsockname()),
    ]
    with dial(addresses, PATIENT_SECONDS) as sock:
        assert sock.getpeername() == listener.getsockname()


def test_a_process_without_files_left_does_not_blame_the_addresses(refusing, monkeypatch):
    def fail(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(dialing.socket, "socket", fail)
    with pytest.raises(OSError, match="Too many open files") as caught:
        dial([refusing], PATIENT_SECONDS)
    assert caught.value.errno == errno.EMFILE
