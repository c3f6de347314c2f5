"""The simulator: the same answer for the same question, in OpenAI's form, at any pace, with any fault."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_sluice.gateway.simulator.answers.texts import tokenize, write_answer
from flask_sluice.gateway.simulator.apis.chat.request import ChatRequest
from flask_sluice.gateway.simulator.apis.completions.request import CompletionRequest
from flask_sluice.gateway.simulator.apis.format import Template, data_event
from flask_sluice.gateway.simulator.options import SimulatorOptions
from flask_sluice.gateway.simulator.simulate import Simulation
from flask_sluice.gateway.simulator.timed_feed import Pause
from flask_sluice.sse import EventParser
from flask_sluice.stream.errors import ApiError, CutError, PlainAnswer
from tests.support.stream import chat

TEXT = "One two three four five."
TOKENS = ["One", " two", " three", " four", " five", "."]
FAILURE = "a failure was asked for"


class RecordingContext:
    """Records what the simulator tells its context, and the pauses of its answer, which take no time.

    waits: the pauses of the answer, in seconds
    """

    def __init__(self):
        self.waits = []
        self.failures = []

    def wait(self, seconds):
        self.waits.append(seconds)

    def fail(self, reason):
        self.failures.append(reason)


def completion(prompt="hi", *, stream=True, **fields):
    return {"model": "test", "prompt": prompt, "stream": stream, **fields}


def generate(body, context=None):
    """Yield the answer's items. Pauses go to the context; one without an end ends the answer."""
    context = context or RecordingContext()
    type_ = ChatRequest if "messages" in body else CompletionRequest
    request = msgspec.json.decode(msgspec.json.encode(body), type=type_)
    options = request.simulator or SimulatorOptions()
    for item in Simulation(request, options, context).items():
        if not isinstance(item, Pause):
            yield item
            continue
        context.wait(item.seconds)
        if item.seconds is None:
            return


def on_the_wire(items):
    return b"".join(item if isinstance(item, bytes) else item.encode() for item in items)


def data_of(items):
    return [event.data for event in EventParser().feed(on_the_wire(items))]


def chunks_of(body):
    """The chunks of a stream that is complete."""
    *chunks, done = data_of(generate(body))
    assert done == "[DONE]"
    return [json.loads(chunk) for chunk in chunks]


def whole(body, context=None):
    return json.loads(b"".join(generate({**body, "stream": False}, context)))


def choices_of(chunks, index=0):
    return [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]


def contents(chunks, index=0):
    deltas = [choice["delta"] for choice in choices_of(chunks, index)]
    return [delta["content"] for delta in deltas if delta.get("content")]


def answer(prompt="hi", **fields):
    return "".join(contents(chunks_of(chat(prompt, **fields))))


class TestAnswer:
    def test_is_the_same_for_the_same_prompt_and_seed(self):
        assert answer("why", seed=1) == answer("why", seed=1)

    def test_is_the_same_streamed_and_whole(self):
        assert whole(chat("why"))["choices"][0]["message"]["content"] == answer("why")

    def test_differs_between_seeds(self):
        assert len({answer("why", seed=seed) for seed in range(5)}) == 5

    def test_differs_between_prompts(self):
        assert answer("why") != answer("how")

    def test_the_simulators_seed_goes_before_the_requests(self):
        assert answer("why", seed=1, simulator={"seed": 2}) == answer("why", seed=2)

    def test_takes_the_prompt_up(self):
        assert "“Why is the sky blue?”" in answer("Why is\nthe  sky blue?")

    def test_takes_up_what_the_user_said_last(self):
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "First?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": [{"type": "text", "text": "And then?"}]},
            {"role": "assistant", "content": "Well."},
        ]
        text = "".join(contents(chunks_of({**chat(), "messages": messages})))
        assert "“And then?”" in text

    def test_takes_up_the_beginning_of_a_long_prompt(self):
        text = answer("x" * 10_000)
        assert "x" * 100 in text
        assert "x" * 200 not in text

    def test_is_written_for_an_empty_prompt_too(self):
        assert "“nothing in particular”" in answer("")

    def test_has_several_paragraphs_and_characters_beyond_ascii(self):
        text = answer()
        assert len(text.split("\n\n")) == 5
        assert not text.isascii()

    @pytest.mark.parametrize("tokens", [0, 1, 7, 3000])
    def test_is_as_long_as_asked_for(self, tokens):
        assert len(contents(chunks_of(chat(simulator={"tokens": tokens})))) == tokens

    def test_is_the_text_that_was_given(self):
        assert contents(chunks_of(chat(simulator={"text": TEXT}))) == TOKENS

    def test_is_cut_short_where_both_text_and_tokens_are_given(self):
        assert contents(chunks_of(chat(simulator={"text": TEXT, "tokens": 2}))) == TOKENS[:2]


@given(st.text(st.characters()))
def test_tokens_joined_are_the_text(text):
    tokens = tokenize(text)
    assert "".join(tokens) == text
    assert "" not in tokens


@pytest.mark.parametrize(
    "prompt", ["", "why", "Why is\nthe  sky blue?", " _ 5.5\t“x” ", "x" * 10_000]
)
@pytest.mark.parametrize("tokens", [None, 3, 1000])
def test_an_answers_tokens_are_those_of_its_text(prompt, tokens):
    for seed in range(20):
        answer = write_answer(prompt, seed, tokens)
        assert tokenize("".join(answer)) == answer


@given(
    st.text() | st.sampled_from(['"', "\\", "\0", "\r\n", "\x7f", "\u2028", "é🌊", ""]), st.text()
)
def test_a_templates_event_is_what_encoding_it_gives(text, model):
    template = Template(data_event({"model": model, "text": Template.GAP, "index": 1}))
    assert template.write(text) == data_event({"model": model, "text": text, "index": 1})


class TestLimits:
    @pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
    def test_an_answer_over_the_limit_is_cut_for_its_length(self, field):
        chunks = chunks_of(chat(simulator={"text": TEXT}, **{field: 2}))
        assert contents(chunks) == TOKENS[:2]
        assert choices_of(chunks)[-1]["finish_reason"] == "length"

    def test_max_completion_tokens_goes_before_max_tokens(self):
        body = chat(simulator={"text": TEXT}, max_tokens=1, max_completion_tokens=3)
        assert contents(chunks_of(body)) == TOKENS[:3]

    def test_an_answer_of_just_the_limit_stops_by_itself(self):
        chunks = chunks_of(chat(simulator={"text": TEXT}, max_tokens=len(TOKENS)))
        assert choices_of(chunks)[-1]["finish_reason"] == "stop"

    @pytest.mark.parametrize(
        ("stop", "expected"),
        [
            (" four", "One two three"),
            ("ee f", "One two thr"),
            (["nowhere", "four", "two"], "One "),
            (["One"], ""),
            ("nowhere", TEXT),
            (["", "nowhere"], TEXT),
            ([], TEXT),
            (None, TEXT),
        ],
    )
    def test_an_answer_ends_before_the_first_stop_sequence(self, stop, expected):
        chunks = chunks_of(chat(simulator={"text": TEXT}, stop=stop))
        assert "".join(contents(chunks)) == expected
        assert choices_of(chunks)[-1]["finish_reason"] == "stop"

    def test_an_answer_that_stops_before_the_limit_stopped_by_itself(self):
        body = chat(simulator={"text": TEXT}, stop=" three", max_tokens=2)
        assert choices_of(chunks_of(body))[-1]["finish_reason"] == "stop"


class TestChunks:
    """The rules for every stream of chunks (chat completions; most hold for completions, too)."""

    @pytest.mark.parametrize(
        ("body", "object_"),
        [(chat(n=2), "chat.completion.chunk"), (completion(n=2), "text_completion")],
    )
    def test_have_one_id_time_and_model(self, body, object_):
        body["stream_options"] = {"include_usage": True}
        chunks = chunks_of(body)
        (head,) = {
            (chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks
        }
        assert head[2:] == ("test", object_)

    def test_have_another_id_in_each_answer(self):
        assert chunks_of(chat())[0]["id"] != chunks_of(chat())[0]["id"]

    @pytest.mark.parametrize("body", [chat(), completion()])
    def test_always_have_a_list_of_choices(self, body):
        body["stream_options"] = {"include_usage": True}
        assert all(isinstance(chunk["choices"], list) for chunk in chunks_of(body))

    def test_name_the_role_in_the_first_delta_only(self):
        first, *rest = choices_of(chunks_of(chat()))
        assert first["delta"] == {"role": "assistant", "content": ""}
        assert all("role" not in choice["delta"] for choice in rest)

    @pytest.mark.parametrize("body", [chat(), completion()])
    def test_have_a_finish_reason_in_the_last_only(self, body):
        *rest, last = choices_of(chunks_of(body))
        assert last["finish_reason"] == "stop"
        assert all(choice["finish_reason"] is None for choice in rest)

    def test_carry_one_token_each(self):
        assert contents(chunks_of(chat(simulator={"text": TEXT}))) == TOKENS

    @pytest.mark.parametrize("body", [chat(), completion()])
    def test_have_no_id_event_or_retry_lines(self, body):
        lines = on_the_wire(generate(body)).split(b"\n")
        assert {line.partition(b":")[0] for line in lines} == {b"data", b""}

    @pytest.mark.parametrize("body", [chat(), completion()])
    def test_end_with_done_once(self, body):
        data = data_of(generate(body))
        assert [place for place, text in enumerate(data) if text == "[DONE]"] == [len(data) - 1]

    def test_of_several_choices_are_told_apart_by_their_index(self):
        chunks = chunks_of(chat(n=3))
        texts = {"".join(contents(chunks, index)) for index in range(3)}
        assert len(texts) == 3
        for index in range(3):
            first, *_, last = choices_of(chunks, index)
            assert first["delta"]["role"] == "assistant"
            assert last["finish_reason"] == "stop"

    def test_of_several_choices_come_turn_by_turn(self):
        chunks = chunks_of(chat(n=2, simulator={"text": "One two"}))
        indices = [choice["index"] for chunk in chunks for choice in chunk["choices"]]
        # The first chunk of each has its role and its first token's follows at once.
        assert indices == [0, 0, 1, 1, 0, 1, 0, 1]


def counts(usage):
    return usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]


class TestUsage:
    PROMPT = "One two three."

    def test_is_one_chunk_without_choices_before_done(self):
        body = chat(
            self.PROMPT, simulator={"text": TEXT}, stream_options={"include_usage": True}, n=2
        )
        *rest, last = chunks_of(body)
        assert last["choices"] == []
        assert counts(last["usage"]) == (4, 12, 16)
        assert all(chunk["usage"] is None for chunk in rest)

    @pytest.mark.parametrize("options", [None, {}, {"include_usage": False}])
    def test_is_nowhere_unless_it_is_asked_for(self, options):
        assert all("usage" not in chunk for chunk in chunks_of(chat(stream_options=options)))

    def test_counts_all_messages(self):
        body = chat()
        body["messages"] = [
            {"role": "system", "content": "One two"},
            {"role": "user", "content": "three"},
        ]
        alone = whole(chat("three"))["usage"]["prompt_tokens"]
        assert whole(body)["usage"]["prompt_tokens"] > alone

    def test_is_always_in_a_whole_answer(self):
        usage = whole(chat(self.PROMPT, simulator={"text": TEXT}))["usage"]
        assert counts(usage) == (4, 6, 10)


def test_a_whole_answer_is_one_chat_completion():
    document = whole(chat(simulator={"text": TEXT}, n=2))
    assert document["object"] == "chat.completion"
    assert document["model"] == "test"
    assert [choice["index"] for choice in document["choices"]] == [0, 1]
    for choice in document["choices"]:
        assert choice["message"] == {
            "role": "assistant",
            "content": TEXT,
            "refusal": None,
            "annotations": [],
        }
        assert choice["finish_reason"] == "stop"


CALL = {"name": "weather", "arguments": {"city": "Köln", "days": 3}}
CALLING = chat(simulator={"tool_call": CALL})


class TestToolCall:
    def entries(self, chunks):
        calls = [choice["delta"].get("tool_calls", []) for choice in choices_of(chunks)]
        return [entry for entries in calls for entry in entries]

    def test_is_named_once(self):
        first, *rest = self.entries(chunks_of(CALLING))
        assert first["id"].startswith("call_")
        assert first["type"] == "function"
        assert first["function"]["name"] == "weather"
        assert rest
        for entry in rest:
            assert entry.keys() == {"index", "function"}
            assert entry["function"].keys() == {"arguments"}

    def test_has_its_index_in_every_entry(self):
        assert {entry["index"] for entry in self.entries(chunks_of(CALLING))} == {0}

    def test_streams_its_arguments_in_pieces(self):
        pieces = [entry["function"]["arguments"] for entry in self.entries(chunks_of(CALLING))]
        assert len(pieces) > 3
        assert json.loads("".join(pieces)) == CALL["arguments"]

    def test_takes_arguments_as_text_as_they_are(self):
        call = {"name": "weather", "arguments": '{"not json'}
        entries = self.entries(chunks_of(chat(simulator={"tool_call": call})))
        assert "".join(entry["function"]["arguments"] for entry in entries) == '{"not json'

    def test_is_the_finish_reason_and_leaves_no_content(self):
        chunks = chunks_of(CALLING)
        assert contents(chunks) == []
        assert choices_of(chunks)[-1]["finish_reason"] == "tool_calls"

    def test_is_in_the_message_of_a_whole_answer(self):
        (choice,) = whole(CALLING)["choices"]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] is None
        (call,) = choice["message"]["tool_calls"]
        assert call.keys() == {"id", "type", "function"}
        assert call["function"]["name"] == "weather"
        assert json.loads(call["function"]["arguments"]) == CALL["arguments"]

    def test_is_refused_for_a_text_completion(self):
        with pytest.raises(ApiError) as caught:
            list(generate(completion(simulator={"tool_call": CALL})))
        assert caught.value.status == 400
        assert caught.value.param == "simulator.tool_call"


class TestCompletion:
    def texts(self, body):
        chunks = chunks_of(body)
        count = max(choice["index"] for chunk in chunks for choice in chunk["choices"]) + 1
        return [
            "".join(choice["text"] for choice in choices_of(chunks, index))
            for index in range(count)
        ]

    def test_answers_as_the_chat_does(self):
        assert self.texts(completion("why")) == [answer("why")]

    def test_answers_each_prompt(self):
        texts = self.texts(completion(["why", "how"]))
        assert ["“why”" in texts[0], "“how”" in texts[1]] == [True, True]

    def test_numbers_the_choices_prompt_by_prompt(self):
        texts = self.texts(completion(["why", "how"], n=2))
        assert texts == [
            *self.texts(completion("why", n=2)),
            *self.texts(completion("how", n=2)),
        ]

    @pytest.mark.parametrize(
        ("prompt", "topics"),
        [([1, 22, 333], ["1 22 333"]), ([[1, 22], [333]], ["1 22", "333"])],
    )
    def test_takes_token_ids(self, prompt, topics):
        assert self.texts(completion(prompt)) == self.texts(completion(topics))

    def test_whole_is_one_text_completion(self):
        document = whole(completion(["why", "how"], simulator={"text": TEXT}))
        assert document["object"] == "text_completion"
        assert document["choices"] == [
            {"index": index, "text": TEXT, "logprobs": None, "finish_reason": "stop"}
            for index in range(2)
        ]


@pytest.mark.parametrize("stream", [True, False])
class TestPace:
    def waits(self, stream, **simulator):
        context = RecordingContext()
        list(generate(chat(stream=stream, simulator={"text": TEXT, **simulator}), context))
        return context.waits

    def test_is_a_wait_for_the_first_token_and_one_between_any_two(self, stream):
        waits = self.waits(stream, ttft_ms=500, itl_ms=20)
        assert waits == pytest.approx([0.5, *[0.02] * (len(TOKENS) - 1)])

    def test_is_thirty_milliseconds_a_token_if_nothing_is_said(self, stream):
        assert self.waits(stream) == pytest.approx([0.03] * (len(TOKENS) - 1))

    def test_can_be_no_wait_at_all(self, stream):
        assert self.waits(stream, itl_ms=0) == []

    def test_varies_around_its_mean(self, stream):
        waits = self.waits(stream, text="a " * 2000, itl_ms=20, itl_stddev_ms=5, ttft_ms=10)
        assert len(set(waits)) > 1000
        assert sum(waits) / len(waits) == pytest.approx(0.02, rel=0.05)

    def test_is_never_less_than_nothing(self, stream):
        waits = self.waits(stream, text="a " * 2000, itl_ms=5, itl_stddev_ms=5)
        assert 1000 < len(waits) < 2000
        assert min(waits) > 0

    def test_varies_in_the_same_way_for_the_same_seed(self, stream):
        pace = {"ttft_ms": 100, "ttft_stddev_ms": 20, "itl_ms": 20, "itl_stddev_ms": 5}
        first = self.waits(stream, **pace, seed=1)
        assert self.waits(stream, **pace, seed=1) == pytest.approx(first)
        assert self.waits(stream, **pace, seed=2) != pytest.approx(first)


def faulty(kind, *, stream=True, tool_call=None, text=TEXT, **fault):
    simulator = {"text": text, "tool_call": tool_call, "fault": {"kind": kind, **fault}}
    return chat(stream=stream, simulator=simulator)


def before_cut(body, *, is_reset=False):
    """The items of an answer whose connection then breaks."""
    items = []
    with pytest.raises(CutError) as caught:
        items.extend(generate(body))
    assert caught.value.is_reset == is_reset
    return items


class TestFaultInsteadOfAnAnswer:
    @pytest.mark.parametrize("stream", [True, False])
    def test_status_is_a_refusal(self, stream):
        body = faulty("status", stream=stream, status=429, retry_after=7)
        with pytest.raises(ApiError) as caught:
            next(generate(body))
        assert caught.value.status == 429
        assert caught.value.headers == {"Retry-After": "7"}

    def test_status_is_500_if_none_is_given(self):
        with pytest.raises(ApiError) as caught:
            next(generate(faulty("status")))
        assert caught.value.status == 500
        assert caught.value.headers == {}

    @pytest.mark.parametrize("stream", [True, False])
    def test_json_body_is_a_200_that_is_no_answer(self, stream):
        with pytest.raises(PlainAnswer) as caught:
            next(generate(faulty("json_body", stream=stream)))
        assert caught.value.status == 200
        assert json.loads(caught.value.body)["message"] == FAILURE


class TestFaultInAStream:
    def test_comes_after_three_tokens_if_nothing_is_said(self):
        data = data_of(before_cut(faulty("cut")))
        assert contents([json.loads(chunk) for chunk in data]) == TOKENS[:3]

    @pytest.mark.parametrize(("after", "tokens"), [(0, 0), (2, 2), (6, 6), (1000, 6)])
    def test_comes_after_as_many_tokens_as_asked_for(self, after, tokens):
        data = data_of(before_cut(faulty("cut", after=after)))
        chunks = [json.loads(chunk) for chunk in data]
        assert contents(chunks) == TOKENS[:tokens]
        assert all(choice["finish_reason"] is None for choice in choices_of(chunks))

    @pytest.mark.parametrize("kind", ["cut", "reset"])
    def test_cut_and_reset_break_the_connection(self, kind):
        assert data_of(before_cut(faulty(kind), is_reset=kind == "reset"))

    def test_stall_waits_for_ever(self):
        context = RecordingContext()
        data = data_of(generate(faulty("stall", after=1), context))
        assert context.waits == [None]
        assert contents([json.loads(chunk) for chunk in data]) == TOKENS[:1]

    def test_error_event_is_an_upstreams_failure_after_the_tokens(self):
        items = []
        with pytest.raises(ApiError, match=FAILURE):
            items.extend(generate(faulty("error_event")))
        assert len(data_of(items)) == 1 + 3

    def test_truncate_ends_with_neither_finish_reason_nor_done(self):
        context = RecordingContext()
        data = data_of(generate(faulty("truncate"), context))
        assert choices_of([json.loads(chunk) for chunk in data])[-1]["finish_reason"] is None
        assert context.failures == [FAILURE]

    def test_malformed_is_one_event_that_is_not_json_in_a_stream_that_goes_on(self):
        data = data_of(generate(faulty("malformed")))
        sound = data_of(generate(chat(simulator={"text": TEXT})))
        assert len(data) == len(sound) + 1
        with pytest.raises(json.JSONDecodeError):
            json.loads(data[1 + 3])
        assert data[-1] == "[DONE]"

    def test_split_utf8_cuts_a_character_between_two_writes(self):
        context = RecordingContext()
        items = list(generate(faulty("split_utf8", text="One Größe Größe", after=0), context))
        first, second = (item for item in items if not is_utf8(item))
        assert "Größe" in (first + second).decode()
        assert any(0 < seconds < 0.03 for seconds in context.waits)
        assert data_of(items)[-1] == "[DONE]"

    def test_no_done_leaves_out_the_terminal_event_alone(self):
        context = RecordingContext()
        data = data_of(generate(faulty("no_done"), context))
        assert choices_of([json.loads(chunk) for chunk in data])[-1]["finish_reason"] == "stop"
        assert context.failures == [FAILURE]

    def test_duplicate_is_one_event_twice(self):
        chunks = chunks_of(faulty("duplicate", after=2))
        assert contents(chunks) == [*TOKENS[:3], TOKENS[2], *TOKENS[3:]]

    def test_heartbeat_is_a_comment_between_two_tokens(self):
        items = list(generate(faulty("heartbeat", after=2)))
        sound = list(generate(chat(simulator={"text": TEXT})))
        assert items[3] == b": heartbeat\n\n"
        assert len(items) == len(sound) + 1
        assert len(data_of(items)) == len(data_of(sound))


def is_utf8(item):
    try:
        on_the_wire([item]).decode()
    except UnicodeDecodeError:
        return False
    return True


class TestFaultInAWholeAnswer:
    @pytest.mark.parametrize("kind", ["cut", "reset"])
    def test_cut_and_reset_break_the_connection(self, kind):
        assert before_cut(faulty(kind, stream=False), is_reset=kind == "reset") == []

    def test_stall_waits_for_ever(self):
        context = RecordingContext()
        assert list(generate(faulty("stall", stream=False, after=0), context)) == []
        assert context.waits == [None]

    def test_error_event_is_a_bad_gateway(self):
        with pytest.raises(ApiError) as caught:
            list(generate(faulty("error_event", stream=False)))
        assert (caught.value.status, caught.value.code) == (502, "upstream_error")

    def test_truncate_has_part_of_the_text_and_no_finish_reason(self):
        context = RecordingContext()
        (choice,) = whole(faulty("truncate", after=2), context)["choices"]
        assert choice["message"]["content"] == "".join(TOKENS[:2])
        assert choice["finish_reason"] is None
        assert context.failures == [FAILURE]

    def test_malformed_is_half_a_document(self):
        with pytest.raises(json.JSONDecodeError):
            whole(faulty("malformed"))

    def test_split_utf8_has_no_meaning(self):
        (choice,) = whole(faulty("split_utf8"))["choices"]
        assert choice["message"]["content"] == TEXT


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "nonsense"},
        {"kind": "cut", "status": 500},
        {"kind": "cut", "retry_after": 1},
        {"kind": "status", "after": 1},
        {"kind": "json_body", "after": 1},
        {"kind": "status", "status": 200},
        {"kind": "cut", "afer": 1},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(fault):
    with pytest.raises(msgspec.ValidationError):
        list(generate(chat(simulator={"fault": fault})))
