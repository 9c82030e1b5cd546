"""A tiktoken encoding out of a GGUF's own vocabulary, five times as fast as llama.cpp.

llama.cpp is the authority: this serves only the vocabularies and the texts for which both
are proved to give the same ids, and says so where it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from longctx._native import Model
from longctx.tokens.gguf_arrays import read_string_arrays
from longctx.tokens.merge_check import lists_every_split, ranks_rise, reaches_every_token
from longctx.tokens.special_tokens import SpecialTokens
from longctx.tokens.stable_unicode import has_only_stable_characters

if TYPE_CHECKING:
    import tiktoken

_TOKENS, _MERGES = "tokenizer.ggml.tokens", "tokenizer.ggml.merges"

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# llama.cpp cuts out each digit first, so white space before one has no neighbour on its
# right and stays whole: `\s+(?=\p{N})` before `\s+(?!\S)`.
_DIGITS_FIRST = (
    r"\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+"
)
_CONTRACTIONS = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
_LLAMA3 = (
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace("{1,3}", "")
_QWEN35 = (
    _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

SERVED_PRE_TOKENIZERS = {
    "gpt-2": _GPT2,
    "llama-bpe": _LLAMA3,
    "qwen2": _QWEN2,
    "qwen35": _QWEN35,
    "smollm": _DIGITS_FIRST,
    "starcoder": _DIGITS_FIRST,
    "refact": _DIGITS_FIRST,
    "command-r": _DIGITS_FIRST,
}
"""Regular expressions by ``tokenizer.ggml.pre``: those proved against llama.cpp's vectors."""

# llama.cpp takes a word that is a token whole, whatever its merges would make of it.
_IGNORES_MERGES = frozenset({"llama-bpe"})


class FastTokenizer:
    """Encodes text as llama.cpp does with special tokens off, or declines to.

    Use :meth:`for_model`.
    """

    def __init__(self, encoding: tiktoken.Encoding, special: SpecialTokens, n_vocab: int) -> None:
        self._encoding = encoding
        self._special = special
        self._n_vocab = n_vocab

    @classmethod
    def for_model(cls, model: Model) -> FastTokenizer | None:
        """Build the encoding; 0.3 s for 50,000 tokens, 1 s for 150,000.

        Returns:
            None where exactness is not proved: a tokenizer that is no byte-level BPE, a
            pre-tokenizer not in :data:`SERVED_PRE_TOKENIZERS`, or merges that ranks cannot
            express.
        """
        metadata = model.metadata()
        pre = metadata.get("tokenizer.ggml.pre", "")
        if metadata.get("tokenizer.ggml.model") != "gpt2" or pre not in SERVED_PRE_TOKENIZERS:
            return None
        special = SpecialTokens.of(model)
        ranks = _exact_ranks(model, special, ignores_merges=pre in _IGNORES_MERGES)
        if ranks is None:
            return None
        import tiktoken  # most processes never count a text that is long enough for it

        encoding = tiktoken.Encoding(
            f"longctx-{pre}",
            pat_str=SERVED_PRE_TOKENIZERS[pre],
            mergeable_ranks=ranks,
            special_tokens={},
        )
        return cls(encoding, special, model.n_vocab)

    def encode(self, text: str) -> list[int] | None:
        """Return the ids, or None for a text that llama.cpp must tokenise.

        That is one with characters whose class differs between versions of Unicode, with
        the text of a special token, or with bytes that the vocabulary lacks.
        """
        if not has_only_stable_characters(text) or self._special.occur_in(text):
            return None
        ids = self._encoding.encode_ordinary(text)
        return ids if max(ids, default=0) < self._n_vocab else None


def _exact_ranks(
    model: Model, special: SpecialTokens, *, ignores_merges: bool
) -> dict[bytes, int] | None:
    """Token bytes to id, if merging by lowest id is proved to be what llama.cpp does."""
    arrays = read_string_arrays(model.path, (_TOKENS, _MERGES))
    spelled = arrays.get(_TOKENS, [])
    ids = {text: token for token, text in enumerate(spelled)}
    if len(ids) != model.n_vocab:
        return None  # two tokens share a text
    # Bytes without a token get ids past the vocabulary, for encode() to notice.
    ranks = {
        bytes([byte]): ids.get(letter.encode(), model.n_vocab + byte)
        for letter, byte in _BYTE_OF.items()
    }
    merges = []
    for entry in arrays.get(_MERGES, []):
        left, _, right = entry.partition(b" ")
        token = ids.get(left + right)
        pair = _to_bytes(left), _to_bytes(right)
        if token is None or pair[0] is None or pair[1] is None:
            return None
        merges.append((pair[0], pair[1]))
        ranks[pair[0] + pair[1]] = token
    proved = ranks_rise(ranks, merges) and (
        reaches_every_token(ranks, merges) or (ignores_merges and lists_every_split(ranks, merges))
    )
    if ignores_merges:
        # A token outside the merges could still be a whole word.
        found = {token.id for token in special.tokens} | set(ranks.values())
        proved = proved and all(token in found for token in range(model.n_vocab))
    return ranks if proved else None


def _to_bytes(letters: bytes) -> bytes | None:
    """Undo byte-level BPE's spelling; None for text that is not spelled so."""
    try:
        return letters.decode("utf-8").translate(_TO_LATIN_1).encode("latin-1")
    except UnicodeError:
        return None


def _byte_letters() -> dict[str, int]:
    """GPT-2's letters for bytes: printable Latin-1 for itself, the rest from U+0100 on.

    Source: ``bytes_to_unicode`` of OpenAI's GPT-2 encoder.
    """
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {
        chr(0x100 + index): byte for index, byte in enumerate(others)
    }


_BYTE_OF = _byte_letters()
# What is no letter for a byte becomes a character that Latin-1 lacks.
_TO_LATIN_1 = dict.fromkeys(range(256), 65535) | {
    ord(letter): byte for letter, byte in _BYTE_OF.items()
}
