"""Schemas whose authors' meaning is plain, though their words say another thing, or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from annotated_types import MinLen
from pydantic import BaseModel

from longctx import RequestError, arguments
from longctx._native import Model
from longctx.chat import ChatTemplate
from longctx.chat.expected import expect_answer
from longctx.chat.tool_calls import check_tools
from longctx.grammar import json_grammar
from longctx.grammar.holdable import holdable
from longctx.grammar.meaning import meant
from tests.grammar.acceptor import accepts
from tests.grammar.common_schemas import COMMON
from tests.grammar.schemas import SCHEMAS
from tests.grammar.wild_schemas import UNHELD, WILD, WORD, tool
from tests.models import TINY


@pytest.fixture(scope="module")
def tiny() -> Iterator[Model]:
    """The small model's vocabulary."""
    model = Model(TINY, vocab_only=True)
    yield model
    model.close()


@pytest.mark.parametrize("name", WILD)
def test_it_is_read_as_it_was_meant(tiny: Model, name: str) -> None:
    """What its author takes passes, what he does not take does not, and what was read is said."""
    schema, good, bad, said = WILD[name]
    grammar = json_grammar(schema)
    assert accepts(tiny, grammar, good)
    assert not accepts(tiny, grammar, bad)
    assert any(said in warning for warning in grammar.warnings) if said else not grammar.warnings


@pytest.mark.parametrize("name", UNHELD)
def test_a_tool_checks_what_no_grammar_holds(tiny: Model, name: str) -> None:
    """Its calls are held to the rest, and that is said; an answer has nobody else who checks it."""
    schema, good, bad, said = UNHELD[name]
    with pytest.raises(RequestError):
        json_grammar(schema)
    found = holdable(meant(schema).schema)
    (note,) = found.notes
    assert said in note
    grammar = json_grammar(found.schema)
    assert accepts(tiny, grammar, good)
    assert not accepts(tiny, grammar, bad)


def test_what_is_well_said_stays() -> None:
    """Nothing of it is touched, not even the order of its keywords."""
    for schema in (*SCHEMAS.values(), *COMMON.values()):
        found = meant(schema)
        assert json.dumps(found.schema) == json.dumps(schema)
        assert found.notes == ()


def test_it_is_read_once() -> None:
    """What was read is well said; and nothing of the schema that was given is changed."""
    for schema, *_ in WILD.values():
        before = json.dumps(schema)
        once = meant(schema).schema
        assert json.dumps(schema) == before
        assert meant(once).schema == once
        assert meant(once).notes == ()


def test_what_is_said_often_is_said_once() -> None:
    """With the first place, and how many more there are."""
    found = meant(tool(**{f"p{i}": {"type": "str"} for i in range(30)}))
    (note,) = found.notes
    assert note == (
        "at #/properties/p0 (and in 29 other places): the type 'str' is taken as 'string'"
    )


def test_malformed_schemas_are_no_other_error() -> None:
    """Whatever stands where a schema, a list or a name should."""
    keys = ("type", "properties", "required", "enum", "items", "oneOf", "allOf", "$ref", "not",
            "pattern", "format", "minimum", "additionalProperties", "propertyNames", "$defs",
            "patternProperties", "anyOf", "const", "minLength", "id", "components")  # fmt: skip
    odd: list[Any] = [3, "x", [], [[]], [None], {}, {"a": 3}, None, True, [{"type": 3}], ["object"]]
    for key in keys:
        for value in odd:
            for schema in ({key: value}, tool("a", a={key: value}), {**tool("a"), key: value}):
                read = meant(schema).schema
                if read is not False:
                    try:
                        json_grammar(holdable(read).schema)
                    except RequestError:
                        continue


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_tool_is_called_by_what_it_meant(
    tiny: Model, choice: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """In any form that calls have; the log says it once, and the tool's name."""
    schemas = [schema for schema, *_ in (*WILD.values(), *UNHELD.values())]
    objects = [s for s in schemas if str(s.get("type")).lower() in ("object", "dict")]
    tools = [{"name": f"{choice}_{i}", "parameters": schema} for i, schema in enumerate(objects)]
    template = ChatTemplate(None, tiny)
    with caplog.at_level("WARNING", "longctx"):
        for _ in range(2):
            assert expect_answer(template, "", [], tools, choice, None).guide is not None
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said))
    assert any(f"{choice}_0, at #/properties/a: " in text for text in said)
    shown = [each["function"]["parameters"] for each in check_tools(tools)]
    assert all(isinstance(each["properties"], dict) for each in shown)


class _Tags(BaseModel):
    tags: set[str]
    frozen: frozenset[int]
    several: Annotated[set[str], MinLen(2)] = {"a", "b"}


def test_a_set_of_pydantic_is_a_list_with_fewer_items() -> None:
    """It drops what is there twice; where so many must be different, a list might be too short."""
    properties = arguments.json_schema(_Tags)["properties"]
    unique = [name for name, part in properties.items() if "uniqueItems" in part]
    assert unique == ["several"]
    assert _Tags.model_validate_json('{"tags": ["a", "a"], "frozen": [1, 1]}').tags == {"a"}


def test_references_into_a_oneof_stay_where_they_lead() -> None:
    """The alternatives are not moved under another keyword."""
    schema = tool("a", "b", a={"oneOf": [WORD, WORD]}, b={"$ref": "#/properties/a/oneOf/0"})
    assert json_grammar(schema).warnings
