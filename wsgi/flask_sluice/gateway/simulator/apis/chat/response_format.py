"""The form that an answer is to have: prose, any JSON object, or JSON of a schema."""

import msgspec
from msgspec import UNSET, Struct, UnsetType

from flask_sluice.gateway.simulator.apis.openai_errors import (
    check_name,
    invalid,
    missing_field,
    unknown_value,
)
from flask_sluice.gateway.simulator.apis.openai_schemas import check_schema

_TYPES = ("json_object", "json_schema", "text")
ANY_OBJECT = msgspec.Raw(
    b'{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"]}'
)


class JsonSchema(Struct):
    name: str
    description: str | None = None
    schema: msgspec.Raw | UnsetType = UNSET
    strict: bool | None = None


class ResponseFormat(Struct):
    type: str
    json_schema: JsonSchema | None = None

    def check(self, path: str = "response_format") -> None:
        """Raise ApiError 400 for a form that OpenAI's API does not take."""
        if self.type not in _TYPES:
            raise unknown_value(f"{path}.type", self.type, _TYPES)
        if self.type != "json_schema":
            return
        if self.json_schema is None:
            raise missing_field(f"{path}.json_schema")
        check_name(f"{path}.json_schema.name", self.json_schema.name)
        if self.json_schema.schema is not UNSET:
            check_schema(
                path,
                f"response_format '{self.json_schema.name}'",
                self.json_schema.schema,
                is_strict=bool(self.json_schema.strict),
                code="invalid_json_schema",
            )

    def schema(self, prompt_text: str) -> msgspec.Raw | None:
        """Return the JSON Schema of the answer, None for prose.

        prompt_text: all messages, in which JSON has to be named for an answer that is any object
        """
        if self.type == "text":
            return None
        if self.type == "json_object":
            _check_json_is_named(prompt_text)
            return ANY_OBJECT
        assert self.json_schema is not None
        given = self.json_schema.schema
        return ANY_OBJECT if given is UNSET else given


def _check_json_is_named(prompt_text: str) -> None:
    if "json" not in prompt_text.lower():
        raise invalid(
            "messages",
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        )
