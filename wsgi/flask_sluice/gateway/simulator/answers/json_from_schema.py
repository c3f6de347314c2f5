"""Makes a JSON value of a JSON Schema: the arguments of a tool call, and answers in a given form.

The schemas are those that clients of language models send: JSON Schema (draft 2020-12, with what older drafts have), as
pydantic and zod write it, and Gemini's with types in capitals.
"""

import math
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from flask_sluice.gateway.simulator.answers.material import Material
from flask_sluice.gateway.simulator.answers.merged_schema import (
    Schema,
    SchemaError,
    merge_schemas,
    types_of,
)
from flask_sluice.gateway.simulator.answers.schema_text import text_for

_SOFT_DEPTH = 4
"""From here on only what has to be there is made, so that a schema which contains itself ends."""
_MAX_DEPTH = 40
_MAX_VALUES = 5000
_MAX_ITEMS = 1000
_MAX_BRANCHES = 64
_USUAL_ITEMS = 2
_ATTEMPTS = 30


def json_from_schema(schema: msgspec.Raw, topic: str, seed: int) -> str:
    """Return a JSON text of this schema, the same for the same question and seed.

    It takes what the question offers: its numbers, its names, the members of an ``enum`` that it has words of. The keywords
    ``not``, ``if``, ``contains``, ``dependentSchemas`` and ``patternProperties`` are not obeyed.

    topic: the question

    Raises SchemaError for a schema that has no value, or only values that are too large.
    """
    try:
        root = msgspec.json.decode(schema)
    except (msgspec.DecodeError, RecursionError) as error:  # A number may have too many digits.
        raise SchemaError("", str(error)) from None
    maker = _Maker(root, Material(topic), random.Random(f"{seed}\n{topic}"))
    return msgspec.json.encode(maker.value(maker.root, "", "", 0)).decode()


class _Maker:
    """Makes the parts of one value.

    root: the whole schema, to which ``$ref`` points
    """

    def __init__(self, root: Any, material: Material, rng: random.Random) -> None:
        self.root = root
        self._material = material
        self._rng = rng
        self._values_left = _MAX_VALUES

    def value(self, given: Any, pointer: str, name: str, depth: int) -> Any:
        """Return a value of a schema. pointer: where the schema is; name: of the property whose value it is"""
        self._values_left -= 1
        if depth > _MAX_DEPTH or self._values_left < 0:
            raise SchemaError(pointer, "a value would be too large, or never end")
        if given is True:
            given = {}
        schema = merge_schemas(given, self.root, pointer)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._member(schema["enum"], pointer)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._branch(schema, keyword, pointer, name, depth)
        return self._of_type(schema, pointer, name, depth)

    def _of_type(self, schema: Schema, pointer: str, name: str, depth: int) -> Any:
        types = types_of(schema, pointer)
        if "null" in types and depth > _SOFT_DEPTH:
            return None
        makers: dict[str, Callable[[], Any]] = {
            "object": lambda: self._object(schema, pointer, depth),
            "array": lambda: self._array(schema, pointer, name, depth),
            "string": lambda: text_for(schema, name, self._material, self._rng),
            "integer": lambda: self._number(schema, pointer, is_whole=True),
            "number": lambda: self._number(schema, pointer, is_whole=False),
            "boolean": lambda: self._rng.random() < 0.5,
            "null": lambda: None,
        }
        if types[0] not in makers:
            raise SchemaError(pointer, f"{types[0]!r} is not a type of JSON")
        return makers[types[0]]()

    def _member(self, members: Any, pointer: str) -> Any:
        if not isinstance(members, list) or not members:
            raise SchemaError(pointer, "enum takes a list of at least one value")
        words = self._material.topic.lower()
        named = [
            each for each in members if isinstance(each, str) and each and each.lower() in words
        ]
        return (
            named[0]
            if named
            else self._rng.choice([e for e in members if e is not None] or members)
        )

    def _branch(self, schema: Schema, keyword: str, pointer: str, name: str, depth: int) -> Any:
        """Return a value of the first branch that has one; null last, or first where it is deep."""
        branches = schema[keyword]
        if not isinstance(branches, list) or not branches:
            raise SchemaError(pointer, f"{keyword} takes a list of at least one schema")
        base = {key: value for key, value in schema.items() if key != keyword}
        numbered = list(enumerate(branches[:_MAX_BRANCHES]))
        numbered.sort(key=lambda branch: _is_null(branch[1]) == (depth <= _SOFT_DEPTH))
        error: SchemaError | None = None
        for number, branch in numbered:
            place = f"{pointer}/{keyword}/{number}"
            try:
                return self.value(
                    {**base, "allOf": [*base.get("allOf", []), branch]}, place, name, depth + 1
                )
            except SchemaError as raised:
                error = error or raised
        assert error is not None
        raise error

    def _object(self, schema: Schema, pointer: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise SchemaError(pointer, "properties takes an object, and required a list")
        made: dict[str, Any] = {}
        for key in dict.fromkeys(
            [*properties, *(each for each in required if isinstance(each, str))]
        ):
            is_required = key in required
            if not is_required and depth >= _SOFT_DEPTH:
                continue
            place = f"{pointer}/properties/{_escaped(key)}"
            try:
                made[key] = self.value(properties.get(key, True), place, key, depth + 1)
            except SchemaError:
                if is_required:
                    raise
        self._add_others(made, schema, pointer, depth)
        return made

    def _add_others(self, made: dict[str, Any], schema: Schema, pointer: str, depth: int) -> None:
        """Add properties that have no name in the schema: as many as there have to be, one to a map."""
        others = schema.get("additionalProperties", True)
        least = _count(schema, "minProperties", pointer, 0)
        if not schema.get("properties") and isinstance(others, dict) and depth < _SOFT_DEPTH:
            least = max(least, 1)
        if least > _MAX_ITEMS:
            raise SchemaError(pointer, f"minProperties: at most {_MAX_ITEMS} are made")
        if others is False and len(made) < least:
            raise SchemaError(pointer, "minProperties are more than there may be")
        number = 0
        while len(made) < least:
            number += 1
            key = f"key_{number}"
            if key not in made:
                made[key] = self.value(others, f"{pointer}/additionalProperties", key, depth + 1)

    def _array(self, schema: Schema, pointer: str, name: str, depth: int) -> list[Any]:
        first = schema.get("prefixItems") or []
        rest = schema.get("items", True)
        if isinstance(rest, list):  # As drafts before 2020-12 have it.
            first, rest = rest, schema.get("additionalItems", True)
        least = _count(schema, "minItems", pointer, 0)
        most = _count(schema, "maxItems", pointer, math.inf)
        if least > most:
            raise SchemaError(pointer, "minItems is more than maxItems")
        if least > _MAX_ITEMS:
            raise SchemaError(pointer, f"minItems: at most {_MAX_ITEMS} are made")
        usual = (
            len(first) if first else 0 if rest is False or depth >= _SOFT_DEPTH else _USUAL_ITEMS
        )
        made: list[Any] = []
        while len(made) < min(max(least, usual), most):
            place = len(made)
            is_first = place < len(first)
            given = first[place] if is_first else rest
            where = f"{pointer}/prefixItems/{place}" if is_first else f"{pointer}/items"
            make = partial(self.value, given, where, name, depth + 1)
            is_unique = bool(schema.get("uniqueItems"))
            try:
                item = self._different(make, given, made, where) if is_unique else make()
            except SchemaError:
                if len(made) < least:
                    raise
                break
            made.append(item)
        return made

    def _different(self, make: Callable[[], Any], given: Any, made: list[Any], where: str) -> Any:
        """Return an item that is not among those that are made."""
        members = merge_schemas(given, self.root, where).get("enum")
        if isinstance(members, list) and (left := [each for each in members if each not in made]):
            return left[0]
        for _ in range(_ATTEMPTS):
            item = make()
            if item not in made:
                return item
        if isinstance(item, str) and f"{item} {len(made) + 1}" not in made:
            return f"{item} {len(made) + 1}"
        raise SchemaError(where, "uniqueItems: there are not so many different items")

    def _number(self, schema: Schema, pointer: str, *, is_whole: bool) -> float:
        low, high = _bounds(schema, pointer)
        step = _limit(schema, "multipleOf", pointer)
        if step is not None and step <= 0:
            raise SchemaError(pointer, "multipleOf takes a number above 0")
        asked = self._material.number(is_whole=is_whole)
        if asked is not None and low <= asked <= high and (step is None or asked % step == 0):
            return int(asked) if asked.is_integer() else asked
        if step is not None:
            first = math.ceil(low / step) if low > -math.inf else min(1, math.floor(high / step))
            value = first * step
            if value > high:
                raise SchemaError(pointer, "no multiple is between the limits")
        else:
            value = self._between(*_finite(low, high), pointer, is_whole=is_whole)
        return int(value) if is_whole or float(value).is_integer() else value

    def _between(self, low: float, high: float, pointer: str, *, is_whole: bool) -> float:
        if is_whole:
            if math.ceil(low) > math.floor(high):
                raise SchemaError(pointer, "there is no whole number between the limits")
            return self._rng.randint(math.ceil(low), math.floor(high))
        value = round(self._rng.uniform(low, high), 2)
        return value if low <= value <= high else (low + high) / 2


def _bounds(schema: Schema, pointer: str) -> tuple[float, float]:
    """Return the least and the greatest value; what excludes its limit is moved by a little."""
    low = _limit(schema, "minimum", pointer)
    high = _limit(schema, "maximum", pointer)
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    is_whole = schema.get("type") in ("integer", "INTEGER")
    for keyword, sign in (("exclusiveMinimum", 1), ("exclusiveMaximum", -1)):
        given = schema.get(keyword)
        if given is None or given is False:
            continue
        # Draft 4 has true beside the limit.
        limit = (low if sign > 0 else high) if given is True else _limit(schema, keyword, pointer)
        if limit is None or math.isinf(limit):
            continue
        moved = limit + sign if is_whole and float(limit).is_integer() else _beside(limit, sign)
        if sign > 0:
            low = max(low, moved)
        else:
            high = min(high, moved)
    if low > high:
        raise SchemaError(pointer, "the minimum is above the maximum")
    return low, high


def _beside(limit: float, sign: int) -> float:
    return limit + sign * max(abs(limit) * 1e-6, 1e-6)


def _finite(low: float, high: float) -> tuple[float, float]:
    """Return limits of which neither is infinite."""
    if math.isinf(low) and math.isinf(high):
        return 1, 100
    if math.isinf(low):
        return high - 99, high
    return low, (low + 99 if math.isinf(high) else high)


def _limit(schema: Schema, keyword: str, pointer: str) -> float | None:
    value = schema.get(keyword)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SchemaError(pointer, f"{keyword} takes a number")
    if abs(value) > 1e300:
        raise SchemaError(pointer, f"{keyword} is too large")
    return value


def _count(schema: Schema, keyword: str, pointer: str, default: float) -> float:
    # Gemini has these as texts of digits.
    value = schema.get(keyword)
    if isinstance(value, str) and value.isdigit() and len(value) < 10:
        return int(value)
    limit = _limit(schema, keyword, pointer)
    if limit is None:
        return default
    if limit < 0:
        raise SchemaError(pointer, f"{keyword} takes a number from 0 on")
    return limit


def _is_null(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    return schema.get("type") in ("null", "NULL") or ("const" in schema and schema["const"] is None)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
