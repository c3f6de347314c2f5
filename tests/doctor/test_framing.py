"""How the doctor judges the bytes of a body: byte order marks, line endings, UTF-8, blocks and fields."""

import time

from flask_sluice.doctor import Verdict
from tests.doctor.examined import chat_framing, examined, framing
from tests.server.raw_upstream import STREAM_HEAD, breaks_off, chunk, sends, streams

BOM = b"\xef\xbb\xbf"
ONE = b"data: one\n\n"
TWO = b"data: two\n\n"


def written_slowly(*writes):
    """The writes arrive apart from each other."""

    def handler(sock, request):
        sock.sendall(STREAM_HEAD)
        for each in writes:
            sock.sendall(chunk(each))
            time.sleep(0.12)  # the pace is what the test is about
        sock.sendall(b"0\r\n\r\n")

    return handler


# Byte order marks.


def test_a_byte_order_mark_before_a_field_is_a_warning_that_names_clients():
    check = framing("byte-order-mark", BOM + ONE)
    assert check.verdict is Verdict.WARNING
    assert "httpx-sse" in check.evidence
    assert "'data'" in check.evidence


def test_a_byte_order_mark_before_a_comment_harms_no_client():
    assert framing("byte-order-mark", BOM + b": hello\n" + ONE).verdict is Verdict.OK


def test_a_second_byte_order_mark_hides_a_field():
    check = framing("byte-order-mark", BOM + BOM + ONE)
    assert check.verdict is Verdict.FAULT
    assert "data: one" in check.evidence


def test_a_byte_order_mark_inside_the_stream_is_a_fault_with_its_place():
    check = framing("byte-order-mark", ONE, BOM + TWO)
    assert check.verdict is Verdict.FAULT
    assert "byte 11" in check.evidence


def test_a_byte_order_mark_within_data_is_text():
    assert framing("byte-order-mark", b"data: " + BOM + b"\n\n").verdict is Verdict.OK


# Line endings.


def test_crlf_throughout_is_as_good_as_lf():
    check = framing("line-endings", b"data: one\r\n\r\n")
    assert check.verdict is Verdict.OK
    assert check.numbers == {"crlf_lines": 2}


def test_cr_alone_is_a_warning_that_names_clients():
    check = framing("line-endings", b"data: one\r\r", b"data: two\r\r")
    assert check.verdict is Verdict.WARNING
    assert "go-openai" in check.evidence
    assert check.numbers == {"cr_lines": 4}


def test_mixed_line_endings_are_counted():
    check = framing("line-endings", ONE, b"data: two\r\n\r\n")
    assert check.verdict is Verdict.WARNING
    assert check.numbers == {"lf_lines": 2, "crlf_lines": 2}


def test_an_event_that_ends_with_two_different_line_ends_is_told():
    check = framing("line-endings", ONE, b"data: two\n\r\n")
    assert "Two different ones end 1 event, which sse.js" in check.evidence


def test_a_crlf_that_the_end_of_reading_cuts_in_two_is_not_a_mix():
    handler = sends(STREAM_HEAD, chunk(b"data: one\r\n\r\ndata: two\r"))
    assert examined(handler).check("framing.line-endings").verdict is Verdict.OK


# Characters.


def test_bytes_that_are_not_utf8_are_a_fault_with_their_place():
    check = framing("encoding", ONE, b"data: \xe4h\n\n")
    assert check.verdict is Verdict.FAULT
    assert "byte 17 (e4, in event 2)" in check.evidence


def test_a_character_that_is_split_over_two_reads_is_right():
    drop = "💧".encode()
    check = examined(written_slowly(b"data: " + drop[:2], drop[2:] + b"\n\n"))
    assert check.check("framing.encoding").verdict is Verdict.OK
    assert "1 character split over two reads" in check.check("framing.encoding").evidence


def test_half_a_character_at_the_end_of_reading_is_not_a_fault():
    handler = sends(STREAM_HEAD, chunk(ONE + b"data: \xf0\x9f"))
    assert examined(handler).check("framing.encoding").verdict is Verdict.OK


def test_half_a_character_at_the_end_of_the_body_is_a_fault():
    assert framing("encoding", ONE + b"data: \xf0\x9f").verdict is Verdict.FAULT


def test_replacement_characters_are_a_warning_that_the_server_splits_characters():
    check = framing("encoding", "data: I \ufffd\ufffd you\n\n".encode())
    assert check.verdict is Verdict.WARNING
    assert check.numbers["replacement_events"] == 1


def test_half_of_a_surrogate_pair_in_json_is_a_warning():
    check = framing("encoding", rb'data: {"text": "\ud83d"}' + b"\n\n")
    assert check.verdict is Verdict.WARNING
    assert check.numbers["half_pair_events"] == 1


def test_a_whole_surrogate_pair_in_json_is_a_character():
    assert framing("encoding", rb'data: {"text": "\ud83d\udca7"}' + b"\n\n").verdict is Verdict.OK


def test_a_backslash_of_the_text_makes_no_surrogate():
    assert framing("encoding", rb'data: {"text": "\\ud83d"}' + b"\n\n").verdict is Verdict.OK


# Blank lines.


def test_a_last_event_without_its_blank_line_is_lost():
    check = framing("blank-lines", ONE, b"data: two\n")
    assert check.verdict is Verdict.FAULT
    assert "10 bytes, 'data: two'" in check.evidence


def test_a_last_comment_needs_no_blank_line():
    assert framing("blank-lines", ONE, b": bye\n").verdict is Verdict.OK


def test_an_unfinished_event_of_a_stream_that_goes_on_is_not_lost():
    handler = sends(STREAM_HEAD, chunk(ONE + b"data: tw"))
    assert examined(handler).check("framing.blank-lines").verdict is Verdict.OK


def test_an_event_that_a_cut_leaves_unfinished_is_not_a_fault_of_the_framing():
    report = examined(breaks_off(ONE, b"data: two\n"))
    assert report.check("framing.blank-lines").verdict is Verdict.OK


def test_events_with_one_line_end_each_are_one_for_every_client():
    lines = [b'data: {"n": %d}\n' % number for number in range(4)]
    check = framing("blank-lines", *lines, b"data: [DONE]\n\n")
    assert check.verdict is Verdict.FAULT
    assert "5 data lines" in check.evidence


def test_text_with_one_line_end_each_is_seen_by_the_times():
    report = examined(written_slowly(*[b"data: word\n"] * 5))
    check = report.check("framing.blank-lines")
    assert check.verdict is Verdict.FAULT
    assert "no client sees an event" in check.evidence


def test_a_done_that_is_glued_to_the_last_event_is_a_fault():
    glued = b'data: {"n": 2}\ndata: [DONE]\n\n'
    assert framing("blank-lines", b'data: {"n": 1}\n\n' * 3, glued).verdict is Verdict.FAULT


def test_json_on_several_lines_of_an_event_is_one_event():
    pretty = b'data: {\ndata: "n": 1\ndata: }\n\n'
    assert framing("blank-lines", pretty).verdict is Verdict.OK


def test_an_event_of_several_lines_that_the_network_tears_apart_is_one_event():
    report = examined(written_slowly(ONE, TWO, b"data: a\nda", b"ta: b\ndata:", b" c\n\n"))
    assert report.check("framing.blank-lines").verdict is Verdict.OK


# Events without data.


def test_an_event_with_a_name_and_no_data_is_dropped():
    check = framing("empty-events", ONE, b"event: ready\n\n")
    assert check.verdict is Verdict.WARNING
    assert "'ready'" in check.evidence


def test_an_event_with_empty_data_is_an_event():
    assert framing("empty-events", b"event: ready\ndata\n\n").verdict is Verdict.OK


def test_an_id_or_a_retry_alone_is_meant():
    assert framing("empty-events", b"retry: 3000\n\n", b"id: 7\n\n", ONE).verdict is Verdict.OK


# Names of fields.


def test_text_behind_an_unmarked_line_end_is_lost():
    check = framing("fields", ONE, b"data: first line\nsecond line\n\n")
    assert check.verdict is Verdict.FAULT
    assert "byte 28 ('second line')" in check.evidence


def test_a_capital_letter_hides_a_field():
    check = framing("fields", ONE, b"Data: two\n\n")
    assert check.verdict is Verdict.FAULT
    assert "'Data'" in check.evidence


def test_an_indented_field_is_no_field():
    assert framing("fields", ONE, b"    data: two\n\n").verdict is Verdict.FAULT


def test_json_lines_are_no_events():
    check = framing("fields", b'{"n": 1}\n', b'{"n": 2}\n')
    assert check.verdict is Verdict.FAULT
    assert "in 2 lines" in check.evidence


def test_a_page_of_a_proxy_inside_the_stream_is_a_fault():
    page = b"<html><body>502 Bad Gateway</body></html>\n"
    assert framing("fields", ONE, page).verdict is Verdict.FAULT


def test_a_field_of_ones_own_is_a_warning():
    check = framing("fields", b"trace: 7\ndata: one\n\n")
    assert check.verdict is Verdict.WARNING
    assert "'trace'" in check.evidence


def test_known_fields_without_a_colon_are_fields():
    assert framing("fields", b"data\nid\n\n").verdict is Verdict.OK


def test_a_field_that_is_still_on_its_way_is_not_judged():
    handler = sends(STREAM_HEAD, chunk(ONE + b"dat"))
    assert examined(handler).check("framing.fields").verdict is Verdict.OK


# Ids and reconnection times.


def test_an_id_with_nul_is_a_fault():
    check = framing("ids", b"id: 1\ndata: one\n\n", b"id: 2\0\ndata: two\n\n")
    assert check.verdict is Verdict.FAULT
    assert "1 of 2 ids" in check.evidence


def test_an_id_that_a_header_would_change_is_a_warning():
    assert framing("ids", b"id: one \ndata: one\n\n").verdict is Verdict.WARNING
    assert framing("ids", "id: größer\ndata: one\n\n".encode()).verdict is Verdict.WARNING


def test_an_id_with_a_space_inside_comes_back_as_it_is():
    assert framing("ids", b"id: a 1\ndata: one\n\n").verdict is Verdict.OK


def test_an_empty_id_among_others_makes_readers_start_over():
    check = framing("ids", b"id: 1\ndata: one\n\n", b"id:\ndata: two\n\n")
    assert check.verdict is Verdict.WARNING


def test_a_stream_without_ids_has_none_to_judge():
    assert framing("ids", ONE).verdict is Verdict.SKIPPED


def test_a_retry_that_is_not_a_number_is_a_warning():
    check = framing("retry", b"retry: 3s\ndata: one\n\n")
    assert check.verdict is Verdict.WARNING
    assert "'retry: 3s'" in check.evidence


def test_a_retry_of_digits_is_fine():
    assert framing("retry", b"retry:3000\ndata: one\n\n").verdict is Verdict.OK


# JSON.


def test_a_chunk_that_is_not_json_is_a_fault_where_clients_parse_each():
    check = chat_framing("json", b'data: {"a": 1}\n\n', b'data: {"a": \n\n', b"data: [DONE]\n\n")
    assert check.verdict is Verdict.FAULT
    assert "1 of 2 events" in check.evidence
    assert "event 2" in check.evidence


def test_the_end_of_openai_streams_need_not_be_json():
    assert chat_framing("json", b'data: {"a": 1}\n\n', b"data: [DONE]\n\n").verdict is Verdict.OK


def test_nan_is_not_json_for_a_browser():
    assert "NaN" in chat_framing("json", b'data: {"logprob": NaN}\n\n').evidence


def test_one_text_among_json_is_a_warning_where_any_data_may_come():
    events = [b'data: {"n": 1}\n\n'] * 5
    assert framing("json", *events, b"data: hello\n\n").verdict is Verdict.WARNING
    assert framing("json", *events, b"event: done\ndata: bye\n\n").verdict is Verdict.OK


def test_text_that_is_not_json_is_no_fault_where_none_is_expected():
    assert framing("json", ONE, b"data: 2\n\n", b'data: {"n": 3}\n\n').verdict is Verdict.SKIPPED


def test_a_greeting_or_a_heartbeat_of_text_among_json_is_meant():
    events = [b'data: {"n": 1}\n\n'] * 5
    greeting = b"event: hello\ndata: welcome\n\n"
    beat = b"event: heartbeat\ndata: still here\n\n"
    assert framing("json", greeting, *events, beat).verdict is Verdict.OK


# All of it.


def test_a_sound_stream_has_neither_faults_nor_warnings():
    events = [b'id: %d\ndata: {"n": %d}\n\n' % (number, number) for number in range(1, 6)]
    report = examined(streams(b": hello\n", b"retry: 3000\n" + events[0], *events[1:]))
    assert not report.faults
    assert not report.warnings


def test_a_body_whose_coding_was_not_asked_for_is_not_judged():
    head = STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: br\r\n\r\n")
    report = examined(sends(head, chunk(b"\x8b\x05\x80data: x\n\n\x03"), b"0\r\n\r\n"))
    assert [check.verdict for check in report.checks] == [Verdict.SKIPPED]
