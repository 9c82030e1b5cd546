"""Schemas as servers and generators write them, whose meaning is plain and whose words say another.

Each with a text that its author would take, one that he would not, and what is said of it: a piece
of the warning, or "" where it is read in the only way that it can be, with nothing to be said.
"""

from __future__ import annotations

from typing import Any

WORD = {"type": "string", "maxLength": 8}


def tool(*required: str, **properties: Any) -> dict[str, Any]:
    """Parameters of a tool."""
    return {"type": "object", "properties": properties, "required": [*required]}


_CLOSED = {"additionalProperties": False}
_ANY = {"not": {}}
_ZOD3_EMAIL = (
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]"
    r"@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
)
_ZOD4_DURATION = (
    r"^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$"
)
_CAT = tool("name", name=WORD)

WILD: dict[str, tuple[dict[str, Any], str, str, str]] = {
    # Alternatives of which one holds the other.
    "oneOf of the same": (
        tool("a", a={"oneOf": [WORD, WORD]}), '{"a": "x"}', '{"a": 1}', "at #/properties/a: "
    ),
    "oneOf of the same beside another": (
        {"oneOf": [WORD, WORD, {"type": "null"}]}, '"x"', "1", "anyOf"
    ),
    "oneOf that differs in words alone": (
        {"oneOf": [{**WORD, "description": "a name"}, {**WORD, "description": "a path"}]},
        '"x"', "1", "at #: ",
    ),
    "oneOf by the same reference": (
        {"$defs": {"Cat": _CAT}, **tool("a", a={"oneOf": [{"$ref": "#/$defs/Cat"}] * 2})},
        '{"a": {"name": "x"}}', '{"a": {}}', "at #/properties/a: ",
    ),
    "oneOf of whole and broken numbers": (
        {"oneOf": [{"type": "integer"}, {"type": "number"}]}, "3", '"3"', "anyOf"
    ),
    "oneOf of text and its own values": (
        {"oneOf": [WORD, {"type": "string", "enum": ["auto"]}]}, '"auto"', "3", "anyOf"
    ),
    "oneOf of anything and something": ({"oneOf": [{}, WORD]}, '"x"', "", "anyOf"),
    "oneOf of nullable and null": (
        {"oneOf": [{"type": ["string", "null"], "maxLength": 3}, {"type": "null"}]},
        "null", "3", "anyOf",
    ),
    "oneOf of a part and the whole": (
        {"oneOf": [_CAT, tool("name", "age", name=WORD, age={"type": "integer"})]},
        '{"name": "x", "age": 3}', '{"age": 3}', "anyOf",
    ),
    "OpenAPI: a discriminator without constants": (
        {
            "discriminator": {"propertyName": "kind"},
            "oneOf": [tool("kind", kind=WORD), tool("kind", kind=WORD, lives={"type": "integer"})],
        },
        '{"kind": "cat", "lives": 9}', "{}", "anyOf",
    ),
    "zod 4: xor": (tool("f", f={"oneOf": [WORD, WORD]}), '{"f": "x"}', "{}", "anyOf"),
    # What is never there.
    "zod 3: optional and nullable": (
        tool(f={"anyOf": [{"anyOf": [_ANY, WORD]}, {"type": "null"}]}), '{"f": "x"}', '{"f": 1}', ""
    ),
    "zod 3 for OpenAI": (
        {
            **tool("f", f={"anyOf": [{"not": {"$ref": "#/definitions/OpenAiAnyType"}}, WORD]}),
            "definitions": {"OpenAiAnyType": {"type": ["string", "number", "array", "null"]}},
        },
        '{"f": "x"}', '{"f": {}}', "",
    ),
    "zod: never": (tool("f", f=_ANY, g=WORD), '{"g": "x"}', '{"f": 1}', "requires 'f'"),
    ".NET: a type it cannot write": (tool(a=WORD, b={"not": True}), '{"a": "x"}', '{"b": 1}', ""),
    "typebox: undefined": (
        tool(a={"anyOf": [{"type": "undefined"}, WORD]}), '{"a": "x"}', '{"a": null}', "undefined"
    ),
    "closed by a not": (
        {**tool(a=WORD), "additionalProperties": _ANY}, '{"a": "x"}', '{"b": 1}', ""
    ),
    "typebox: not": ({"not": {"type": "string"}}, "[1]", '"x"', ""),
    "one of two, not both": (
        {**tool(a={"type": "null"}, b={"type": "null"}), "not": {"required": ["a", "b"]}},
        '{"b": null}', '{"a": null, "b": null}', "",
    ),
    # What other languages leave.
    "Go: nil slices": (
        {"type": "object", "properties": {"a": {**WORD, "enum": None}}, "required": None},
        '{"a": "x"}', '{"a": 1}', "",
    ),
    "Go: a nil map": ({"type": "object", "properties": None}, "{}", "[]", ""),
    "PHP: empty arrays": (
        {"type": "object", "properties": [], "additionalProperties": []}, '{"a": 1}', "[]", ""
    ),
    "YAML: a property of nothing": (
        {"type": "object", "properties": {"a": None}}, '{"a": 1}', "[]", ""
    ),
    "Google's capitals": (
        {"type": "OBJECT", "properties": {"a": {"type": "STRING", "maxLength": 4}}},
        '{"a": "x"}', '{"a": 1}', "'STRING' is taken as 'string'",
    ),
    "BFCL's types": (
        {"type": "dict", "properties": {"a": {"type": "float"}, "b": {"type": "tuple", "items": {
            "type": "HashMap"}}, "c": {"type": "Boolean"}}, "required": ["a"]},
        '{"a": 1.5, "b": [{}], "c": true}', '{"a": "x"}', "'float' is taken as 'number'",
    ),
    "any type": (tool("a", a={"type": "any"}), '{"a": [1]}', "{}", "any type"),
    "types with a bar": (
        tool(a={"type": "integer | null"}), '{"a": null}', '{"a": "x"}', "'integer | null'"
    ),
    "typebox: Date": (
        tool(a={"type": "Date"}), '{"a": "2026-11-26T12:00:00Z"}', '{"a": "now"}', "'Date'"
    ),
    "a type for a property": (
        {"type": "object", "properties": {"a": "int"}}, '{"a": 1}', '{"a": "x"}', "'int'"
    ),
    "Jackson's third draft": (
        {
            "type": "object", "id": "urn:jsonschema:com:example:Pet",
            "properties": {
                "name": {**WORD, "required": True},
                "mother": {"type": "object", "$ref": "urn:jsonschema:com:example:Pet"},
            },
        },
        '{"name": "x", "mother": {"name": "y"}}', '{"mother": {"name": "y"}}', "'required' is true",
    ),
    "bounds as text": (
        tool(a={"type": "integer", "minimum": "1", "maximum": "3"}),
        '{"a": 2}', '{"a": 4}', "the text '1'",
    ),
    "Java: no bound": (tool(a={**WORD, "minLength": -1}), '{"a": ""}', '{"a": 1}', "-1"),
    "booleans as text": (
        {**tool(a=WORD), "additionalProperties": "false"}, '{"a": "x"}', '{"b": 1}', "'false'"
    ),
    "required as text": (
        {"type": "object", "properties": {"a": WORD}, "required": "a"}, '{"a": "x"}', "{}", "'a'"
    ),
    "OpenAI's response_format": (
        {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": WORD}},
        '"x"', "1", "'schema'",
    ),
    # Constants where they cannot be.
    "an enum of the array": (
        tool(a={"type": "array", "items": {"type": "string"}, "enum": ["x", "y"]}),
        '{"a": ["x"]}', '{"a": ["z"]}', "its items",
    ),
    "an enum of the null beside it": (
        tool(a={"anyOf": [{"type": "string", "enum": ["x"]}, {"type": "null", "enum": ["x"]}]}),
        '{"a": null}', '{"a": "z"}', "null is none",
    ),
    "YAML: numbers in an enum of texts": (
        tool(a={"type": "string", "enum": [1, 2]}), '{"a": "1"}', '{"a": 1}', "another type"
    ),
    "Gemini: texts in an enum of numbers": (
        tool(a={"type": "integer", "enum": ["1", "2"]}), '{"a": 1}', '{"a": "1"}', "another type"
    ),
    "zod 4 for OpenAPI: null": (
        tool("a", a={"type": "string", "nullable": True, "enum": [None]}),
        '{"a": null}', '{"a": "x"}', "no value of the type",
    ),
    "a type that no alternative is": (
        tool(a={"type": "string", "anyOf": [{"type": "integer"}, {"type": "null"}]}),
        '{"a": 3}', '{"a": "x"}', "none of anyOf",
    ),
    # Objects that nothing can be.
    "required, and taken out": (
        {**tool("a", "hidden", a=WORD), **_CLOSED}, '{"a": "x"}', "{}", "requires 'hidden'"
    ),
    "an enum of nothing, required": (
        tool("a", a={"type": "string", "enum": []}, b=WORD), '{"b": "x"}', '{"a": "x"}', "'a'"
    ),
    "NSwag: closed parts": (
        {
            "definitions": {"Base": {**tool("a", a=WORD), **_CLOSED}},
            "allOf": [{"$ref": "#/definitions/Base"}, {**tool("b", b=WORD), **_CLOSED}],
        },
        '{"a": "x", "b": "y"}', '{"a": "x"}', "at #: the parts of this allOf",
    ),
    "zod 3: intersection": (
        {"allOf": [tool("a", a=WORD), tool("b", b=WORD)], "unevaluatedProperties": False},
        '{"a": "x", "b": "y"}', '{"a": "x", "b": "y", "c": 1}', "",
    ),
    # References.
    "pydantic: a schema inside another": (
        tool("cat", cat={"$defs": {"Name": WORD}, **tool("name", name={"$ref": "#/$defs/Name"})}),
        '{"cat": {"name": "x"}}', '{"cat": {"name": 1}}', "'#/properties/cat/$defs/Name'",
    ),
    "OpenAPI: moved components": (
        {**tool("cat", cat={"$ref": "#/components/schemas/Cat"}), "$defs": {"Cat": _CAT}},
        '{"cat": {"name": "x"}}', '{"cat": {}}', "'#/$defs/Cat'",
    ),
    "a reference by name": (
        {**tool("cat", cat={"$ref": "Cat"}), "definitions": {"Cat": _CAT}},
        '{"cat": {"name": "x"}}', '{"cat": {}}', "'#/definitions/Cat'",
    ),
    # Names of properties.
    "pydantic: dict[date, int]": (
        {"type": "object", "propertyNames": {"format": "date", "type": "string"},
         "additionalProperties": {"type": "integer"}},
        '{"2026-11-26": 1}', '{"2026-11-26": "x"}', "'date'",
    ),
    "pydantic: dict[Path, int]": (
        {"type": "object", "propertyNames": {"format": "path", "type": "string"},
         "additionalProperties": {"type": "integer"}},
        '{"a/b": 1}', '{"a/b": "x"}', "",
    ),
    # Patterns.
    "zod 3: email": (
        {"type": "string", "format": "email", "pattern": _ZOD3_EMAIL},
        '"a@b.org"', '"a"', "at #: the pattern looks around",
    ),
    "zod 4: duration": (
        {"type": "string", "format": "duration", "pattern": _ZOD4_DURATION}, '"P3D"', '"3"', "held"
    ),
    "JavaScript: braces": ({"type": "string", "pattern": r"^{[a-z]{1,3}}$"}, '"{ab}"', '"ab"', ""),
    "JavaScript: brackets": ({"type": "string", "pattern": r"^[[\]]+$"}, '"[]"', '"a"', ""),
    "JavaScript: anything": ({"type": "string", "pattern": r"^a[^]b$"}, '"a.b"', '"ab"', ""),
    "JavaScript: controls": ({"type": "string", "pattern": r"^\cI$"}, '"\\t"', '"I"', ""),
    "JavaScript: escaped": ({"type": "string", "pattern": r"^\<[\w&&]+\>$"}, '"<a&>"', '"a"', ""),
    "JavaScript: with its slashes": (
        {"type": "string", "pattern": "/^[a-z]+$/i"}, '"Ab"', '"/ab/"', ""
    ),
    "JavaScript: classes of Unicode": (
        {"type": "string", "pattern": r"^\p{Lu}\u{e4}$"}, '"Bä"', '"bä"', ""
    ),
    "Python: the end": ({"type": "string", "pattern": r"\A[a-z]+\Z"}, '"ab"', '"a1"', ""),
    "POSIX: classes": ({"type": "string", "pattern": "^[[:alpha:]_]+$"}, '"a_"', '"1"', ""),
}  # fmt: skip
"""name: (schema, a text that passes, one that does not or "", what is said)"""

UNHELD: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "a set": (
        tool("a", a={"type": "array", "items": WORD, "uniqueItems": True}),
        '{"a": ["x", "y"]}', '{"a": [1]}', "at #/properties/a: no grammar holds calls to 'unique",
    ),
    "a condition": (
        {**tool("a", a=WORD, b=WORD), "if": {"properties": {"a": {"const": "x"}}},
         "then": {"required": ["b"]}},
        '{"a": "y"}', '{"a": 1}', "'if', 'then'",
    ),
    "one with the other": (
        {**tool(a=WORD, b=WORD), "dependentRequired": {"a": ["b"]}},
        '{"a": "x", "b": "y"}', '{"a": 1}', "'dependentRequired'",
    ),
    "not one word": (
        tool("a", a={"type": "string", "not": {"const": ""}}), '{"a": "x"}', '{"a": 1}', "'not'"
    ),
    "a pattern that looks back": (
        tool("a", a={"type": "string", "pattern": "^a(?<!b)c$"}), '{"a": "ac"}', '{"a": 1}', "'patt"
    ),
    "a pattern that is none": (
        tool("a", a={"type": "string", "pattern": "("}), '{"a": "x"}', '{"a": 1}', "'pattern'"
    ),
    "a lost definition": (
        tool("a", a={"$ref": "#/components/schemas/Lost"}), '{"a": 1}', "{}", "'$ref'"
    ),
    "another file": (tool("a", a={"$ref": "https://e.org/x.json"}), '{"a": 1}', "{}", "'$ref'"),
    "dynamic references": (
        {**tool(a={"$dynamicRef": "#n"}), "$dynamicAnchor": "n"}, '{"a": {}}', "[]", "'$dynamicRef'"
    ),
}  # fmt: skip
"""The same, of what a tool has to check by itself; an answer's schema is refused for it."""
