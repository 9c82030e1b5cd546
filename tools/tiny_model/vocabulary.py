"""A byte-level BPE of 1,024 tokens, as GPT-2's, in which every digit stands alone."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from tokenizers.trainers import BpeTrainer

N_VOCAB = 1024
BOS, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL_TOKENS = (BOS, IM_START, IM_END)


class Vocabulary:
    """Text to token ids and back.

    Args:
        serialized: what :meth:`serialize` returned.
    """

    def __init__(self, serialized: str) -> None:
        self._tokenizer = Tokenizer.from_str(serialized)
        by_text = self._tokenizer.get_vocab()
        self.tokens = [*sorted(by_text, key=by_text.__getitem__), *CONTROL_TOKENS]
        self.bos, self.im_start, self.im_end = range(len(self.tokens) - 3, len(self.tokens))

    @classmethod
    def train(cls, lines: Iterable[str]) -> Vocabulary:
        """Learn the merges from a text."""
        tokenizer = Tokenizer(BPE())
        plain = ByteLevel(add_prefix_space=False)
        # Apart while training, so that no merge has a digit; GPT-2's own rule when encoding.
        tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), plain])
        tokenizer.train_from_iterator(
            lines,
            BpeTrainer(
                vocab_size=N_VOCAB - len(CONTROL_TOKENS),
                initial_alphabet=sorted(ByteLevel.alphabet()),
                show_progress=False,
            ),
        )
        tokenizer.pre_tokenizer = plain
        return cls(tokenizer.to_str())

    def serialize(self) -> str:
        """Return all of it as JSON."""
        return str(self._tokenizer.to_str())

    @property
    def merges(self) -> list[str]:
        """The merges as a GGUF holds them: ``"left right"``, first learnt first."""
        merges = json.loads(self.serialize())["model"]["merges"]
        return [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]

    def encode(self, text: str) -> NDArray[np.int64]:
        """Text to int64[n] ids, without BOS; control tokens are not parsed."""
        return np.array(self._tokenizer.encode(text).ids, dtype=np.int64)

    def encode_lines(self, lines: list[str]) -> list[NDArray[np.int64]]:
        """Each line with the line break before it, int64[n] ids."""
        encoded = self._tokenizer.encode_batch([f"\n{line}" for line in lines])
        return [np.array(line.ids, dtype=np.int64) for line in encoded]
