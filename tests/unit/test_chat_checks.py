"""The simulator refuses what OpenAI's API refuses, and says so in the same words."""

import pytest

from tests.unit.simulated import (
    calling,
    chunks,
    completion,
    conversation,
    function,
    refusal,
    result,
    user,
    whole,
)

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def named(code, param, message):
    return {"code": code, "param": param, "message": message}


def told(body):
    error = refusal(body)
    return named(error.code, error.param, error.message)


@pytest.mark.parametrize(
    ("field", "value", "expected", "got"),
    [
        ("temperature", "hot", "a decimal", "a string"),
        ("top_p", [], "a decimal", "an array"),
        ("presence_penalty", {}, "a decimal", "an object"),
        ("n", "2", "an integer", "a string"),
        ("max_tokens", 1.5, "an integer", "a decimal number"),
        ("max_completion_tokens", True, "an integer", "a boolean"),
        ("seed", 0.5, "an integer", "a decimal number"),
        ("logprobs", 3, "a boolean", "an integer"),
        ("stream", "yes", "a boolean", "a string"),
        ("user", {}, "a string", "an object"),
        ("stop", 5, "one of a string or array of strings", "an integer"),
        ("stop[0]", [5], "a string", "an integer"),
        ("messages", "hi", "an array of objects", "a string"),
        ("messages[0]", ["hi"], "an object", "a string"),
        (
            "messages[0].content",
            [user(7)],
            "one of a string or array of objects",
            "an integer",
        ),
        ("messages[0].content[0]", [user(["hi"])], "an object", "a string"),
        (
            "messages[0].content[0].image_url",
            [user([{"type": "image_url", "image_url": "https://a.example/b.png"}])],
            "an object",
            "a string",
        ),
        ("tools", "none", "an array of objects", "a string"),
        ("tools[0].function.name", [function(name=5)], "a string", "an integer"),
        ("response_format", "json", "an object", "a string"),
        ("logit_bias", [1], "an object", "an array"),
        ("metadata", "a", "an object", "a string"),
        ("stream_options", True, "an object", "a boolean"),
        ("reasoning_effort", 3, "a string", "an integer"),
    ],
)
def test_a_value_of_another_type_is_named_with_what_it_is(field, value, expected, got):
    body = {**conversation(), field.partition("[")[0].partition(".")[0]: value}
    message = f"Invalid type for '{field}': expected {expected}, but got {got} instead."
    assert told(body) == named("invalid_request", field, message)


@pytest.mark.parametrize(
    ("field", "value", "kind", "limit"),
    [
        ("temperature", 2.5, "decimal", "<= 2"),
        ("temperature", -0.1, "decimal", ">= 0"),
        ("top_p", 1.1, "decimal", "<= 1"),
        ("top_p", -1, "decimal", ">= 0"),
        ("presence_penalty", 2.1, "decimal", "<= 2"),
        ("frequency_penalty", -2.1, "decimal", ">= -2"),
        ("n", 0, "integer", ">= 1"),
        ("n", 129, "integer", "<= 128"),
        ("max_tokens", 0, "integer", ">= 1"),
        ("max_completion_tokens", -1, "integer", ">= 1"),
        ("top_logprobs", 21, "integer", "<= 20"),
        ("top_logprobs", -1, "integer", ">= 0"),
    ],
)
def test_a_number_outside_its_range_is_named_with_the_limit(field, value, kind, limit):
    is_above = limit.startswith("<")
    side = "above maximum" if is_above else "below minimum"
    assert told(conversation(**{field: value, "logprobs": True})) == named(
        f"{kind}_{'above_max' if is_above else 'below_min'}_value",
        field,
        f"Invalid '{field}': {kind} {side} value. Expected a value {limit}, but got {value} instead.",
    )


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("temperature", [0, 2, 1.5, None]),
        ("top_p", [0, 1, None]),
        ("presence_penalty", [-2, 2, None]),
        ("n", [1, 128, None]),
        ("stop", ["a", ["a", "b", "c", "d"], [], None]),
        ("seed", [0, -1, 2**63 - 1, None]),
        ("logit_bias", [{"50256": -100}, {}, None]),
        ("metadata", [{"a": "b"}, None]),
        ("user", ["me", None]),
        ("service_tier", ["auto", "default", "flex", "priority", None]),
        ("reasoning_effort", ["none", "minimal", "low", "high", "xhigh", None]),
        ("verbosity", ["low", "high", None]),
        ("modalities", [["text"], None]),
        ("prediction", [{"type": "content", "content": "a"}, None]),
        ("store", [True, None]),
        ("stream_options", [None]),
        ("tools", [None, [function()]]),
        ("a_field_of_a_vendor", [{"any": ["thing"]}]),
    ],
)
def test_a_value_that_the_api_takes_is_taken(field, values):
    for value in values:
        assert whole(conversation(**{field: value, "simulator": {"tokens": 1}}))["choices"]


@pytest.mark.parametrize(
    ("fields", "code", "param", "message"),
    [
        (
            {"messages": []},
            "empty_array",
            "messages",
            "Invalid 'messages': empty array. "
            "Expected an array with minimum length 1, but got an empty array instead.",
        ),
        (
            {"stop": ["a"] * 5},
            "array_above_max_length",
            "stop",
            "Invalid 'stop': array too long. "
            "Expected an array with maximum length 4, but got an array with length 5 instead.",
        ),
        (
            {"metadata": {str(number): "a" for number in range(17)}},
            "object_above_max_properties",
            "metadata",
            "Invalid 'metadata': too many properties. "
            "Expected an object with at most 16 properties, but got an object with 17 properties instead.",
        ),
        (
            {"metadata": {"key": "a" * 513}},
            "string_above_max_length",
            "metadata.key",
            "Invalid 'metadata.key': string too long. "
            "Expected a string with maximum length 512, but got a string with length 513 instead.",
        ),
        (
            {"service_tier": "slow"},
            "invalid_value",
            "service_tier",
            "Invalid value: 'slow'. "
            "Supported values are: 'auto', 'default', 'fast', 'flex', 'scale', and 'priority'.",
        ),
        (
            {"verbosity": "bogus"},
            "invalid_value",
            "verbosity",
            "Invalid value: 'bogus'. Supported values are: 'low', 'medium', and 'high'.",
        ),
        (
            {"response_format": {"type": "xml"}},
            "invalid_value",
            "response_format.type",
            "Invalid value: 'xml'. Supported values are: 'json_object', 'json_schema', and 'text'.",
        ),
        (
            {"response_format": {"type": "json_object"}},
            "invalid_value",
            "messages",
            "'messages' must contain the word 'json' in some form, "
            "to use 'response_format' of type 'json_object'.",
        ),
        (
            {"stream_options": {"include_usage": True}},
            "invalid_value",
            "stream_options",
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        ),
        (
            {"top_logprobs": 2},
            "invalid_value",
            "top_logprobs",
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
        ),
        (
            {"tool_choice": "required"},
            "invalid_value",
            "tool_choice",
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
        ),
        (
            {"parallel_tool_calls": True},
            "invalid_value",
            "parallel_tool_calls",
            "Invalid value for 'parallel_tool_calls': "
            "'parallel_tool_calls' is only allowed when 'tools' are specified.",
        ),
    ],
)
def test_a_value_is_refused_in_the_words_of_the_api(fields, code, param, message):
    assert told(conversation(**fields)) == named(code, param, message)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"modalities": ["smell"]}, "modalities"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"prediction": {"type": "guess", "content": ""}}, "prediction.type"),
        ({"logit_bias": {"hello": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"key": 7}}, "metadata.key"),
        ({"logit_bias": {"5": "much"}}, "logit_bias.5"),
        ({"tools": []}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "magic"}]}, "tools[0].type"),
        ({"tools": [{"type": "custom"}]}, "tools[0].custom"),
        ({"tools": [function("no spaces")]}, "tools[0].function.name"),
        ({"tools": [function("x" * 65)]}, "tools[0].function.name"),
        ({"tools": [function(""), function()]}, "tools[0].function.name"),
        ({"tools": [function()] * 129}, "tools"),
        ({"tools": [function()], "tool_choice": "some"}, "tool_choice"),
        ({"tools": [function()], "tool_choice": {"type": "function"}}, "tool_choice.function"),
        (
            {
                "tools": [function()],
                "tool_choice": {"type": "function", "function": {"name": "absent"}},
            },
            "tool_choice",
        ),
        (
            {"tools": [function()], "tool_choice": {"type": "allowed_tools"}},
            "tool_choice.allowed_tools",
        ),
        ({"functions": [{"name": "a b"}]}, "functions[0].name"),
        ({"functions": [{"name": "a"}], "function_call": {"name": "b"}}, "function_call"),
        ({"function_call": "auto"}, "function_call"),
        ({"functions": [{"name": "a"}], "tools": [function()]}, "functions"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "response_format.json_schema.name",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
            "response_format.json_schema.name",
        ),
    ],
)
def test_a_refusal_names_the_field(fields, param):
    assert told(conversation(**fields))["param"] == param


class TestMessages:
    @pytest.mark.parametrize(
        ("messages", "param"),
        [
            ([{"role": "bogus", "content": "hi"}], "messages[0].role"),
            ([{"content": "hi"}], "messages[0].role"),
            ([user("hi"), {"role": "user"}], "messages[1].content"),
            ([user("hi"), {"role": "assistant", "content": None}], "messages[1].content"),
            ([{"role": "developer"}], "messages[0].content"),
            ([user([])], "messages[0].content"),
            ([user("a"), user([{"text": "a"}])], "messages[1].content[0].type"),
            ([user([{"type": "text"}])], "messages[0].content[0].text"),
            ([user([{"type": "smell", "text": "a"}])], "messages[0].content[0].type"),
            ([user([{"type": "refusal", "refusal": "a"}])], "messages[0].content[0].type"),
            ([user([{"type": "image_url"}])], "messages[0].content[0].image_url"),
            (
                [user([{"type": "image_url", "image_url": {"url": "not a url"}}])],
                "messages[0].content[0].image_url.url",
            ),
            (
                [
                    user(
                        [{"type": "image_url", "image_url": {"url": "data:text/plain;base64,YQ=="}}]
                    )
                ],
                "messages[0].content[0].image_url.url",
            ),
            (
                [user([{"type": "image_url", "image_url": {"url": "data:image/png;base64,!!!"}}])],
                "messages[0].content[0].image_url.url",
            ),
            (
                [user([{"type": "image_url", "image_url": {"url": PIXEL, "detail": "best"}}])],
                "messages[0].content[0].image_url.detail",
            ),
            (
                [user([{"type": "input_audio", "input_audio": {"data": "YWJj", "format": "ogg"}}])],
                "messages[0].content[0].input_audio.format",
            ),
            (
                [user([{"type": "input_audio", "input_audio": {"data": "?", "format": "wav"}}])],
                "messages[0].content[0].input_audio.data",
            ),
            ([user([{"type": "file", "file": {}}])], "messages[0].content[0].file.file_id"),
            ([{**user("hi"), "name": "two words"}], "messages[0].name"),
            ([{**user("hi"), "name": "x" * 65}], "messages[0].name"),
            ([{"role": "function", "content": "a"}], "messages[0].name"),
            ([user("hi"), {"role": "assistant", "tool_calls": []}], "messages[1].tool_calls"),
        ],
    )
    def test_that_the_api_does_not_take_are_named(self, messages, param):
        assert told(conversation(*messages))["param"] == param

    @pytest.mark.parametrize(
        "message",
        [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {**user("hi"), "name": "Zoë"},
            {"role": "assistant", "refusal": "No."},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            {"role": "assistant", "function_call": {"name": "a", "arguments": "{}"}},
            {"role": "function", "name": "a", "content": "sunny"},
            user([{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]),
            user([{"type": "file", "file": {"file_id": "file-1"}}]),
            {**user("hi"), "a_field_of_a_vendor": 1},
        ],
    )
    def test_of_every_kind_are_taken(self, message):
        body = conversation(user("hi"), message, simulator={"tokens": 1})
        assert whole(body)["choices"]

    def test_with_an_image_are_the_users_only(self):
        image = [{"type": "image_url", "image_url": {"url": PIXEL}}]
        assert told(conversation(user("hi"), calling("a"), result("a", image))) == named(
            "invalid_value",
            "messages[2]",
            "Invalid 'messages[2]'. Image URLs are only allowed for messages with role 'user', "
            "but this message with role 'tool' contains an image URL.",
        )


class TestResultsOfTools:
    def test_without_a_call_are_refused(self):
        assert told(conversation(user("hi"), result("a"))) == named(
            "invalid_value",
            "messages[1].role",
            "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
        )

    def test_of_another_call_are_refused(self):
        assert told(conversation(user("hi"), calling("a"), result("b")))["param"] == (
            "messages[2].tool_call_id"
        )

    def test_without_an_id_are_refused(self):
        message = {"role": "tool", "content": "sunny"}
        body = conversation(user("hi"), calling("a"), message)
        assert told(body)["param"] == "messages[2].tool_call_id"

    @pytest.mark.parametrize(
        ("messages", "place"),
        [
            ([calling("a", "b"), result("a")], 2),
            ([calling("a", "b"), result("a"), user("well?")], 3),
            ([calling("a", "b"), user("well?")], 2),
        ],
    )
    def test_that_are_missing_are_named(self, messages, place):
        error = told(conversation(user("hi"), *messages))
        assert error["param"] == f"messages[{place}].role"
        assert "did not have response messages: " in error["message"]
        assert error["message"].endswith("b")

    def test_are_taken_in_any_order(self):
        messages = [calling("a", "b"), result("b"), result("a")]
        assert whole(conversation(user("hi"), *messages))["choices"]

    def test_of_two_calls_with_one_id_are_refused(self):
        error = told(conversation(user("hi"), calling("a", "a"), result("a")))
        assert error["param"] == "messages[1].tool_calls[1].id"
        assert error["message"] == "Duplicate value for 'tool_call_id' of a in message[1]"


STRICT = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


class TestSchemas:
    def told_of(self, schema, *, strict=True):
        format_ = {"name": "reply", "schema": schema, "strict": strict}
        response_format = {"type": "json_schema", "json_schema": format_}
        return told(conversation(response_format=response_format))["message"]

    @pytest.mark.parametrize(
        ("schema", "problem"),
        [
            (
                {**STRICT, "additionalProperties": True},
                "In context=(), 'additionalProperties' is required to be supplied and to be false.",
            ),
            (
                {**STRICT, "required": []},
                "In context=(), 'required' is required to be supplied and to be an array "
                "including every key in properties. Missing 'city'.",
            ),
            (
                {**STRICT, "properties": {"city": {"type": "object"}}},
                "In context=('properties', 'city'), "
                "'additionalProperties' is required to be supplied and to be false.",
            ),
            (
                {
                    **STRICT,
                    "properties": {"city": {"anyOf": [{"type": "string"}, {"properties": {}}]}},
                },
                "In context=('properties', 'city', 'anyOf', '1'), "
                "'additionalProperties' is required to be supplied and to be false.",
            ),
            (
                {"type": "array", "items": STRICT},
                """schema must be a JSON Schema of 'type: "object"', got 'type: "array"'.""",
            ),
        ],
    )
    def test_that_are_followed_strictly_are_checked(self, schema, problem):
        expected = f"Invalid schema for response_format 'reply': {problem}"
        assert self.told_of(schema) == expected

    def test_that_are_not_followed_strictly_have_to_be_of_an_object_only(self):
        format_ = {"name": "reply", "schema": {**STRICT, "additionalProperties": True}}
        response_format = {"type": "json_schema", "json_schema": format_}
        assert whole(conversation(response_format=response_format))["choices"]
        assert """got 'type: "string"'""" in self.told_of({"type": "string"}, strict=False)

    def test_of_a_function_are_checked(self):
        error = told(conversation(tools=[function(), function("two", {"type": "string"})]))
        assert error == named(
            "invalid_function_parameters",
            "tools[1].function.parameters",
            """Invalid schema for function 'two': schema must be a JSON Schema of 'type: "object"', got 'type: "string"'.""",
        )

    def test_of_a_strict_function_are_checked_strictly(self):
        error = told(conversation(tools=[function(parameters={"type": "object"}, strict=True)]))
        assert "'additionalProperties' is required" in error["message"]

    @pytest.mark.parametrize("parameters", [[], "x", 5, None, True])
    def test_that_are_no_objects_are_refused_and_none_is_taken_for_no_parameters(self, parameters):
        tool = {"type": "function", "function": {"name": "a", "parameters": parameters}}
        if parameters is None:
            assert whole(conversation(tools=[tool]))["choices"]
        else:
            assert told(conversation(tools=[tool]))["param"] == "tools[0].function.parameters"


class TestContext:
    def test_of_a_model_has_room_for_so_many_tokens(self):
        body = conversation(user("." * 8193), model="gpt-4")
        assert told(body) == named(
            "context_length_exceeded",
            "messages",
            "This model's maximum context length is 8192 tokens. "
            "However, your messages resulted in 8193 tokens. Please reduce the length of the messages.",
        )

    def test_has_room_for_the_answer_too(self):
        body = conversation(user("." * 8000), model="gpt-4-0613", max_tokens=1000)
        assert told(body)["message"] == (
            "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens "
            "(8000 in the messages, 1000 in the completion). "
            "Please reduce the length of the messages or completion."
        )

    @pytest.mark.parametrize(
        ("model", "tokens"),
        [
            ("gpt-3.5-turbo", 16_385),
            ("gpt-4o", 128_000),
            ("openai/gpt-4o-mini", 128_000),
            ("llama-3", 128_000),
            ("gpt-4.1-nano", 1_047_576),
        ],
    )
    def test_of_a_model_goes_by_its_name(self, model, tokens):
        body = conversation(user("." * (tokens + 1)), model=model)
        assert f"context length is {tokens} tokens" in told(body)["message"]

    def test_can_be_set(self):
        body = conversation(user("one two three"), simulator={"context_tokens": 2})
        assert "maximum context length is 2 tokens" in told(body)["message"]

    def test_of_a_text_completion_is_of_each_prompt(self):
        body = completion(["one two", "three four"], simulator={"context_tokens": 3})
        assert len(whole(body)["choices"]) == 2
        error = told({**body, "max_tokens": 5})
        assert error == named(
            "context_length_exceeded",
            "prompt",
            "This model's maximum context length is 3 tokens, however you requested 7 tokens "
            "(2 in your prompt; 5 for the completion). Please reduce your prompt; or completion length.",
        )


class TestModelsOfOpenAI:
    @pytest.mark.parametrize(
        "model", ["o1", "o3-mini", "o4-mini", "gpt-5", "gpt-5.1", "gpt-5-nano"]
    )
    def test_that_reason_take_another_limit_and_one_temperature(self, model):
        assert told(conversation(model=model, max_tokens=5)) == named(
            "unsupported_parameter",
            "max_tokens",
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
        )
        assert told(conversation(model=model, temperature=0.5))["code"] == "unsupported_value"
        assert whole(conversation(model=model, max_completion_tokens=5, temperature=1))["choices"]

    @pytest.mark.parametrize("model", ["gpt-5-chat-latest", "o1x", "gpt-4o", "llama"])
    def test_that_do_not_reason_take_max_tokens(self, model):
        assert whole(conversation(model=model, max_tokens=5, temperature=0.5))["choices"]

    def test_write_answers_of_a_length(self):
        error = told(conversation(model="gpt-4o", max_completion_tokens=20_000))
        assert error["param"] == "max_completion_tokens"
        assert "This model supports at most 16384 completion tokens" in error["message"]


class TestCompletion:
    @pytest.mark.parametrize(
        ("fields", "code", "param"),
        [
            ({"logprobs": 6}, "integer_above_max_value", "logprobs"),
            ({"logprobs": True}, "invalid_request", "logprobs"),
            ({"best_of": 21}, "integer_above_max_value", "best_of"),
            ({"n": 3, "best_of": 2}, "invalid_value", "best_of"),
            ({"best_of": 2, "stream": True}, "invalid_value", "best_of"),
            ({"suffix": 5}, "invalid_request", "suffix"),
            ({"echo": "yes"}, "invalid_request", "echo"),
            ({"max_tokens": -1}, "integer_below_min_value", "max_tokens"),
            ({"prompt": []}, "empty_array", "prompt"),
            ({"prompt": 5}, "invalid_request", "prompt"),
            ({"prompt": None}, "invalid_request", "prompt"),
            ({"prompt": ["a", 1]}, "invalid_request", "prompt"),
        ],
    )
    def test_is_refused_for_what_the_api_does_not_take(self, fields, code, param):
        error = told({**completion(), **fields})
        assert (error["code"], error["param"]) == (code, param)

    @pytest.mark.parametrize("prompt", ["a", ["a", "b"], [1, 2], [[1], [2, 3]]])
    def test_takes_every_kind_of_prompt(self, prompt):
        assert whole(completion(prompt, simulator={"tokens": 1}))["choices"]


def test_the_first_fault_is_told_before_any_event():
    with pytest.raises(Exception, match="must be a response to a preceding message"):
        chunks(conversation(user("hi"), result("a")))
