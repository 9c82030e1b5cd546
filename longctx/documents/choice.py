"""Which strategy, and why."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias, get_args

from longctx.arguments import one_of

Strategy: TypeAlias = Literal["auto", "whole", "retrieve", "map_reduce", "refine"]

# "Summarise …", "What are the main points …": no passage answers them.
_ABOUT_EVERYTHING = re.compile(
    r"\b(summar(y|ies|i[sz]e\w*)|overview|outline|gist|tl;?dr|"
    r"(main|key|central|major) (points?|ideas?|themes?|topics?|arguments?|findings?)|"
    r"what (is|are) (this|these|the) (\w+ )?(documents?|texts?|books?|papers?|files?) about|"
    r"(whole|entire) (documents?|texts?|books?|papers?|files?)|"
    r"zusammenfass\w*|fass\w* .* zusammen|r[eé]sum(e[rz]?|é)\w*|resum(e|ir|en)\b)",
    re.IGNORECASE,
)


def check_strategy(strategy: object) -> None:
    """Refuse what is no :data:`Strategy`.

    Raises:
        RequestError: naming those that are.
    """
    one_of("strategy", strategy, get_args(Strategy))


def choose(
    strategy: Strategy, question: str, what: str, needed: int, budget: int
) -> tuple[Strategy, str]:
    """Resolve ``"auto"``, and say in words why.

    ``whole`` where everything fits. Otherwise ``map_reduce`` for a question that asks about
    everything by one of a few words (English, German, French, Spanish), and ``retrieve`` for
    any other. ``refine`` is never chosen: its calls wait for each other, and an early mistake
    stays.

    Args:
        strategy: what the user wants.
        question: the user's.
        what: was counted, in words.
        needed: its tokens.
        budget: of one window.
    """
    room = f"{what} are {needed:,} tokens"
    if strategy != "auto":
        return strategy, f"asked for; {room}, the budget is {budget:,}"
    if needed <= budget:
        return "whole", f"{room} and fit the budget of {budget:,}"
    too_large = f"{room}, more than the budget of {budget:,}"
    if match := _ABOUT_EVERYTHING.search(question):
        return "map_reduce", f'{too_large}; "{match[0]}" asks about all of it'
    return "retrieve", f"{too_large}; the question asks for something in it"
