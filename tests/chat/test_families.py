"""Every template of llama.cpp's: its own calls read and written, its expected outputs read."""

from __future__ import annotations

from pathlib import Path

import pytest

from longctx._native import Model
from longctx.grammar import TokenTable
from longctx.tokens.special_tokens import SpecialTokens
from tests.chat.families import Family, counted, may_write
from tests.support.llama_cpp_chat_cases import read_cases
from tests.support.llama_cpp_models import CHAT_CASES
from tests.support.thorough import quick
from tests.support.vocabularies import Vocabularies


@pytest.fixture(scope="module")
def families(llama_cpp_models: Path) -> dict[str, Family]:
    """By the name of the file."""
    return {path.name: Family(path) for path in sorted(llama_cpp_models.glob("*.jinja"))}


@pytest.mark.parametrize("n", quick([1, 2], 2))
def test_own_calls_are_read(n: int, families: dict[str, Family]) -> None:
    """What a template writes of a call, and of two, is read as that."""
    results = {name: family.reads(n) for name, family in families.items()}
    assert [name for name, result in results.items() if result is False] == []
    assert counted(list(results.values()))[True] >= (58 if n == 1 else 52)


@pytest.mark.parametrize("n", quick([1, 2], 1))
def test_own_calls_may_be_written(
    n: int, families: dict[str, Family], vocabulary: Vocabularies
) -> None:
    """The grammar of calls lets through what the template writes; two format JSON otherwise."""
    model: Model = vocabulary("qwen2")
    tokens = TokenTable(model)
    special = SpecialTokens.of(model)
    results = {
        name: may_write(family, model, tokens, special, n) for name, family in families.items()
    }
    refused = {name for name, result in results.items() if result is False}
    assert refused <= {"CohereForAI-c4ai-command-r-plus-tool_use.jinja"}
    assert counted(list(results.values()))[True] >= (55 if n == 1 else 50)


def test_expected_outputs(families: dict[str, Family], llama_cpp_models: Path) -> None:
    """llama.cpp's own cases are read as it reads them, words and reasoning too, and words never as
    calls.

    Cut off calls it hands out as far as they came; here they are none. Two are read otherwise: of a
    union of text and object it takes an object for text, and one end of a message is not special.
    """
    cases, left_out = read_cases(llama_cpp_models / CHAT_CASES)
    assert len(cases) > 3 * left_out
    wrong = []
    for case in cases:
        is_right, answer = families[case.template].reads_case(case)
        if not (is_right or case.options.get("is_partial")):
            wrong.append((case.template, case.line))
        assert case.calls or not answer.calls, (case.template, case.line)
    assert len(cases) >= 350
    assert {name.removesuffix(".jinja") for name, _ in wrong} <= {
        "MiniMax-M3",
        "inclusionai-ling-3.0-flash",
    }, wrong
    assert len(wrong) <= 2, wrong
