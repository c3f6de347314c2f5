"""What the doctor says of the delivery: sound streams that look odd, and buffers that look sound."""

import pytest

from flask_sluice.doctor import Verdict, examine
from tests.doctor.zoo.origins.script import path
from tests.doctor.zoo.proxies.nginx import HTTP_1_1, nginx

OK, WARNING, FAULT, SKIPPED = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.SKIPPED
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("route", "script", "verdict"),
    [
        pytest.param("/events", {}, OK, id="one by one"),
        pytest.param("/events", {"stamp": "sent_at"}, OK, id="with times"),
        pytest.param("/events", {"split": 7}, OK, id="each event in pieces without pauses"),
        pytest.param("/events", {"size": 20_000}, OK, id="events larger than any buffer"),
        pytest.param("/events", {"coding": "gzip"}, OK, id="compressed and flushed"),
        pytest.param(
            "/events", {"lump": 4096, "size": 100, "events": 120}, FAULT, id="lumps of 4 KiB"
        ),
        pytest.param("/events", {"coding": "gzip-held"}, FAULT, id="held by the compressor"),
        pytest.param(
            "/events", {"whole": 1, "stamp": "sent_at", "events": 20}, FAULT, id="whole, with times"
        ),
        pytest.param("/events", {"whole": 1, "events": 40}, WARNING, id="whole after a second"),
        pytest.param(
            "/events", {"interval": 0, "events": 40}, SKIPPED, id="all at once and at the start"
        ),
        pytest.param("/events", {"events": 1}, SKIPPED, id="one event"),
        pytest.param(CHAT, {}, OK, id="tokens"),
        pytest.param(CHAT, {"whole": 1, "events": 20}, FAULT, id="tokens at once after a while"),
        pytest.param(
            CHAT, {"interval": 0, "events": 20}, SKIPPED, id="tokens at once and at the start"
        ),
    ],
)
def test_a_buffer_is_told_from_a_server_that_bursts(check_of, route, script, verdict):
    check = check_of("delivery.one-by-one", route, **script)
    assert check.verdict is verdict, check.evidence


def test_the_size_of_the_buffer_is_named(check_of):
    check = check_of("delivery.one-by-one", lump=8192, size=400, events=120, interval=0.01)
    assert "8 KiB" in check.evidence


def test_a_history_that_is_sent_again_is_not_held_back(origin):
    """Its times are of before the request."""
    from flask_sluice.doctor.events import take_apart  # noqa: PLC0415
    from flask_sluice.doctor.http.recording import Recording  # noqa: PLC0415
    from flask_sluice.doctor.http.request import HttpRequest  # noqa: PLC0415
    from flask_sluice.doctor.stamps import stamps_of  # noqa: PLC0415

    now = 1_800_000_000.0
    for first, is_stamped in ((now - 60, False), (now + 0.1, True)):
        recording = Recording(HttpRequest("http://host/"), sent_at=now, status=200)
        body = "".join(f'data: {{"at": {first + number}}}\n\n' for number in range(5))
        recording.add(4.5, body.encode())
        assert (stamps_of(take_apart(recording)) is not None) == is_stamped


def test_the_same_stream_straight_from_the_server_shows_which_hop_collects(origin):
    with nginx(origin) as url:
        report = examine(url + path(), direct=origin + path(), groups=("delivery",))
    check = report.check("delivery.one-by-one")
    assert check.verdict is FAULT
    assert "straight from the server" in check.evidence
    assert check.remedies[0].where.startswith("nginx")


def test_a_burst_that_the_server_itself_makes_is_not_the_proxys_fault(origin):
    script = {"interval": 0, "events": 40}
    with nginx(origin, location=HTTP_1_1) as url:
        report = examine(url + path(**script), direct=origin + path(**script), groups=("delivery",))
    assert report.check("delivery.one-by-one").verdict is OK


def test_an_answer_of_which_nothing_comes_is_a_fault_and_not_the_end_of_the_examination(
    origin, monkeypatch
):
    monkeypatch.setattr("flask_sluice.doctor.options.Options.head_seconds", 0.5)
    with nginx(origin) as url:
        report = examine(url + path(events=0, interval=0.1))
    assert [check.full_name for check in report.faults] == ["delivery.first-byte"]
    assert report.exit_code == 1


def test_the_numbers_are_in_the_report(check_of):
    first = check_of("delivery.first-byte", first=0.2)
    assert first.numbers["first_byte_ms"] >= 200
    assert check_of("delivery.gaps").numbers["p50_ms"] >= 20
