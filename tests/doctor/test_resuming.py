"""How the doctor judges what a reader gets that comes back: no gap, no repeat, and an end."""

import itertools
import json

import pytest

from flask_sluice.doctor import Depth, Verdict, examine
from tests.doctor.examined import examined, examined_chat
from tests.doctor.zoo.origins.raw_origin import raw_origin
from tests.doctor.zoo.origins.script import path
from tests.server.raw_upstream import (
    STREAM_HEAD,
    RawUpstream,
    chunk,
    head,
    headers_of,
    sends,
    streams,
)

NO_CONTENT = sends(head("204 No Content"))
DONE = b"event: done\ndata: bye\n\n"


@pytest.fixture(scope="module")
def origin():
    with raw_origin() as url:
        yield url


def of_zoo(origin, name, depth=Depth.USUAL, **options):
    url = origin + path(**{"ids": "ascending", "interval": 0.001, **options})
    report = examine(url, groups=("resuming",), depth=depth, read_seconds=0.5)
    return report.check(f"resuming.{name}")


def event(number, event_id="same", data=None):
    event_id = str(number) if event_id == "same" else event_id
    line = f"id: {event_id}\n" if event_id is not None else ""
    return f"{line}data: {data or f'event {number}'}\n\n".encode()


def events(first, last):
    return [event(number) for number in range(first, last + 1)]


def first_then(first, second):
    """Answers the first request in one way, and each that comes back with ``second(last_event_id)``."""
    answers = iter([first])

    def handler(sock, request):
        last_event_id = headers_of(request).get("last-event-id", "")
        answer = next(answers, None) or second(last_event_id)
        answer(sock, request)

    return handler


def resuming(name, handler, **options):
    return examined(handler, "resuming", **options).check(f"resuming.{name}")


def exact(last_event_id):
    return streams(*events(int(last_event_id) + 1, 10))


# Ids.


def test_ids_that_ascend_are_right(origin):
    check = of_zoo(origin, "ids", events=5)
    assert check.verdict is Verdict.OK
    assert "from '1' to '5'" in check.evidence


def test_ids_with_gaps_in_their_numbers_are_right():
    writes = [event(1, "3"), event(2, "10"), event(3, "11")]
    assert resuming("ids", streams(*writes)).verdict is Verdict.OK


def test_redis_s_ids_ascend_by_both_of_their_numbers():
    right = [event(1, "1700000000000-9"), event(2, "1700000000000-10")]
    assert resuming("ids", streams(*right)).verdict is Verdict.OK
    wrong = resuming("ids", streams(*reversed(right)))
    assert wrong.verdict is Verdict.WARNING


def test_ids_that_descend_are_a_warning(origin):
    check = of_zoo(origin, "ids", ids="descending", events=4)
    assert check.verdict is Verdict.WARNING
    assert "event 2 has '9998' after '9999'" in check.evidence


def test_names_as_ids_have_no_order_to_keep():
    writes = [event(1, "b7"), event(2, "a9"), event(3, "c1")]
    assert resuming("ids", streams(*writes)).verdict is Verdict.OK


def test_one_id_at_several_events_is_a_fault_with_its_places():
    check = resuming("ids", streams(event(1, "a"), event(2, "b"), event(3, "b")))
    assert check.verdict is Verdict.FAULT
    assert "'b' at events 2, 3" in check.evidence


def test_a_stream_without_ids_is_a_warning(origin):
    assert of_zoo(origin, "ids", ids="").verdict is Verdict.WARNING


def test_an_event_without_an_id_among_others_is_a_warning():
    check = resuming("ids", streams(event(1), event(2, None), event(3)))
    assert check.verdict is Verdict.WARNING
    assert check.numbers == {"events_without_id": 1}


def test_a_heartbeat_and_the_terminal_event_need_no_ids():
    ping = b"event: ping\ndata: {}\n\n"
    assert resuming("ids", streams(event(1), ping, event(2), DONE)).verdict is Verdict.OK


# Last-Event-ID.


def test_a_server_that_goes_on_exactly_is_right_after_several_cuts(origin):
    check = of_zoo(origin, "last-event-id")
    assert check.verdict is Verdict.OK
    assert "3 cuts (after event 1, 5, 9 of 10)" in check.evidence


def test_a_quick_examination_cuts_once(origin):
    assert of_zoo(origin, "last-event-id", depth=Depth.QUICK).numbers["cuts"] == 1


@pytest.mark.parametrize(
    ("resume", "evidence"),
    [
        ("ignored", "Last-Event-ID '5': the stream starts over, so the reader has 5 events twice"),
        ("repeat", "Last-Event-ID '5': event 5 comes again, so the reader has 1 event twice"),
        ("skip", "Last-Event-ID '5': event 7 comes next, so the reader loses 1 event"),
    ],
)
def test_a_server_that_goes_on_elsewhere_is_told_by_the_numbers(origin, resume, evidence):
    options = {"resume": resume, "events": 9, "depth": Depth.QUICK}
    check = of_zoo(origin, "last-event-id", **options)
    assert check.verdict is Verdict.FAULT
    assert evidence in check.evidence


def test_a_server_that_goes_on_wrongly_after_one_of_three_cuts_is_found():
    def second(last_event_id):
        return exact("3" if last_event_id == "5" else last_event_id)

    check = resuming("last-event-id", first_then(streams(*events(1, 10)), second))
    assert check.verdict is Verdict.FAULT
    assert check.numbers == {"cuts": 3, "exact_cuts": 2}
    assert (
        "Last-Event-ID '5': event 4 comes again, so the reader has 2 events twice" in check.evidence
    )


def test_a_gap_behind_the_next_event_is_found():
    def second(last_event_id):
        following = events(int(last_event_id) + 1, 10)
        return streams(*following[:1], *following[2:])

    check = resuming("last-event-id", first_then(streams(*events(1, 10)), second))
    assert check.verdict is Verdict.FAULT
    assert (
        "Last-Event-ID '5': behind the next event, the id '8' came in place of the id '7'"
        in check.evidence
    )


def test_the_right_ids_with_other_data_are_a_warning():
    def second(last_event_id):
        number = int(last_event_id) + 1
        return streams(event(number, data="another answer"), *events(number + 1, 10))

    check = resuming("last-event-id", first_then(streams(*events(1, 10)), second))
    assert check.verdict is Verdict.WARNING
    assert "'another answer'" in check.evidence


def test_the_time_of_sending_may_differ(origin):
    assert of_zoo(origin, "last-event-id", stamp="sent_at").verdict is Verdict.OK


def test_a_greeting_before_the_next_event_is_no_repeat():
    def second(last_event_id):
        return streams(b"event: hello\ndata: {}\n\n", *events(int(last_event_id) + 1, 10))

    handler = first_then(streams(*events(1, 10)), second)
    assert resuming("last-event-id", handler).verdict is Verdict.OK


def test_a_next_event_without_an_id_is_not_taken_for_lost():
    both = [part for n in range(1, 6) for part in (event(n), event(n, None, f"more of {n}"))]

    def second(last_event_id):
        return streams(*both[2 * int(last_event_id) - 1 :])

    check = resuming("last-event-id", first_then(streams(*both), second))
    assert check.verdict is Verdict.OK


def test_an_end_in_the_middle_is_a_fault():
    handler = first_then(streams(*events(1, 10)), lambda _: NO_CONTENT)
    check = resuming("last-event-id", handler)
    assert check.verdict is Verdict.FAULT
    assert "answered 204 before 5 events that had followed" in check.evidence


def test_204_for_a_reader_that_has_all_but_the_terminal_event_is_right():
    def second(last_event_id):
        return NO_CONTENT if last_event_id == "4" else streams(*events(int(last_event_id) + 1, 4))

    handler = first_then(streams(*events(1, 4), DONE), second)
    assert resuming("last-event-id", handler).verdict is Verdict.OK


def test_a_refusal_is_a_fault():
    refusal = sends(head("400 Bad Request", Content_Length=0))
    handler = first_then(streams(*events(1, 10)), lambda _: refusal)
    assert "answered 400" in resuming("last-event-id", handler).evidence


def test_a_history_that_is_gone_is_a_warning():
    reset = streams(b"event: reset\ndata: {}\n\n", *events(8, 10))
    handler = first_then(streams(*events(1, 10)), lambda _: reset)
    assert resuming("last-event-id", handler).verdict is Verdict.WARNING


def live(writes):
    return sends(STREAM_HEAD, *map(chunk, writes))


@pytest.mark.slow
def test_a_live_stream_without_a_history_is_a_warning_with_what_is_lost():
    later = itertools.count(20)
    handler = first_then(live(events(1, 4)), lambda _: live([event(next(later))]))
    check = resuming("last-event-id", handler)
    assert check.verdict is Verdict.WARNING
    assert (
        "goes on with '21', without a history: the reader loses at least 2 events between"
        in check.evidence
    )


@pytest.mark.slow
def test_a_live_stream_that_sends_its_newest_event_first_is_a_warning():
    handler = first_then(live(events(1, 6)), lambda _: live([event(6)]))
    check = resuming("last-event-id", handler)
    assert check.verdict is Verdict.WARNING
    assert "only the newest event" in check.evidence


def test_a_live_stream_with_a_history_is_right():
    handler = first_then(
        live(events(1, 6)), lambda last_event_id: live(events(int(last_event_id) + 1, 8))
    )
    assert resuming("last-event-id", handler).verdict is Verdict.OK


@pytest.mark.slow
def test_a_stream_in_which_nothing_comes_is_not_judged():
    handler = first_then(live(events(1, 3)), lambda _: live([b": waiting\n"]))
    check = resuming("last-event-id", handler, depth=Depth.QUICK)
    assert check.verdict is Verdict.SKIPPED
    assert "Not known" in check.evidence


def test_the_same_events_with_ids_of_the_connection_are_a_start_over():
    def second(_):
        return streams(*[event(n, f"other-{n}") for n in range(1, 11)])

    first = streams(*[event(n, f"one-{n}") for n in range(1, 11)])
    check = resuming("last-event-id", first_then(first, second))
    assert check.verdict is Verdict.FAULT
    assert "starts over with other ids" in check.evidence


def test_ids_that_stand_at_several_events_are_no_places_to_cut():
    writes = [event(n, "same-for-all") for n in range(1, 5)]
    assert resuming("last-event-id", streams(*writes)).verdict is Verdict.SKIPPED


# After the end.


def test_204_after_the_end_is_right(origin):
    assert of_zoo(origin, "after-the-end").verdict is Verdict.OK


def test_empty_streams_without_a_terminal_event_are_an_endless_loop(origin):
    check = of_zoo(origin, "after-the-end", after_end="empty")
    assert check.verdict is Verdict.FAULT
    assert "each 3 s" in check.evidence


def test_the_loop_is_as_fast_as_retry_says():
    first = streams(b"retry: 100\n" + event(1), event(2))
    handler = first_then(first, lambda _: streams(b": nothing\n"))
    assert "each 0.1 s" in resuming("after-the-end", handler).evidence


def test_after_a_terminal_event_an_empty_stream_is_right():
    handler = first_then(streams(event(1), DONE), lambda _: streams(b": nothing\n"))
    assert resuming("after-the-end", handler).verdict is Verdict.OK


def test_a_stream_that_begins_again_after_its_end_is_a_fault(origin):
    assert of_zoo(origin, "after-the-end", after_end="again").verdict is Verdict.FAULT


def test_with_a_terminal_event_it_is_a_warning(origin):
    check = of_zoo(origin, "after-the-end", after_end="again", terminal="bye")
    assert check.verdict is Verdict.WARNING


def test_a_last_event_without_an_id_that_comes_again_is_one_that_the_reader_had():
    handler = first_then(streams(event(1), event(2, None)), lambda _: streams(event(2, None)))
    assert resuming("after-the-end", handler).verdict is Verdict.FAULT


def test_new_events_after_the_end_are_right():
    handler = first_then(streams(*events(1, 3)), lambda _: streams(*events(4, 5)))
    assert resuming("after-the-end", handler).verdict is Verdict.OK


def test_404_after_the_end_stops_with_an_error():
    gone = sends(head("404 Not Found", Content_Length=0))
    check = resuming("after-the-end", first_then(streams(*events(1, 3)), lambda _: gone))
    assert check.verdict is Verdict.WARNING
    assert "404" in check.evidence


def test_a_stream_without_an_end_has_none_to_come_back_after(origin):
    assert of_zoo(origin, "after-the-end", events=0).verdict is Verdict.SKIPPED


# The time until a reader comes back.


@pytest.mark.parametrize(
    ("retry", "verdict"),
    [
        ("", Verdict.OK),
        ("3000", Verdict.OK),
        ("500", Verdict.OK),
        ("0", Verdict.WARNING),
        ("60000", Verdict.OK),
        ("3600000", Verdict.WARNING),
        ("9" * 5000, Verdict.WARNING),
    ],
)
def test_the_reconnection_time_is_judged(retry, verdict):
    line = f"retry: {retry}\n".encode() if retry else b""
    handler = first_then(streams(line + event(1), event(2)), lambda _: NO_CONTENT)
    assert resuming("retry", handler).verdict is verdict


# Where it does not apply.


def test_a_chat_is_not_asked_again():
    with RawUpstream(streams(event(1), b"data: [DONE]\n\n")) as server:
        report = examine(
            f"http://{server.host}/v1/chat/completions", post=b"{}", groups=("resuming",)
        )
        assert len(server.requests) == 1
    assert [check.verdict for check in report.checks] == [Verdict.SKIPPED]
    assert "tokens" in report.checks[0].evidence


def test_a_post_without_ids_is_not_sent_again():
    report = examined(streams(event(1, None)), "resuming", post=b"{}")
    assert [check.verdict for check in report.checks] == [Verdict.SKIPPED]


def test_a_post_with_ids_is_sent_again_with_its_body():
    requests = []

    def second(last_event_id):
        return exact(last_event_id)

    plain = first_then(streams(*events(1, 10)), second)

    def handler(sock, request):
        requests.append(request)
        plain(sock, request)

    check = resuming("last-event-id", handler, post=b'{"q": 1}')
    assert check.verdict is Verdict.OK
    assert all(request.endswith(b'{"q": 1}') for request in requests)


def test_the_stream_of_an_mcp_call_is_resumed_by_a_get_with_its_session():
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call"}
    progress = json.dumps({"jsonrpc": "2.0", "method": "notifications/progress"})
    result = json.dumps({"jsonrpc": "2.0", "id": 2, "result": {}})
    writes = [event(1, data=progress), event(2, data=progress), event(3, data=result)]

    def handler(sock, request):
        last_event_id = headers_of(request).get("last-event-id")
        if request.startswith(b"GET") and headers_of(request).get("mcp-session-id") == "s":
            rest = writes[int(last_event_id) :]
            (streams(*rest) if rest else NO_CONTENT)(sock, request)
        elif b"tools/call" in request:
            streams(*writes)(sock, request)
        else:
            sends(head(Content_Length=0, Mcp_Session_Id="s"))(sock, request)

    options = {"post": json.dumps(call).encode(), "path": "/mcp"}
    report = examined(handler, "resuming", **options)
    assert report.preset == "mcp"
    assert report.check("resuming.last-event-id").verdict is Verdict.OK


def test_only_one_check_is_made_of_a_chat_s_resuming():
    report = examined_chat(streams(event(1), b"data: [DONE]\n\n"), "resuming")
    assert [check.name for check in report.checks] == ["last-event-id"]
