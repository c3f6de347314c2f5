"""Tickets: what each permits, and what a change of the keys does to them."""

import time
from string import ascii_letters, digits

import pytest

from flask_sluice.gateway.request.access.tickets import Tickets

A, B, C = "first-key-0123456789", "second-key-0123456789", "third-key-0123456789"
LATER = int(time.time()) + 86_400


@pytest.fixture(scope="module")
def tickets() -> Tickets:
    return Tickets((A,))


@pytest.mark.parametrize("permission", ["read", "stop"])
def test_a_ticket_permits_what_it_was_issued_for(tickets, permission):
    assert tickets.permission_of(tickets.issue("x", LATER, permission), "x") == permission


def test_a_ticket_for_reading_cannot_be_made_one_for_stopping(tickets):
    expires_at, _, signature = tickets.issue("x", LATER, "read").partition(".")
    assert tickets.permission_of(f"{expires_at}.stop.{signature}", "x") is None
    expires_at, _, signature = tickets.issue("x", LATER, "stop").split(".")
    assert tickets.permission_of(f"{expires_at}.{signature}", "x") is None


def test_a_ticket_expires(tickets):
    assert tickets.permission_of(tickets.issue("x", int(time.time()), "read"), "x") == "expired"


def test_a_ticket_is_for_one_stream(tickets):
    ticket = tickets.issue("x", LATER, "read")
    assert tickets.permission_of(ticket, "y") is None
    expires_at, _, signature = ticket.partition(".")
    assert tickets.permission_of(signature, f"x.{expires_at}") is None


def test_an_added_key_invalidates_no_ticket(tickets):
    ticket = tickets.issue("x", LATER, "read")
    for keys in ((A, B), (B, A), (B, A, C)):
        assert Tickets(keys).permission_of(ticket, "x") == "read"


def test_the_first_key_signs_and_its_removal_revokes():
    ticket = Tickets((A, B)).issue("x", LATER, "read")
    assert Tickets((A,)).permission_of(ticket, "x") == "read"
    assert Tickets((B,)).permission_of(ticket, "x") is None


def test_a_guess_of_the_key_costs_milliseconds(tickets):
    started_at = time.process_time()
    Tickets((B,))
    assert time.process_time() - started_at > 0.005


def test_a_signature_has_one_spelling(tickets):
    for stream_id in ("x", "y", "z"):
        ticket = tickets.issue(stream_id, LATER, "read")
        spellings = [ticket[:-1] + last for last in ascii_letters + digits + "-_"]
        assert [
            spelling
            for spelling in spellings
            if tickets.permission_of(spelling, stream_id) is not None
        ] == [ticket]
