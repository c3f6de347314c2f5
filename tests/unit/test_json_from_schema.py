"""JSON of a schema: valid, the same each time, of what the question offers, and never endless."""

import json
import re
import time

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from flask_sluice.gateway.simulator.answers.asked import Tool
from flask_sluice.gateway.simulator.answers.json_from_schema import json_from_schema
from flask_sluice.gateway.simulator.answers.material import names_in
from flask_sluice.gateway.simulator.answers.merged_schema import SchemaError
from flask_sluice.gateway.simulator.answers.picking import pick_calls


def made(schema, question="Why is the sky blue?", seed=0):
    return json.loads(json_from_schema(msgspec.Raw(json.dumps(schema).encode()), question, seed))


class Node(BaseModel):
    name: str
    children: list["Node"]
    parent: "Node | None" = None


CAT = {
    "type": "object",
    "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer", "maximum": 9}},
    "required": ["kind", "lives"],
    "additionalProperties": False,
}
DOG = {**CAT, "properties": {"kind": {"const": "dog"}, "lives": {"const": 1}}}
SCHEMAS = {
    "nothing": {},
    "anything": True,
    "null": {"type": "null"},
    "nullable": {"type": ["null", "integer"]},
    "enum": {"enum": [None, "a", 2]},
    "const": {"const": {"a": [1]}},
    "between": {"type": "integer", "minimum": -3, "maximum": -3},
    "above": {"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1.5},
    "below": {"type": "integer", "exclusiveMaximum": 0},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 100},
    "fraction": {"type": "number", "multipleOf": 0.5, "maximum": -1},
    "long": {"type": "string", "minLength": 300},
    "short": {"type": "string", "maxLength": 2},
    "no text": {"type": "string", "maxLength": 0},
    "pattern": {"type": "string", "pattern": r"^[A-Z]{3}-\d{2,4}(a|b)?$"},
    "items": {"type": "array", "items": {"type": "integer"}, "minItems": 5},
    "few items": {"type": "array", "items": {"type": "string"}, "maxItems": 1},
    "no items": {"type": "array", "items": False},
    "tuple": {
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": "null"}],
        "items": False,
    },
    "unique": {
        "type": "array",
        "items": {"enum": ["a", "b", "c"]},
        "uniqueItems": True,
        "minItems": 3,
    },
    "unique texts": {
        "type": "array",
        "items": {"type": "string"},
        "uniqueItems": True,
        "minItems": 4,
    },
    "required only": {"type": "object", "required": ["a"], "properties": {}},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    "any of": {"anyOf": [{"type": "null"}, CAT]},
    "one of": {"oneOf": [DOG, CAT], "discriminator": {"propertyName": "kind"}},
    "all of": {"allOf": [CAT | {"additionalProperties": True}, {"required": ["name"]}]},
    "common limits": {"allOf": [{"type": "integer", "minimum": 3}, {"minimum": 5, "maximum": 5}]},
    "reference": {"$ref": "#/$defs/a~1b", "$defs": {"a/b": CAT}},
    "reference and more": {
        "$ref": "#/definitions/x",
        "minimum": 50,
        "definitions": {"x": {"type": "integer"}},
    },
    "recursive": Node.model_json_schema(),
    "recursive root": {
        "type": "object",
        "properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}},
    },
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@pytest.mark.parametrize("question", ["Why?", "Add 5 and 3.5 in “Paris”, London or 12 others", ""])
def test_what_is_made_is_valid(schema, question):
    for seed in range(5):
        jsonschema.validate(made(schema, question, seed), schema)


@pytest.mark.parametrize(
    "format_", ["date-time", "date", "time", "email", "uri", "uuid", "ipv4", "ipv6", "hostname"]
)
def test_a_format_is_kept(format_):
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    schema = {"type": "string", "format": format_}
    jsonschema.validate(made(schema), schema, format_checker=checker)


scalars = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer", "minimum": 0},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["x", "y"]},
    ]
)
schemas = st.recursive(
    scalars,
    lambda inner: (
        st.builds(
            lambda item, least: {"type": "array", "items": item, "minItems": least},
            inner,
            st.integers(0, 3),
        )
        | st.builds(lambda *each: {"anyOf": list(each)}, inner, inner)
        | st.builds(
            lambda properties, count: {
                "type": "object",
                "properties": properties,
                "required": list(properties)[:count],
                "additionalProperties": False,
            },
            st.dictionaries(st.text(max_size=5), inner, max_size=4),
            st.integers(0, 4),
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(schemas, st.text(max_size=50), st.integers(0, 3))
def test_what_is_made_of_any_schema_is_valid_and_the_same_each_time(schema, question, seed):
    value = made(schema, question, seed)
    jsonschema.validate(value, schema)
    assert made(schema, question, seed) == value


def test_geminis_types_in_capitals_are_understood():
    schema = {"type": "OBJECT", "properties": {"n": {"type": "INTEGER", "nullable": True}}}
    assert isinstance(made(schema)["n"], int)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (False, "the schema: nothing is allowed here"),
        ({"properties": {"a": False}, "required": ["a"]}, "/properties/a: nothing is allowed here"),
        ({"type": "text"}, "'text' is not a type of JSON"),
        ({"type": []}, "type takes a name"),
        ({"enum": []}, "enum takes a list of at least one value"),
        ({"anyOf": []}, "anyOf takes a list of at least one schema"),
        ({"$ref": "#/$defs/None"}, r"\$ref leads to '#/\$defs/None', which is not there"),
        ({"$ref": "https://example.com/schema"}, "only parts of the same schema are known"),
        ({"$ref": "#"}, "it refers to itself"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "the minimum is above the maximum"),
        ({"type": "integer", "minimum": 0.1, "maximum": 0.9}, "no whole number between"),
        ({"type": "number", "multipleOf": 0}, "multipleOf takes a number above 0"),
        ({"type": "integer", "minimum": "3"}, "minimum takes a number"),
        ({"type": "array", "minItems": 10**9}, "minItems: at most 1000 are made"),
        ({"type": "object", "minProperties": 10**9}, "minProperties: at most 1000 are made"),
        (
            {
                "type": "array",
                "items": {"type": "array", "items": {}, "minItems": 1000},
                "minItems": 1000,
            },
            "too large",
        ),
        (
            {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
            "too large, or never end",
        ),
        (
            {"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": True},
            "uniqueItems",
        ),
    ],
)
def test_a_schema_without_a_value_is_refused_with_its_place(schema, message):
    with pytest.raises(SchemaError, match=message):
        made(schema)


def test_no_schema_takes_long():
    branches = [{"$ref": "#/$defs/a"}] * 60
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": branches}}}
    began_at = time.process_time()
    with pytest.raises(SchemaError):
        made(schema)
    assert time.process_time() - began_at < 2


NUMBERS = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "integer"}}}


def test_the_numbers_of_a_question_are_taken_in_their_order():
    assert made(NUMBERS, "What is 5.5 plus 3?") == {"a": 5.5, "b": 3}


def test_a_number_that_the_schema_does_not_allow_is_not_taken():
    schema = {"type": "integer", "maximum": 10}
    assert made(schema, "What is the 50th prime?") <= 10
    assert made(schema, "What is the prime after 50?") <= 10


def test_the_member_of_an_enum_that_the_question_names_is_taken():
    schema = {"enum": ["celsius", "fahrenheit", "kelvin"]}
    assert made(schema, "How warm is it, in Kelvin?") == "kelvin"


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("What's the weather in San Francisco?", ["San Francisco"]),
        ("Is it warmer in Paris, Tokyo or New York?", ["Paris", "Tokyo", "New York"]),
        ("Translate “good morning” into French", ["good morning"]),
        ("why is the sky blue?", []),
        ("Paris. What is it like?", ["Paris"]),
    ],
)
def test_the_names_of_a_question_are_its_proper_names_or_what_it_quotes(question, names):
    assert names_in(question) == names


def test_a_query_is_the_whole_question():
    schema = {
        "type": "object",
        "properties": {"query": {"type": "string"}, "city": {"type": "string"}},
    }
    question = "Is it cold in Oslo?"
    assert made(schema, question) == {"query": question, "city": "Oslo"}


# Which tools are called.


def tool(name, description="", parameters=b'{"properties": {"city": {"type": "string"}}}'):
    return Tool(name, description, msgspec.Raw(parameters))


TOOLS = [
    tool("addNumbers", "Add two numbers", b"{}"),
    tool("get_weather", "Tell how warm a place is"),
    tool("get_time", "Tell the time of a place"),
]


def picked(question, *, may_pick_several=True):
    calls = pick_calls(TOOLS, question, may_pick_several=may_pick_several)
    return [(called.name, topic.strip("“”")) for called, topic in calls]


@pytest.mark.parametrize(
    ("question", "calls"),
    [
        ("How is the weather in Paris?", [("get_weather", "How is the weather in Paris?")]),
        ("How warm is it?", [("get_weather", "How warm is it?")]),
        ("the weather in Boston, MA?", [("get_weather", "the weather in Boston, MA?")]),
        ("the weather in Paris, France", [("get_weather", "the weather in Paris, France")]),
        (
            "the weather in Boston, MA and San Francisco, CA",
            [("get_weather", each) for each in ("Boston, MA", "San Francisco, CA")],
        ),
        ("add these numbers: 5, 3", [("addNumbers", "add these numbers: 5, 3")]),
        ("Hello!", [("addNumbers", "Hello!")]),
        (
            "the weather in Paris, Tokyo and Rome",
            [("get_weather", each) for each in ("Paris", "Tokyo", "Rome")],
        ),
    ],
)
def test_the_tool_is_called_that_the_question_is_about(question, calls):
    assert picked(question) == calls


def test_several_tools_are_called_where_the_question_names_them():
    question = "What are the time and the weather in Oslo?"
    assert picked(question) == [("get_weather", question), ("get_time", question)]


def test_one_tool_is_called_where_several_are_not_allowed():
    assert len(picked("the time and the weather in Paris and Rome", may_pick_several=False)) == 1


PATTERNS = [
    r"^[A-Z]{2}-\d{4}$",
    r"(foo|ba[rz])+x?",
    r"^\+?[1-9]\d{1,14}$",
    r"[^abc]{3}",
    r"(?P<year>\d{4})-(?:0[1-9]|1[0-2])",
    r"^\w+@\w+\.[a-z]{2,}$",
    r"^[\w.-]+$",
    r"a{0}b",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_is_matched(pattern):
    for seed in range(20):
        assert re.search(pattern, made({"type": "string", "pattern": pattern}, seed=seed))


@pytest.mark.parametrize("pattern", [r"(?=a)b", r"\1", "a{99999999}", "(", "[", "*", r"(?<!a)b"])
def test_a_pattern_that_is_not_understood_gives_a_text_all_the_same(pattern):
    assert made({"type": "string", "pattern": pattern})
