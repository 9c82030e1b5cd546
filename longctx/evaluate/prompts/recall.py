"""The text that recall is measured on: numbered facts, evenly spread over natural prose.

Pure: a tokenizer, a text and a seed in, token ids and facts out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from longctx.arguments import whole
from longctx.errors import ContextOverflowError, RequestError
from longctx.evaluate.prompts.random_numbers import generator
from longctx.evaluate.prompts.texts import ADJECTIVES, NOUNS, stretch

Tokenize = Callable[[str], list[int]]

DIGITS = 5
MAX_FACTS = len(ADJECTIVES) * len(NOUNS)


@dataclass(frozen=True)
class Fact:
    """A number with a name: how it is stated, and how it is asked for.

    ``answer`` are the tokens that the model must produce behind ``question``; where a
    tokenizer merges the space before a number with its digits, that space belongs to them.
    """

    name: str
    number: str
    statement: tuple[int, ...]
    question: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True)
class RecallText:
    """``ids`` to prefill, and the facts in it: ``begins[i]`` is where ``facts[i]`` is stated."""

    ids: tuple[int, ...]
    facts: tuple[Fact, ...]
    begins: tuple[int, ...]


def build_facts(tokenize: Tokenize, n_facts: int, *, seed: int) -> tuple[Fact, ...]:
    """Draw facts: distinct names, uniform numbers of five digits.

    Raises:
        RequestError: ``n_facts`` is not between 1 and :data:`MAX_FACTS`.
    """
    if whole("n_facts", n_facts, least=1) > MAX_FACTS:
        raise RequestError(
            f"n_facts is {n_facts}; use 1 to {MAX_FACTS}, as many as there are names"
        )
    random = generator(seed)
    names = [f"{adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS]
    chosen = random.permutation(len(names))[:n_facts]
    numbers = random.integers(10 ** (DIGITS - 1), 10**DIGITS, n_facts)
    return tuple(
        _fact(tokenize, names[i], str(number)) for i, number in zip(chosen, numbers, strict=True)
    )


def build_recall_text(
    filler: Sequence[int], facts: Sequence[Fact], n_tokens: int, *, seed: int
) -> RecallText:
    """Lay facts out in prose.

    Args:
        filler: token ids of the prose.
        facts: from :func:`build_facts`; fact i of n is stated at (i + ½) / n of the text.
        n_tokens: exact length of the result.
        seed: draws which stretch of the prose is taken.

    Raises:
        DocumentError: the prose is too short.
        ContextOverflowError: ``n_tokens`` has no room for the facts.
    """
    stated = sum(len(fact.statement) for fact in facts)
    if 2 * stated > n_tokens:
        room = max(0, n_tokens)
        raise ContextOverflowError(
            f"{len(facts)} facts are {stated} tokens, and {room} are left for them and at least as "
            "much prose; ask for fewer facts, or measure a longer length",
            needed=2 * stated,
            available=room,
            n_ctx=room,
        )
    prose = stretch(filler, n_tokens - stated, seed)
    ids: list[int] = []
    begins: list[int] = []
    used = 0
    for i, fact in enumerate(facts):
        until = round((i + 0.5) / len(facts) * len(prose))
        ids += prose[used:until]
        begins.append(len(ids))
        ids += fact.statement
        used = until
    return RecallText(ids=(*ids, *prose[used:]), facts=tuple(facts), begins=tuple(begins))


def _fact(tokenize: Tokenize, name: str, number: str) -> Fact:
    question = f"\n\nThe number of the {name} is"
    asked, whole = tokenize(question), tokenize(f"{question} {number}")
    # Up to the space: models differ in whether it is a token, part of the number, or nothing.
    spaced = tokenize(f"{question} ")
    if whole[: len(spaced)] == spaced:
        asked = spaced
    return Fact(
        name=name,
        number=number,
        statement=tuple(tokenize(f"{question} {number}.\n\n")),
        question=tuple(whole[: len(asked)]),
        answer=tuple(whole[len(asked) :]),
    )
