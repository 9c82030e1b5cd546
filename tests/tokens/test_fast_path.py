"""The fast path gives llama.cpp's ids or none at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx._native import Model
from longctx.tokens import SERVED_PRE_TOKENIZERS, FastTokenizer, ModelTokenizer
from longctx.tokens.gguf_arrays import read_string_arrays
from longctx.tokens.merge_check import lists_every_split, ranks_rise, reaches_every_token
from longctx.tokens.stable_unicode import has_only_stable_characters
from tests.support.thorough import quick, thorough
from tests.support.vocabularies import Vocabularies

# The vocabulary that proves each pre-tokenizer; the demo model's own is the demo file.
PROOFS = {
    "gpt-2": "gpt-2",
    "llama-bpe": "llama-bpe",
    "qwen2": "qwen2",
    "qwen35": "qwen35",
    "starcoder": "starcoder",
    "refact": "refact",
    "command-r": "command-r",
    "smollm": "demo",
}
# One of each kind of expression; the others are one of these, or Qwen 2, whose digits are SmolLM's.
_TESTED = quick(sorted(PROOFS.values()), "demo", "llama-bpe")
# What pre-tokenizers stumble over: white space before digits, contractions, foreign digits,
# marks, line ends and joiners.
# fmt: off
_PIECES = (
    "'s", "'S", "'re", "'LL", "\u2019s", "'\u017f", "\u212a", "123", "4567", "12", "\u00b2",
    "\u00bd", "\u0663", "e\u0301", "日本", "한국", "नमस्ते", "😀", "👍🏽", "\u200d", "-=", "...",
    "Hello", "_", "\ufeff", " ", "  ", "   ", "\t", "\n", "\n\n", "  7", " \n 1", "\r\n", "\xa0",
    "\u3000", "\x85",
)
# fmt: on
# What the fast path may decline: control characters, and characters of Unicode 15 and 16.
_ODD = ("\x00", "\x0b", "\x1c", "\x7f", "\U0001fae8", "\u1c89", "\U00011bc0", "<|im_end|>")
_STABLE = [
    character
    for character in map(chr, range(0x30000))
    if not "\ud800" <= character <= "\udfff" and has_only_stable_characters(character)
]
_SERVED = st.one_of(
    st.sampled_from(_PIECES),
    st.sampled_from([character for character in _STABLE if character > "\xa0"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=4),
).filter(lambda piece: "<" not in piece)

Fast = Callable[[str], tuple[Model, FastTokenizer]]


@pytest.fixture(scope="module")
def fast(vocabulary: Vocabularies, demo: Model) -> Fast:
    """``fast("qwen2")``: a vocabulary and the fast path over it, built once."""

    @cache
    def build(name: str) -> tuple[Model, FastTokenizer]:
        model = demo if name == "demo" else vocabulary(name)
        tokenizer = FastTokenizer.for_model(model)
        assert tokenizer is not None
        return model, tokenizer

    return build


@thorough
def test_every_served_pre_tokenizer_has_a_proof(fast: Fast) -> None:
    """No pre-tokenizer is claimed without a vocabulary here that names it."""
    named = {pre: fast(name)[0].metadata()["tokenizer.ggml.pre"] for pre, name in PROOFS.items()}
    assert named == {pre: pre for pre in SERVED_PRE_TOKENIZERS}


@pytest.mark.parametrize("name", [name for name in _TESTED if name != "demo"])
def test_llama_cpp_vectors(name: str, fast: Fast, llama_cpp_models: Path) -> None:
    """Each of llama.cpp's own test vectors comes out as it says, none of them declined."""
    base = llama_cpp_models / f"ggml-vocab-{name}.gguf"
    expected = [
        [int(token) for token in line.split()]
        for line in base.with_name(f"{base.name}.out").read_text().splitlines()
    ]
    raw = base.with_name(f"{base.name}.inp").read_bytes().decode()
    texts = raw.split("\n__ggml_vocab_test__\n")[: len(expected)]
    assert len(texts) >= 40
    _, tokenizer = fast(name)
    assert [tokenizer.encode(text) for text in texts] == expected


@pytest.mark.parametrize("name", _TESTED)
@settings(max_examples=200, deadline=None)
@given(pieces=st.lists(_SERVED, min_size=20, max_size=80))
def test_equals_llama_cpp_over_served_unicode(name: str, fast: Fast, pieces: list[str]) -> None:
    """Any text of stable characters is served, with llama.cpp's ids."""
    model, tokenizer = fast(name)
    text = "".join(pieces)
    assert tokenizer.encode(text) == model.encode(text)


@pytest.mark.parametrize("name", _TESTED)
@settings(max_examples=100, deadline=None)
@given(pieces=st.lists(st.one_of(_SERVED, st.sampled_from(_ODD), st.text(max_size=4)), max_size=9))
def test_equals_llama_cpp_over_any_unicode(name: str, fast: Fast, pieces: list[str]) -> None:
    """Any text at all gets llama.cpp's ids, or is declined."""
    model, tokenizer = fast(name)
    text = "".join(pieces)
    ids = tokenizer.encode(text)
    assert ids is None or ids == model.encode(text)


@pytest.mark.parametrize("name", quick(["demo", "qwen35", "llama-bpe"], "demo"))
def test_every_character_is_classed_as_llama_cpp_does(name: str, fast: Fast) -> None:
    """All 100,000 characters that count as stable, each between spaces, letters and digits."""
    model, tokenizer = fast(name)
    assert len(_STABLE) > 100_000
    for start in range(0, len(_STABLE), 4_000):
        text = "".join(f" {c} a{c}1{c}\n" for c in _STABLE[start : start + 4_000])
        ids = tokenizer.encode(text)
        assert ids is None or ids == model.encode(text)
        # Control characters that SmolLM lacks sit in the first slice alone.
        assert ids is not None or start == 0


def test_a_long_document(fast: Fast) -> None:
    """The Python language reference, half a million characters, is exact."""
    model, tokenizer = fast("demo")
    text = "\n".join(topics.values())
    assert tokenizer.encode(text) == model.encode(text)


@pytest.mark.parametrize("unit", quick(["a", " ", "\n", "-=", "日", "1", "ab\n"], "a", " ", "ab\n"))
def test_endless_repetition(unit: str, fast: Fast) -> None:
    """A word or a gap of 300,000 characters neither fails nor differs."""
    model, tokenizer = fast("demo")
    text = unit * (300_000 // len(unit))
    assert tokenizer.encode(text) == model.encode(text)


def test_declines_what_it_cannot_prove(fast: Fast) -> None:
    """Young characters, special tokens' text and bytes without a token are left to llama.cpp."""
    _, tokenizer = fast("demo")
    assert tokenizer.encode("plain") is not None
    assert tokenizer.encode("a \u1c89 b") is None  # a letter since Unicode 16
    assert tokenizer.encode("a <|im_end|> b") is None
    missing = [byte for byte in range(32) if tokenizer.encode(chr(byte)) is None]
    assert missing  # SmolLM has no token for some control characters


@pytest.mark.parametrize("name", ["llama-spm", "bert-bge", "falcon", "mpt", "deepseek-llm"])
def test_other_vocabularies_are_not_served(name: str, vocabulary: Vocabularies) -> None:
    """SentencePiece, WordPiece and pre-tokenizers without a proof get None."""
    assert FastTokenizer.for_model(vocabulary(name)) is None


def test_merges_that_ranks_cannot_express(demo_gguf: Path, tmp_path: Path) -> None:
    """A file whose first merges are swapped still loads in llama.cpp, and is not served."""
    merges = read_string_arrays(demo_gguf, ["tokenizer.ggml.merges"])["tokenizer.ggml.merges"]
    path = tmp_path / "swapped.gguf"
    shutil.copy(demo_gguf, path)
    first, second = (len(merge).to_bytes(8, "little") + merge for merge in (merges[1], merges[2]))
    data = path.read_bytes()
    assert data.count(first + second) == 1
    path.write_bytes(data.replace(first + second, second + first))
    assert FastTokenizer.for_model(Model(path, vocab_only=True)) is None


def _ranks(*tokens: bytes) -> dict[bytes, int]:
    return {bytes([byte]): byte for byte in range(256)} | {
        token: 256 + index for index, token in enumerate(tokens)
    }


def test_merge_proofs() -> None:
    """Each proof accepts what it should, and refuses a list that tiktoken would misread."""
    ranks = _ranks(b"ab", b"bc", b"abc")
    trained = [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c")]
    assert ranks_rise(ranks, trained)
    assert reaches_every_token(ranks, trained)
    assert not lists_every_split(ranks, trained)
    assert lists_every_split(ranks, [*trained, (b"a", b"bc")])
    # "ab" comes before "bc", so "a"+"bc" never stands side by side: llama.cpp never makes
    # "abc" of it, and tiktoken would, out of "ab"+"c".
    assert not reaches_every_token(ranks, [(b"a", b"b"), (b"b", b"c"), (b"a", b"bc")])
    assert not ranks_rise(ranks, [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")])
    # Of equal merges the left one is first: "aaa" is "aa"+"a", never "a"+"aa".
    twice = _ranks(b"aa", b"aaa")
    assert reaches_every_token(twice, [(b"a", b"a"), (b"aa", b"a")])
    assert not reaches_every_token(twice, [(b"a", b"a"), (b"a", b"aa")])


def test_model_tokenizer_switches_without_a_difference(demo: Model) -> None:
    """Before and after the fast path is built, and with every flag, ids are llama.cpp's."""
    tokenizer = ModelTokenizer(demo)
    text = "\n".join(topics.values())[:300_000]
    before = tokenizer.encode(text)
    assert not tokenizer.is_fast
    after = tokenizer.encode(text)
    assert tokenizer.is_fast
    assert before == after == demo.encode(text)
    marked = text + "<|im_end|>"
    assert tokenizer.encode(marked) == demo.encode(marked)
    assert tokenizer.encode(marked, parse_special=True) == demo.encode(marked, parse_special=True)
    assert tokenizer.encode(text, add_special=True) == demo.encode(text, add_special=True)
    assert tokenizer.count(text) == len(before)
