"""More schemas that people have: of classes, and as documentations and servers write them."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from tests.grammar.common_models import MODELS, TYPES


def _tool(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """Parameters of a tool, as documentations write them."""
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names}


_WORD = {"type": "string", "maxLength": 12}
_WORDS = {"type": "array", "items": _WORD, "maxItems": 2}

WRITTEN: dict[str, dict[str, Any]] = {
    "OpenAI's get_weather": {
        **_tool(
            location={**_WORD, "description": "City and country e.g. Bogotá, Colombia"},
            units={"type": "string", "enum": ["celsius", "fahrenheit"]},
        ),
        "additionalProperties": False,
    },
    "OpenAI's search_knowledge_base": {
        **_tool(
            query=_WORD,
            options={
                **_tool(
                    num_results={"type": "number"},
                    domain_filter={"type": ["string", "null"], "maxLength": 12},
                    sort_by={"type": ["string", "null"], "enum": ["relevance", "date", None]},
                ),
                "additionalProperties": False,
            },
        ),
        "additionalProperties": False,
    },
    "OpenAI's recursive #": {
        **_tool(
            type={"type": "string", "enum": ["div", "button"]},
            children={"type": "array", "items": {"$ref": "#"}, "maxItems": 1},
        ),
        "additionalProperties": False,
    },
    "OpenAI's anyOf of objects": _tool(
        item={
            "anyOf": [
                {**_tool(name=_WORD, age={"type": "number"}), "additionalProperties": False},
                {**_tool(number=_WORD, street=_WORD), "additionalProperties": False},
            ]
        }
    ),
    "Anthropic's get_stock_price": _tool(ticker={**_WORD, "description": "e.g. AAPL."}),
    "Anthropic's optional unit": _tool(
        ["location"], location=_WORD, unit={"type": "string", "enum": ["celsius", "fahrenheit"]}
    ),
    "Anthropic's record_summary": _tool(
        key_colors={
            "type": "array",
            "items": _tool(
                r={"type": "number", "description": "red value [0.0, 1.0]"},
                name={**_WORD, "description": "Human-readable, e.g. \"olive_green\""},
            ),
            "maxItems": 2,
        },
        description=_WORD,
        estimated_year={"type": "integer"},
    ),
    "Anthropic's sentiment": _tool(
        positive_score={"type": "number"}, negative_score={"type": "number", "minimum": 0}
    ),
    "MCP's filesystem: edit": {
        **_tool(
            ["path", "edits"],
            path=_WORD,
            edits={"type": "array", "items": _tool(oldText=_WORD, newText=_WORD), "maxItems": 1},
            dryRun={"type": "boolean", "default": False},
        ),
        "additionalProperties": False,
        "$schema": "http://json-schema.org/draft-07/schema#",
    },
    "MCP's without arguments": {"type": "object", "properties": {}},
    "MCP's fetch": _tool(
        ["url"],
        url={"type": "string", "format": "uri", "minLength": 1},
        max_length={"type": "integer", "default": 5000, "exclusiveMaximum": 1000000,
                    "exclusiveMinimum": 0},
        raw={"type": "boolean", "default": False},
    ),
    "MCP's number or word": _tool(id={"type": ["integer", "string"], "maxLength": 9}),
    "zod's record": {
        "type": "object", "additionalProperties": {"type": "number"}, "maxProperties": 2,
        "propertyNames": {},
    },
    "zod's discriminatedUnion": {
        "oneOf": [
            _tool(status={"type": "string", "const": "success"}, data=_WORD),
            _tool(status={"type": "string", "const": "failed"}, error=_WORD),
        ]
    },
    "OpenAPI's one of two requirements": {
        "oneOf": [_tool(card=_WORD), _tool(iban=_WORD)],
    },
    "OpenAPI's either name": {
        **_tool([], email=_WORD, phone=_WORD),
        "oneOf": [{"required": ["email"]}, {"required": ["phone"]}],
    },
    "OpenAPI's nullable by oneOf": _tool(a={"oneOf": [{"type": "null"}, _tool(b=_WORD)]}),
    "OpenAPI's oneOf by reference": {
        "definitions": {
            "Cat": _tool(["hunts"], hunts={"type": "boolean"}, name=_WORD),
            "Dog": _tool(["bark"], bark={"type": "boolean"}, name=_WORD),
        },
        "oneOf": [{"$ref": "#/definitions/Cat"}, {"$ref": "#/definitions/Dog"}],
    },
    "OpenAPI's allOf": {
        "allOf": [
            _tool(id={"type": "integer", "format": "int64"}),
            _tool(tag={"type": "string", "maxLength": 5}),
        ]
    },
    "an extensible enumeration": {
        "anyOf": [{"type": "string", "maxLength": 9}, {"type": "string", "enum": ["gpt-4o", "o1"]}]
    },
    "entities": _tool(
        entities={
            "type": "array",
            "items": _tool(
                ["text", "label"],
                text=_WORD,
                label={"enum": ["PERSON", "ORG", "LOC"]},
                span={"type": "array", "items": {"type": "integer", "minimum": 0},
                      "minItems": 2, "maxItems": 2},
            ),
            "maxItems": 2,
        }
    ),
    "an invoice": _tool(
        number={"type": "string", "pattern": r"^INV-\d{4,6}$"},
        total={"type": "number", "minimum": 0},
        currency={"type": "string", "minLength": 3, "maxLength": 3, "pattern": "^[A-Z]+$"},
        due={"type": ["string", "null"], "format": "date"},
    ),
    "SQL": _tool(query={"type": "string", "maxLength": 30}, params={"type": "array", "items": {},
                                                                       "maxItems": 1}),
}  # fmt: skip

COMMON: dict[str, dict[str, Any]] = {
    **{model.__name__: model.model_json_schema() for model in MODELS},
    **{name: TypeAdapter(kind).json_schema() for name, kind in TYPES.items()},
    **WRITTEN,
}
