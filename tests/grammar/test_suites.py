"""The JSON-Schema-Test-Suite and llama.cpp's cases, of which no text is in this repository."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from longctx import RequestError
from longctx._native import Model
from longctx.grammar import json_grammar
from tests.grammar.acceptor import accepts
from tests.models import TINY
from tests.support.schema_suites import Case, json_schema_test_suite, llama_cpp_schemas
from tests.support.thorough import thorough


@pytest.fixture(scope="module")
def tiny() -> Iterator[Model]:
    """The small model's vocabulary."""
    model = Model(TINY, vocab_only=True)
    yield model
    model.close()


def _cases(load: Callable[[], list[Case]]) -> list[Case]:
    try:
        return load()
    except Exception as error:
        pytest.skip(f"the source archive cannot be had: {error}")


@thorough
def test_no_invalid_instance_is_let_through_unsaid(tiny: Model) -> None:
    """Of what makes a grammar, most valid ones are, and others only by a format that is unknown."""
    n_grammars = n_good = 0
    for case in _cases(json_schema_test_suite):
        if not isinstance(case.schema, dict):
            continue
        try:
            grammar = json_grammar(case.schema)
        except RequestError:
            continue
        n_grammars += 1
        for value, valid in case.instances:
            passes = accepts(tiny, grammar, json.dumps(value, ensure_ascii=False))
            n_good += passes and valid
            is_said = bool(grammar.warnings) or "format" in case.name
            assert valid or not passes or is_said, (case.name, value)
    assert n_grammars >= 205
    assert n_good >= 450


@thorough
def test_what_llama_cpp_turns_into_grammars(tiny: Model) -> None:
    """All but those that are no schemas."""
    refused = []
    for case in _cases(llama_cpp_schemas):
        try:
            json_grammar(case.schema)
        except RequestError:
            refused.append(case.name)
    assert len(refused) <= 6, refused
