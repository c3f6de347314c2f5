"""What an answer of the simulator has beside its text: JSON of a schema, log probabilities, refusals, reasoning, usage."""

import json
import struct
import zlib
from base64 import b64encode
from itertools import pairwise

import pytest

from tests.unit.simulated import (
    chunks,
    completion,
    conversation,
    deltas,
    function,
    message_of,
    refusal,
    user,
    whole,
)

TEXT = "One two three."
TOKENS = ["One", " two", " three", "."]
GIVEN = {"simulator": {"text": TEXT}}


def contents(body, field="content"):
    return "".join(delta.get(field) or "" for delta in deltas(body))


SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "kind": {"enum": ["town", "village"]},
        "people": {"type": "integer"},
    },
    "required": ["city", "kind", "people"],
    "additionalProperties": False,
}


class TestResponseFormat:
    def asking(self, **fields):
        format_ = {"name": "place", "schema": SCHEMA, "strict": True}
        response_format = {"type": "json_schema", "json_schema": format_}
        return conversation(response_format=response_format, **fields)

    def test_of_a_schema_gives_json_of_that_schema(self):
        answer = json.loads(message_of(self.asking())["content"])
        assert answer.keys() == {"city", "kind", "people"}
        assert answer["kind"] in ("town", "village")
        assert isinstance(answer["people"], int)

    def test_of_a_schema_is_streamed_as_text(self):
        assert contents(self.asking(seed=1)) == message_of(self.asking(seed=1))["content"]

    def test_of_a_schema_holds_for_each_choice(self):
        for choice in whole(self.asking(n=3))["choices"]:
            assert json.loads(choice["message"]["content"])["kind"] in ("town", "village")

    def test_of_any_object_gives_an_object(self):
        body = conversation(user("Answer in JSON."), response_format={"type": "json_object"})
        assert isinstance(json.loads(message_of(body)["content"]), dict)

    def test_of_text_gives_prose(self):
        body = conversation(user("Why?"), response_format={"type": "text"})
        assert "“Why?”" in message_of(body)["content"]

    def test_waits_for_the_results_of_tools(self):
        assert message_of(self.asking(tools=[function()]))["tool_calls"]


class TestRefusal:
    BODY = conversation(simulator={"refusal": "I cannot help with that."})

    def test_takes_the_place_of_the_content(self):
        (choice,) = whole(self.BODY)["choices"]
        assert choice["message"]["refusal"] == "I cannot help with that."
        assert choice["message"]["content"] is None
        assert choice["finish_reason"] == "stop"

    def test_is_streamed(self):
        assert contents(self.BODY, "refusal") == "I cannot help with that."
        assert contents(self.BODY) == ""

    def test_has_log_probabilities_of_its_own(self):
        logprobs = whole({**self.BODY, "logprobs": True})["choices"][0]["logprobs"]
        assert "".join(each["token"] for each in logprobs["refusal"]) == "I cannot help with that."
        assert logprobs["content"] is None


class TestChatLogprobs:
    def told(self, top=3, **fields):
        body = conversation(logprobs=True, top_logprobs=top, **{**GIVEN, **fields})
        return whole(body)["choices"][0]["logprobs"]["content"]

    def test_tell_of_each_token_its_bytes_and_its_probability(self):
        told = self.told()
        assert [each["token"] for each in told] == TOKENS
        assert [bytes(each["bytes"]).decode() for each in told] == TOKENS
        assert all(-10 < each["logprob"] <= 0 for each in told)

    def test_tell_the_likeliest_alternatives_first(self):
        for each in self.told(20):
            told = [top["logprob"] for top in each["top_logprobs"]]
            assert len(told) == 20
            assert told == sorted(told, reverse=True)
            assert each["token"] == each["top_logprobs"][0]["token"]
            assert len({top["token"] for top in each["top_logprobs"]}) == 20

    @pytest.mark.parametrize("top", [0, None, 1, 5])
    def test_tell_as_many_alternatives_as_are_asked_for(self, top):
        assert all(len(each["top_logprobs"]) == (top or 0) for each in self.told(top))

    def test_are_the_same_each_time_and_streamed(self):
        body = conversation(logprobs=True, top_logprobs=2, **GIVEN)
        streamed = [
            each
            for chunk in chunks(body)
            for choice in chunk["choices"]
            for each in (choice["logprobs"] or {}).get("content") or []
        ]
        assert streamed == self.told(2) == self.told(2)

    @pytest.mark.parametrize("logprobs", [False, None])
    def test_are_null_unless_they_are_asked_for(self, logprobs):
        body = conversation(logprobs=logprobs, **GIVEN)
        assert whole(body)["choices"][0]["logprobs"] is None
        assert all(
            choice["logprobs"] is None for chunk in chunks(body) for choice in chunk["choices"]
        )


class TestTooManyLogprobs:
    """Of a whole answer, which is made at once."""

    def test_of_a_chat_are_refused(self):
        body = conversation(logprobs=True, top_logprobs=20, simulator={"tokens": 5000})
        assert refusal(body).param == "logprobs"

    def test_of_a_text_completion_are_refused(self):
        body = completion(logprobs=5, simulator={"tokens": 10_000})
        assert refusal(body).param == "logprobs"

    def test_of_a_repeated_prompt_are_refused(self):
        assert (
            refusal(completion("." * 20_000, echo=True, logprobs=5, stream=True)).param
            == "logprobs"
        )

    def test_are_streamed(self):
        body = conversation(logprobs=True, top_logprobs=20, simulator={"tokens": 5000})
        assert len(chunks(body)) == 5002

    def test_are_those_of_the_tokens_that_came_where_the_answer_breaks_off(self):
        fault = {"kind": "truncate", "after": 2}
        options = {"simulator": {"text": TEXT, "fault": fault}, "logprobs": True}
        (choice,) = whole(conversation(**options))["choices"]
        assert len(choice["logprobs"]["content"]) == 2
        (choice,) = whole(completion(**{**options, "logprobs": 1}, echo=True))["choices"]
        assert choice["text"] == "hiOne two"
        assert choice["logprobs"]["tokens"] == ["hi", "One", " two"]


def test_a_prompt_that_would_be_repeated_too_often_is_refused():
    assert refusal(completion("a" * 1000, n=101, echo=True)).param == "echo"


class TestReasoning:
    def test_is_counted_and_not_shown(self):
        body = conversation(reasoning_effort="low", **GIVEN)
        document = whole(body)
        assert document["choices"][0]["message"]["content"] == TEXT
        assert "reasoning_content" not in document["choices"][0]["message"]
        usage = document["usage"]
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 64
        assert usage["completion_tokens"] == 64 + len(TOKENS)

    @pytest.mark.parametrize("effort", ["none", "minimal", None])
    def test_can_be_none(self, effort):
        usage = whole(conversation(reasoning_effort=effort, **GIVEN))["usage"]
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 0

    def test_grows_with_the_effort(self):
        counts = [
            whole(conversation(reasoning_effort=effort))["usage"]["completion_tokens_details"]
            for effort in ("low", "medium", "high", "xhigh")
        ]
        assert all(
            fewer["reasoning_tokens"] < more["reasoning_tokens"] for fewer, more in pairwise(counts)
        )

    def test_can_use_up_the_limit_before_the_answer(self):
        document = whole(conversation(reasoning_effort="low", max_completion_tokens=10, **GIVEN))
        (choice,) = document["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
        assert document["usage"]["completion_tokens"] == 10

    def test_is_shown_where_the_options_say_so(self):
        body = conversation(simulator={"text": TEXT, "reasoning": "Let me see."})
        assert message_of(body)["reasoning_content"] == "Let me see."
        assert contents(body, "reasoning_content") == "Let me see."
        assert contents(body) == TEXT


class TestUsage:
    def test_is_null_in_all_chunks_but_the_last_where_it_is_asked_for(self):
        body = conversation(stream_options={"include_usage": True}, **GIVEN)
        *rest, last = chunks(body)
        assert {chunk["usage"] for chunk in rest} == {None}
        assert last["usage"]["completion_tokens"] == len(TOKENS)

    def test_tells_what_was_cached(self):
        body = conversation(user("One two three."), simulator={"cached_tokens": 3})
        assert whole(body)["usage"]["prompt_tokens_details"]["cached_tokens"] == 3

    def test_counts_the_definitions_of_tools(self):
        alone = whole(conversation())["usage"]["prompt_tokens"]
        assert whole(conversation(tools=[function()]))["usage"]["prompt_tokens"] > alone


def png(width, height):
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def jpeg(width, height):
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2000) + bytes(1998)
    return b"\xff\xd8" + thumbnail + b"\xff\xc0" + struct.pack(">HBHH", 17, 8, height, width)


def gif(width, height):
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(4)


def webp(width, height):
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + bytes(4) + b"WEBPVP8X" + bytes(8) + size


class TestMedia:
    def tokens(self, part):
        empty = whole(conversation(user([{"type": "text", "text": ""}])))["usage"]["prompt_tokens"]
        return whole(conversation(user([part])))["usage"]["prompt_tokens"] - empty

    def image(self, data, **fields):
        kind = {b"\x89P": "png", b"\xff\xd8": "jpeg", b"GI": "gif", b"RI": "webp"}[data[:2]]
        url = f"data:image/{kind};base64,{b64encode(data).decode()}"
        return self.tokens({"type": "image_url", "image_url": {"url": url, **fields}})

    @pytest.mark.parametrize("written", [png, jpeg, gif, webp])
    @pytest.mark.parametrize(
        ("width", "height", "tokens"), [(1024, 1024, 765), (2048, 4096, 1105), (300, 200, 255)]
    )
    def test_of_an_image_count_by_its_tiles(self, written, width, height, tokens):
        assert self.image(written(width, height)) == tokens
        assert self.image(written(width, height), detail="low") == 85

    @pytest.mark.parametrize("data", [b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", png(0, 5)])
    def test_of_an_image_of_unknown_size_are_a_fixed_number(self, data):
        assert self.image(data) == 765

    def test_of_an_image_elsewhere_are_a_fixed_number(self):
        url = {"url": "https://a.example/b.png"}
        assert self.tokens({"type": "image_url", "image_url": url}) == 765

    def test_of_a_sound_count_by_its_length(self):
        head = (
            b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
        )
        data = b64encode(head + bytes(32_000 - len(head))).decode()
        sound = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
        assert self.tokens(sound) == pytest.approx(20, abs=1)

    def test_of_a_file_count(self):
        assert self.tokens({"type": "file", "file": {"file_id": "file-1"}}) > 0


class TestHead:
    def test_has_the_same_fingerprint_in_all_chunks(self):
        told = {chunk["system_fingerprint"] for chunk in chunks(conversation(seed=1))}
        assert told == {whole(conversation(seed=1))["system_fingerprint"]}

    @pytest.mark.parametrize(
        ("asked", "told"), [("flex", "flex"), ("auto", "default"), ("priority", "priority")]
    )
    def test_tells_the_service_tier(self, asked, told):
        body = conversation(service_tier=asked, **GIVEN)
        assert whole(body)["service_tier"] == told
        assert {chunk["service_tier"] for chunk in chunks(body)} == {told}

    @pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter"])
    def test_tells_the_finish_reason_of_the_options(self, reason):
        body = conversation(simulator={"text": TEXT, "finish_reason": reason})
        assert whole(body)["choices"][0]["finish_reason"] == reason
        assert chunks(body)[-1]["choices"][0]["finish_reason"] == reason


class TestCompletion:
    PROMPT = "Say it:"

    def choice(self, **fields):
        return whole(completion(self.PROMPT, **{**GIVEN, **fields}))["choices"][0]

    def texts(self, body):
        return "".join(choice["text"] for chunk in chunks(body) for choice in chunk["choices"])

    def test_echoes_the_prompt(self):
        assert self.choice(echo=True)["text"] == self.PROMPT + TEXT
        assert self.texts(completion(self.PROMPT, echo=True, **GIVEN)) == self.PROMPT + TEXT

    def test_echoes_each_prompt_before_its_choices(self):
        document = whole(completion(["a", "b"], echo=True, n=2, **GIVEN))
        assert [choice["text"][0] for choice in document["choices"]] == ["a", "a", "b", "b"]

    def test_can_echo_the_prompt_alone(self):
        choice = self.choice(echo=True, max_tokens=0, logprobs=1)
        assert (choice["text"], choice["finish_reason"]) == (self.PROMPT, "length")
        assert len(choice["logprobs"]["tokens"]) == 3

    def test_tells_log_probabilities_in_the_old_form(self):
        logprobs = self.choice(logprobs=2)["logprobs"]
        assert logprobs["tokens"] == TOKENS
        assert logprobs["text_offset"] == [0, 3, 7, 13]
        assert all(-10 < each <= 0 for each in logprobs["token_logprobs"])
        assert all(len(top) == 2 for top in logprobs["top_logprobs"])

    def test_tells_no_log_probability_of_the_first_token_of_a_prompt(self):
        logprobs = self.choice(logprobs=1, echo=True)["logprobs"]
        assert logprobs["token_logprobs"][0] is None
        assert logprobs["top_logprobs"][0] is None
        assert None not in logprobs["token_logprobs"][1:]

    @pytest.mark.parametrize("echo", [True, False])
    def test_streams_the_same_log_probabilities(self, echo):
        told = self.choice(logprobs=2, echo=echo)["logprobs"]
        streamed = {name: [] for name in told}
        for chunk in chunks(completion(self.PROMPT, logprobs=2, echo=echo, **GIVEN)):
            for name, values in (chunk["choices"][0]["logprobs"] or {}).items():
                streamed[name] += values
        assert streamed == told

    def test_of_the_best_of_several_are_those_that_were_asked_for_and_all_are_paid(self):
        document = whole(completion(self.PROMPT, n=2, best_of=5, **GIVEN))
        assert len(document["choices"]) == 2
        assert document["usage"]["completion_tokens"] == 5 * len(TOKENS)

    def test_takes_a_suffix(self):
        assert self.choice(suffix="the end")["text"] == TEXT


def test_a_modality_that_the_simulator_lacks_is_told_plainly():
    error = refusal(
        conversation(modalities=["text", "audio"], audio={"voice": "a", "format": "wav"})
    )
    assert "answers with text only" in error.message
