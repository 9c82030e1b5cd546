"""A grammar on its way: begun at any moment, fed by tokens or bytes, taken back, ended, closed."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from longctx import LongContextLLM
from longctx._native import Model, TokenAttr
from longctx.engine import GenerationSettings
from longctx.errors import BackendError, RequestError
from longctx.grammar import Grammar, GrammarMatcher, TokenTable, json_grammar, json_rule
from longctx.local.settings import settings_of
from tests.models import TINY
from tests.support.vocabularies import Vocabularies

CALL = json_grammar(
    {
        "type": "object",
        "properties": {"name": {"const": "find"}, "n": {"type": "integer"}},
        "required": ["name", "n"],
    }
)


@pytest.fixture
def model() -> Iterator[Model]:
    """The small model's vocabulary."""
    model = Model(TINY, vocab_only=True)
    yield model
    model.close()


@pytest.fixture
def tokens(model: Model) -> Iterator[TokenTable]:
    """Of it."""
    table = TokenTable(model)
    yield table
    table.close()


def allowed(mask: NDArray[np.uint32], n_vocab: int) -> list[int]:
    """The tokens of a mask."""
    bits = np.unpackbits(mask.view(np.uint8), count=n_vocab, bitorder="little")
    return [int(token) for token in np.flatnonzero(bits)]


def texts(model: Model, matcher: GrammarMatcher) -> set[str]:
    """What may come next, in words; what ends an answer as it is written."""
    tokens = allowed(matcher.mask(), model.n_vocab)
    return {
        model.decode_bytes([token], special=True).decode("utf-8", "replace") for token in tokens
    }


def test_tokens_move_it_to_its_end(model: Model, tokens: TokenTable) -> None:
    """Only what the grammar says, and then only what ends an answer."""
    matcher = CALL.start(tokens)
    for token in model.encode('{"name": "find", "n": 12}'):
        assert not matcher.has_ended
        assert token in allowed(matcher.mask(), model.n_vocab)
        matcher.accept(token)
    assert matcher.has_ended
    assert matcher.is_accepting
    ends = {token for token in range(model.n_vocab) if model.is_end(token)}
    assert set(allowed(matcher.mask(), model.n_vocab)) == ends


def test_it_begins_in_the_middle(model: Model, tokens: TokenTable) -> None:
    """Bytes that were written before, cut anywhere; the next token goes on from there."""
    whole = b'{"name": "find", "n": 7}'
    for cut in range(len(whole)):
        matcher = CALL.start(tokens)
        matcher.accept_bytes(whole[:cut])
        matcher.accept_bytes(whole[cut:])
        assert matcher.is_accepting
    matcher = CALL.start(tokens)
    matcher.accept_bytes(b'{"name": "f')
    assert all("ind".startswith(text) or text.startswith("ind") for text in texts(model, matcher))


def test_what_it_forbids_is_told(model: Model, tokens: TokenTable) -> None:
    """And what was taken is taken back."""
    matcher = CALL.start(tokens)
    good, bad = model.encode('{"name"'), model.encode("Paris")
    assert matcher.n_allowed([*good, *bad]) == len(good)
    for token in good:
        matcher.accept(token)
    before = allowed(matcher.mask(), model.n_vocab)
    matcher.accept(before[0])
    matcher.rollback(1)
    assert allowed(matcher.mask(), model.n_vocab) == before
    with pytest.raises(RequestError, match="doesn't satisfy"):
        matcher.accept_bytes(b"Paris")


def test_where_it_may_end_every_end_may_come(model: Model, tokens: TokenTable) -> None:
    """The end of the turn as much as the end of the text."""
    matcher = Grammar("start: /x*/\n").start(tokens)
    ends = {token for token in range(model.n_vocab) if model.is_end(token)}
    assert len(ends) > 1
    assert ends < set(allowed(matcher.mask(), model.n_vocab))
    assert matcher.is_accepting
    assert not matcher.has_ended


def test_special_tokens_by_name_and_number(model: Model, tokens: TokenTable) -> None:
    """Text between quotes is no special token; a name that is none is said."""
    (special,) = model.encode("<|im_end|>", parse_special=True)
    for name in ("<|im_end|>", f"<[{special}]>"):
        grammar = Grammar(f'start: "a" {name} "b"\n')
        assert grammar.check() == ()
        matcher = grammar.start(tokens)
        matcher.accept_bytes(b"a")
        assert allowed(matcher.mask(), model.n_vocab) == [special]
        matcher.accept(special)
        matcher.accept_bytes(b"b")
        assert matcher.has_ended
    matcher = Grammar('start: "<|im_end|>"\n').start(tokens)
    assert special not in allowed(matcher.mask(), model.n_vocab)
    unknown = Grammar("start: <|nothing|>\n")
    unknown.check()
    with pytest.raises(RequestError, match="nothing"):
        unknown.start(tokens)


@pytest.mark.parametrize("lark", ["", "start: other", 'start: "a', "start: %json {", "begin: /a/"])
def test_a_grammar_that_is_none(lark: str) -> None:
    """Told where it is asked for."""
    with pytest.raises(RequestError, match="refuses the grammar"):
        Grammar(lark).check()


def test_schemas_inside_of_a_grammar(model: Model, tokens: TokenTable) -> None:
    """Words, then a value."""
    rule = json_rule({"enum": ["x", "y"]})
    grammar = Grammar(f'start: "Say " value\nvalue: {rule.text}\n', rule.levels, rule.warnings)
    matcher = grammar.start(tokens)
    matcher.accept_bytes(b'Say "y"')
    assert matcher.has_ended


def test_a_closed_model_is_freed_and_nothing_points_to_it(model: Model) -> None:
    """A matcher that is kept keeps no weights, and raises."""
    table = TokenTable(model)
    matcher = CALL.start(table)
    weights = weakref.ref(model.handle)
    model.close()
    assert matcher.mask().any()  # whoever closes the table closes the model behind it
    table.close()
    gc.collect()
    assert weights() is None
    for call in (
        matcher.mask,
        lambda: matcher.accept(1),
        lambda: matcher.accept_bytes(b"{"),
        lambda: matcher.rollback(1),
        lambda: matcher.n_allowed([1]),
        lambda: matcher.has_ended,
        lambda: CALL.start(table),
    ):
        with pytest.raises(BackendError, match="closed"):
            call()


# Answers


class Quiet:
    """A guide that lets anything pass for a while, and then begins a grammar."""

    def __init__(self, tokens: TokenTable, n_free: int, grammar: Grammar) -> None:
        self._tokens, self._left, self._grammar = tokens, n_free, grammar
        self._matcher: GrammarMatcher | None = None

    def mask(self) -> NDArray[np.uint32] | None:
        """None while it is quiet."""
        return self._matcher.mask() if self._matcher else None

    def accept(self, token: int) -> None:
        """Count, or tell the grammar."""
        if self._matcher is not None:
            self._matcher.accept(token)
            return
        self._left -= 1
        if not self._left:
            self._matcher = self._grammar.start(self._tokens)

    @property
    def has_ended(self) -> bool:
        """Whether the grammar is at its end."""
        return self._matcher is not None and self._matcher.has_ended


def test_a_guide_begins_a_grammar_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five tokens as they come, then the call, then nothing."""

    def guided(*given: Any) -> GenerationSettings:
        return replace(settings_of(*given), guide=lambda tokens: Quiet(tokens, 5, CALL))

    with LongContextLLM(TINY, 512, reserve_output=64, n_threads=1) as llm:
        monkeypatch.setattr("longctx.local.generator.settings_of", guided)
        held = llm.generate("The ", max_tokens=64, temperature=1.0, seed=1)
    call = held.text[held.text.index('{"name": "find", "n": ') :]
    assert json.loads(call)["name"] == "find"
    assert held.finish_reason == "stop"
    assert len(held.text) > len(call)


def test_the_end_of_a_grammar_ends_the_answer() -> None:
    """No token more is decoded, drafted or not."""
    with LongContextLLM(TINY, 512, reserve_output=64, n_threads=1) as llm:
        for prompt_lookup in (False, True):
            answer = llm.generate(
                'Say "a b c d e f" and "a b c d e f" again: ',
                response_schema={"const": "a b c d e f"},
                prompt_lookup=prompt_lookup,
                max_tokens=60,
            )
            assert (answer.text, answer.finish_reason) == ('"a b c d e f"', "stop")
            assert answer.usage.completion_tokens == len(llm.tokenize(answer.text))


def test_many_answers_by_one_schema_at_once() -> None:
    """Each has a place of its own in the grammar."""
    with LongContextLLM(TINY, 1024, reserve_output=64, n_threads=1) as llm:
        schema = {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 8}

        def ask(seed: int) -> str:
            return llm.generate("The ", temperature=1.0, seed=seed, response_schema=schema).text

        with ThreadPoolExecutor(6) as pool:
            together = list(pool.map(ask, range(12)))
        assert together == [ask(seed) for seed in range(12)]


def test_tags_that_are_shown_are_text(vocabulary: Vocabularies) -> None:
    """A token that the model's maker added as text is drawn for it, whole."""
    model = vocabulary("qwen2")
    tags = [
        token
        for token in range(model.n_vocab)
        if model.token_attr(token) & TokenAttr.USER_DEFINED and model.decode_bytes([token])
    ]
    table = TokenTable(model)
    for token in tags[:3]:
        text = model.decode_bytes([token]).decode()
        matcher = Grammar(f"start: {json.dumps(text)}\n").start(table)
        assert token in allowed(matcher.mask(), model.n_vocab)
    table.close()
