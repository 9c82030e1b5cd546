"""Whether a question asks for something that the documents do not have."""

from __future__ import annotations

import re
from collections.abc import Iterable

from longctx.search.words import ASKING, LONG, words_of

MIN_RELEVANCE = 0.22
"""Cosine of the nearest sentence, by the packaged embedder, of questions whose words the documents
have not; docs/rag.md has what it was measured on."""
MIN_RELEVANCE_OF_A_FACT = 0.28
"""The same, of a question for a fact, which is less vague."""

_BEGINNING = 5  # two words are the same by so many letters
_ASKS = re.compile(
    r"(?:who|whom|whose|what|when|where|which|why|how|is|are|was|were|do|does|did|can|could|has"
    r"|have|had|will|would|should|may|might|must)\b",
    re.IGNORECASE,
)
# What is asked of whoever answers, or of the documents as such, need not stand in them.
_ASKS_FOR_WORK = re.compile(
    r"\b(?:you|your|me|us|please|this|these|texts?|documents?|files?|pages?|articles?|papers?"
    r"|above|everything|summary|mean|means|translat\w+)\b",
    re.IGNORECASE,
)


def asks_for_a_fact(question: str) -> bool:
    """Whether an English question asks for something that a text says, in two telling words or
    more, and not for work on the text ("Can you translate this?").

    Examples:
        >>> asks_for_a_fact("Who is the president of Brazil?")
        True
        >>> asks_for_a_fact("What do you think of this?")
        False
    """
    question = question.strip().rpartition("\n")[2]  # of a follow-up, the last
    is_question = bool(_ASKS.match(question)) and not _ASKS_FOR_WORK.search(question)
    return is_question and len(telling(question)) > 1


def telling(question: str) -> set[str]:
    """The beginnings of the words that tell what an English question is about."""
    return {
        word[:_BEGINNING] for word in words_of(question) if len(word) >= LONG and word not in ASKING
    }


def is_strange(question: str, texts: Iterable[str]) -> bool:
    """Whether most of what a question asks about is named in no text. A vague one ("Where is it?")
    is not strange, though no sentence is near it."""
    asked = telling(question)
    left = set(asked)
    for text in texts:
        if len(left) * 2 < max(1, len(asked)):
            return False
        left -= {word[:_BEGINNING] for word in words_of(text)}
    return len(left) * 2 >= max(1, len(asked))


def least_relevance(question: str) -> float:
    """What the nearest sentence must come to, for a strange question to be answered."""
    return MIN_RELEVANCE_OF_A_FACT if asks_for_a_fact(question) else MIN_RELEVANCE
