"""Schemas that people have, by name; most of them made no grammar, or a wrong one, in GBNF."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, HttpUrl, TypeAdapter


class Named(BaseModel):
    """A text that may hold anything."""

    name: str


class Review(BaseModel):
    """A number between bounds."""

    stars: int = Field(ge=1, le=5)


class Path(BaseModel):
    """A backslash."""

    folder: Literal["C:\\temp"]


class Tree(BaseModel):
    """Itself."""

    value: bool
    children: Annotated[list[Tree], Field(max_length=2)] = []


class Anything(BaseModel):
    """What has no type."""

    value: Any
    items: list  # type: ignore[type-arg]  # as people write it


class Page(BaseModel):
    """A format."""

    url: HttpUrl


class Room(BaseModel):
    """Names that the schema does not list."""

    people: dict[str, Named]


class Times(BaseModel):
    """Formats of time."""

    at: datetime
    on: date
    clock: time
    takes: timedelta
    id: UUID


class Price(BaseModel):
    """A pattern that looks ahead."""

    amount: Decimal


class Bounded(BaseModel):
    """A pattern that looks ahead, with bounds."""

    amount: Decimal = Field(max_digits=5, decimal_places=2)


class Cat(BaseModel):
    """Told by its kind."""

    kind: Literal["cat"] = "cat"
    lives: int = Field(ge=0, le=9)


class Dog(BaseModel):
    """Told by its kind."""

    kind: Literal["dog"] = "dog"
    good: bool


class Pet(BaseModel):
    """One of both."""

    pet: Cat | Dog = Field(discriminator="kind")


class Colour(Enum):
    """Words."""

    RED = "red"
    BLUE = "blue"


class Paint(BaseModel):
    """A word, a union, a tuple."""

    colour: Colour
    alpha: float | None
    at: tuple[int, bool]


MODELS: list[type[BaseModel]] = [
    Named, Review, Path, Tree, Anything, Page, Room, Times, Price, Bounded, Pet, Paint
]  # fmt: skip

LINKED_LIST = {
    "type": "object",
    "properties": {"linked_list": {"$ref": "#/$defs/linked_list_node"}},
    "$defs": {
        "linked_list_node": {
            "type": "object",
            "properties": {
                "value": {"type": "number"},
                "next": {"anyOf": [{"$ref": "#/$defs/linked_list_node"}, {"type": "null"}]},
            },
            "additionalProperties": False,
            "required": ["next", "value"],
        }
    },
    "additionalProperties": False,
    "required": ["linked_list"],
}


def _only(schema: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}, "required": ["a"], **others}


def _nested(n: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "boolean"}
    for _ in range(n):
        schema = _only(schema)
    return schema


def _chained(n: int) -> dict[str, Any]:
    links: dict[str, Any] = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(n)}
    return {"$defs": {**links, f"d{n}": {"type": "boolean"}}, **_only({"$ref": "#/$defs/d0"})}


SCHEMAS: dict[str, dict[str, Any]] = {
    **{model.__name__: model.model_json_schema() for model in MODELS},
    "linked list": LINKED_LIST,
    "union": TypeAdapter(int | str | None).json_schema(),
    "allOf of one": _only({"allOf": [{"$ref": "#/$defs/x"}]}, **{"$defs": {"x": {"enum": ["y"]}}}),
    "allOf of two": {
        "allOf": [
            _only({"type": "integer", "minimum": 3}),
            {"properties": {"a": {"maximum": 5}, "b": {"type": "null"}}, "required": ["b"]},
        ]
    },
    "enum of two types": _only({"type": ["string", "null"], "enum": ["x", None]}),
    "$defs named like keywords": {
        "$defs": {"properties": {"type": "boolean"}, "items": {"enum": [1]}},
        **_only({"$ref": "#/$defs/properties"}),
    },
    "required but not listed": {**_only({"type": "boolean"}), "required": ["a", "b"]},
    "by references, 3,000 deep": _chained(3000),
    "40 deep": _nested(40),
    "a dot in a pattern": _only({"type": "string", "pattern": "^a.b$"}),
    "a set that leaves one out": _only({"type": "string", "pattern": "^[^,]{1,4},$"}),
    "a pattern without anchors": _only({"type": "string", "pattern": "b", "maxLength": 9}),
    "a hostile pattern": _only({"type": "string", "pattern": "^(a+)+$", "maxLength": 9}),
    "an anchored alternative": _only({"type": "string", "pattern": "^(ab|c)$"}),
    "a Decimal's pattern": _only(
        {"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*\d{0,3}\.?\d{0,2}$"}
    ),
    "look-ahead": _only({"type": "string", "pattern": "^(?=.*[0-9])(?=.*[a-z])[a-z0-9]{2,9}$"}),
    "prefixItems": {
        "type": "array",
        "prefixItems": [{"type": "boolean"}, {"enum": ["x"]}],
        "items": False,
        "minItems": 2,
    },
    "emoji and escapes": {
        "type": "object",
        "properties": {"😀": {"const": "a\n\t\"b\\c\u0001é"}, "ü\"\n": {"enum": ["\\", "/"]}},
        "required": ["😀", "ü\"\n"],
        "additionalProperties": False,
    },
    "bounds": {
        "type": "object",
        "properties": {
            "i": {"type": "integer", "minimum": -3, "exclusiveMaximum": 12},
            "n": {"type": "number", "exclusiveMinimum": 0, "maximum": 1.5},
            "m": {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 100},
            "s": {"type": "string", "minLength": 2, "maxLength": 4},
            "l": {"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 3},
        },
        "required": ["i", "n", "m", "s", "l"],
    },
    "bounds past 64 bits": _only({"type": "integer", "minimum": -(10**30), "maximum": 10**30}),
    "int64": _only({"type": "integer", "format": "int64"}),
    "ipv4": _only({"type": "string", "format": "ipv4"}),
    "email": _only({"type": "string", "format": "email", "maxLength": 20}),
    "uuid": _only({"type": "string", "format": "uuid"}),
    "date": _only({"type": "string", "format": "date"}),
    "oneOf by type": _only({"oneOf": [{"type": "integer"}, {"type": "string", "maxLength": 5}]}),
    "patternProperties": {
        "type": "object",
        "patternProperties": {"^x": {"type": "boolean"}},
        "additionalProperties": False,
        "maxProperties": 2,
    },
    "what holds nothing": {
        "$schema": "urn:mine",
        "title": "t",
        "type": "array",
        "items": {"type": "boolean"},
        "uniqueItems": False,
        "maxItems": 2.0,
        "examples": [[{"$ref": "#/nowhere"}]],
    },
}  # fmt: skip
