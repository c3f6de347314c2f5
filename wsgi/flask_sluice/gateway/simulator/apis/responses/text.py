"""The form of a response's text: prose, any JSON object, or JSON of a schema."""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from flask_sluice.gateway.simulator.apis.chat.response_format import ANY_OBJECT
from flask_sluice.gateway.simulator.apis.openai_errors import (
    check_name,
    invalid,
    missing_field,
    unknown_value,
)
from flask_sluice.gateway.simulator.apis.openai_schemas import check_schema

_TYPES = ("json_object", "json_schema", "text")
_VERBOSITIES = ("low", "medium", "high")


class TextFormat(Struct):
    """Flat, where the ``response_format`` of a chat completion is nested."""

    type: str
    name: str | None = None
    description: str | None = None
    schema: msgspec.Raw | UnsetType = UNSET
    strict: bool | None = None

    def check(self, path: str) -> None:
        if self.type not in _TYPES:
            raise unknown_value(f"{path}.type", self.type, _TYPES)
        if self.type != "json_schema":
            return
        if self.name is None:
            raise missing_field(f"{path}.name")
        if self.schema is UNSET:
            raise missing_field(f"{path}.schema")
        check_name(f"{path}.name", self.name)
        check_schema(
            f"{path}.schema",
            f"response_format '{self.name}'",
            self.schema,
            is_strict=bool(self.strict),
            code="invalid_json_schema",
        )


class TextOptions(Struct):
    format: TextFormat | None = None
    verbosity: str | None = None

    def check(self) -> None:
        """Raise ApiError 400 for a form that OpenAI's API does not take."""
        if self.format is not None:
            self.format.check("text.format")
        if self.verbosity is not None and self.verbosity not in _VERBOSITIES:
            raise unknown_value("text.verbosity", self.verbosity, _VERBOSITIES)

    def schema(self, prompt_text: str) -> msgspec.Raw | None:
        """Return the JSON Schema of the answer, None for prose.

        prompt_text: the whole input, in which JSON has to be named for an answer that is any object
        """
        if self.format is None or self.format.type == "text":
            return None
        if self.format.type == "json_schema":
            return ANY_OBJECT if self.format.schema is UNSET else self.format.schema
        if "json" not in prompt_text.lower():
            raise invalid(
                "input",
                "Response input messages must contain the word 'json' in some form "
                "to use 'text.format' of type 'json_object'.",
            )
        return ANY_OBJECT

    def told(self) -> dict[str, Any]:
        """Return it as the response repeats it, with its defaults."""
        format_: dict[str, Any] = {"type": "text"}
        if self.format is not None and self.format.type == "json_schema":
            format_ = {
                "type": "json_schema",
                "description": self.format.description,
                "name": self.format.name,
                "schema": self.format.schema,
                "strict": bool(self.format.strict),
            }
        elif self.format is not None:
            format_ = {"type": self.format.type}
        return {"format": format_, "verbosity": self.verbosity or "medium"}
