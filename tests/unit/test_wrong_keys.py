"""How many wrong keys one address may try, and who is refused meanwhile."""

import pytest

from flask_sluice.gateway.request.access import wrong_keys as module
from flask_sluice.gateway.request.access.wrong_keys import MAX_WRONG_KEYS, WINDOW_SECONDS, WrongKeys
from flask_sluice.stream.errors import ApiError

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def keys(clock) -> WrongKeys:
    return WrongKeys()


def retry_after(keys: WrongKeys, address: str, key_number: int | None) -> int:
    with pytest.raises(ApiError) as caught:
        keys.check(address, key_number)
    assert caught.value.status == 429
    return int(caught.value.headers["Retry-After"])


def block(keys: WrongKeys, address: str) -> None:
    for _ in range(MAX_WRONG_KEYS):
        keys.check(address, None)


def test_an_address_may_try_so_many_wrong_keys_and_no_more(keys, clock):
    block(keys, HERE)
    assert retry_after(keys, HERE, None) == WINDOW_SECONDS
    clock.now += 1
    assert retry_after(keys, HERE, None) == WINDOW_SECONDS - 1


def test_after_the_window_it_may_try_again(keys, clock):
    block(keys, HERE)
    clock.now += WINDOW_SECONDS
    block(keys, HERE)
    assert retry_after(keys, HERE, None)


def test_other_addresses_are_not_concerned(keys):
    block(keys, HERE)
    keys.check(ELSEWHERE, None)
    keys.check(ELSEWHERE, 0)


def test_while_an_address_is_blocked_a_key_that_was_right_there_before_is_accepted(keys):
    keys.check(HERE, 0)
    block(keys, HERE)
    keys.check(HERE, 0)


def test_while_an_address_is_blocked_another_right_key_is_refused_like_a_wrong_one(keys):
    keys.check(ELSEWHERE, 0)
    keys.check(HERE, 1)
    block(keys, HERE)
    assert retry_after(keys, HERE, 0) == retry_after(keys, HERE, None)
    # The refused guess was not taken for a success.
    assert retry_after(keys, HERE, 0)


def test_right_keys_do_not_count(keys):
    for number in range(3 * MAX_WRONG_KEYS):
        keys.check(HERE, number)
    block(keys, HERE)


def test_without_an_address_nothing_is_counted(keys):
    for _ in range(3 * MAX_WRONG_KEYS):
        keys.check("", None)


def test_the_memory_for_addresses_is_bounded(keys, monkeypatch):
    monkeypatch.setattr(module, "_MAX_ADDRESSES", 3)
    block(keys, HERE)
    for number in range(5):
        keys.check(f"198.51.100.{number}", None)
        keys.check(f"198.51.100.{number}", 0)
    # The oldest gave way, and the newest are there.
    keys.check(HERE, None)
    for _ in range(MAX_WRONG_KEYS - 1):
        keys.check("198.51.100.4", None)
    assert retry_after(keys, "198.51.100.4", None)


def test_an_address_that_goes_on_in_a_full_table_pushes_no_other_out(keys, monkeypatch):
    monkeypatch.setattr(module, "_MAX_ADDRESSES", 2)
    block(keys, HERE)
    for _ in range(MAX_WRONG_KEYS):
        keys.check(ELSEWHERE, None)
    assert retry_after(keys, HERE, None)
