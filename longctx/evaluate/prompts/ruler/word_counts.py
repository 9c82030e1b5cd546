"""Aggregation: common words of a list (cwe), frequent words of a coded text (fwe) (section 3)."""

from __future__ import annotations

from math import pi
from random import Random
from string import ascii_lowercase

from longctx.evaluate.prompts.ruler.invented import invented_word
from longctx.evaluate.prompts.ruler.task import Material, RulerTask, Sample

N_COMMON = 10
_SHORT = 4096  # below it the paper's code repeats words less often
_ZETA = pi**2 / 6  # Riemann's zeta at the exponent 2, which normalises the frequencies
_CODE_LETTERS = 6
_EXAMPLE_WORDS = 40  # of the worked example, half as many in short windows
_CWE = (
    "Below is a numbered list of words. In these words, some appear more often than others. "
    "Memorize the ones that appear most often.\n{context}\n"
    "Question: What are the 10 most common words in the above list?"
)
_CWE_BEGINNING = "Answer: The top 10 words that appear most often in the list are:"
_FWE = (
    "Read the following coded text and track the frequency of each coded word. Find the three "
    "most frequently appeared coded words. {context}\nQuestion: Do not provide any explanation. "
    "Please ignore the dots '....'. What are the three most frequently appeared words in the "
    "above coded text?"
)
_FWE_BEGINNING = (
    "Answer: According to the coded text above, the three most frequently appeared words are:"
)


def build_common_words(material: Material, size: int, random: Random) -> Sample:
    """Ten words many times among ``size`` others that come seldom, behind one worked example."""
    short = material.length < _SHORT
    example_words = random.sample(material.words, _EXAMPLE_WORDS // 2 if short else _EXAMPLE_WORDS)
    common, seldom = (3, 1) if short else (10, 3)
    example, answer = _numbered(example_words, common, seldom, random)
    shown = f"{_CWE.format(context=example)} {_CWE_BEGINNING} {_list(answer)}"
    common, seldom = (6, 1) if short else (30, 3)
    # The same words in the same order at every size: it adds to them at the end.
    words = random.sample(material.words, len(material.words))[: N_COMMON + size]
    words += _more_words(N_COMMON + size - len(words), random)
    context, references = _numbered(words, common, seldom, random)
    return Sample(f"{shown}\n{_CWE.format(context=context)}", _CWE_BEGINNING, references)


def build_frequent_words(material: Material, size: int, random: Random) -> Sample:
    """Some ``size`` coded words whose k-th most frequent comes size / (ζ(2)·k²) times.

    The most frequent of all is dots, which do not count.
    """
    n_vocabulary = max(material.length // 50, 4)
    vocabulary: list[str] = []
    seen: set[str] = set()
    while len(vocabulary) < n_vocabulary:
        word = "".join(random.choices(ascii_lowercase, k=_CODE_LETTERS))
        if word not in seen:
            seen.add(word)
            vocabulary.append(word)
    vocabulary[0] = "..."
    text = [
        word
        for rank, word in enumerate(vocabulary, start=1)
        for _ in range(int(size / (_ZETA * rank**2)))
    ]
    random.shuffle(text)
    prompt = _FWE.format(context=" ".join(text))
    return Sample(prompt, _FWE_BEGINNING, tuple(vocabulary[1:4]))


def _more_words(n: int, random: Random) -> list[str]:
    """Invented words, for windows longer than a text has different words for."""
    words: dict[str, None] = {}
    while len(words) < n:
        words[invented_word(random, 4)] = None
    return list(words)


def _numbered(
    words: list[str], common: int, seldom: int, random: Random
) -> tuple[str, tuple[str, ...]]:
    """A shuffled list "1. word 2. word …", and its common words."""
    entries = words[:N_COMMON] * common + words[N_COMMON:] * seldom
    random.shuffle(entries)
    return _list(entries), tuple(words[:N_COMMON])


def _list(words: list[str] | tuple[str, ...]) -> str:
    return " ".join(f"{i}. {word}" for i, word in enumerate(words, start=1))


COMMON_WORDS = RulerTask(
    name="cwe",
    answer_tokens=120,
    upper=lambda material: material.length if len(material.words) >= _EXAMPLE_WORDS else 0,
    build=build_common_words,
)
FREQUENT_WORDS = RulerTask(
    name="fwe",
    answer_tokens=50,
    upper=lambda material: material.length,
    build=build_frequent_words,
)
