"""Which strategy, and why."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from longctx.arguments import one_of
from longctx.documents.about_everything import about_everything

Strategy: TypeAlias = Literal["auto", "whole", "retrieve", "map_reduce", "refine"]


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
    everything (see :func:`~longctx.documents.about_everything.about_everything`), and ``retrieve``
    for any other. ``refine`` is never chosen: its calls wait for each other, and an early mistake
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
    if asked := about_everything(question):
        return "map_reduce", f'{too_large}; "{asked}" asks about all of it'
    return "retrieve", f"{too_large}; the question asks for something in it"
