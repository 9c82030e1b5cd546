"""What the model is shown next: the policy's word, checked."""

from __future__ import annotations

from dataclasses import dataclass

from longctx.agents.events import Compacted, Recalled
from longctx.agents.policies import Policy, difference, name_of
from longctx.agents.validity import check_view
from longctx.agents.view import View
from longctx.errors import ContextOverflowError


@dataclass(frozen=True)
class Arranged:
    """What came of it.

    Attributes:
        view: what is shown from now on.
        log: what the policy did.
        avoidable: why the cache is lost for nothing; empty where it is not.
    """

    view: View
    log: tuple[Compacted | Recalled, ...]
    avoidable: str = ""


def arrange(before: View, policy: Policy, *, is_endless: bool) -> Arranged:
    """Let a policy say what is shown.

    Args:
        before: what is shown, with what came since.
        policy: says it.
        is_endless: the model's window takes more than it holds.

    Raises:
        ContextOverflowError: even so it does not fit.
        TemplateError: the policy broke the conversation.
    """
    name, avoidable = name_of(policy), ""
    after = policy(before)
    if after.shown != before.shown:
        check_view(before, after, name)
    log = after.log
    if not log and _lost_from_cache(before, after):
        # A policy that does not wait until the window is full loses the cache for nothing.
        log = after.logged(name, before.tokens, difference(before, after)).log
        if before.tokens <= before.room_tokens:
            avoidable = (
                f"the policy {name} took something out although all {before.tokens} tokens "
                f"fit the {before.room_tokens} there are; wrap it in policies.when_full"
            )
    if not is_endless and after.tokens > after.room_tokens:
        raise _overflow(after)
    return Arranged(after, log, avoidable)


def _lost_from_cache(before: View, after: View) -> bool:
    """Whether more changed than what arrived just now: clamped results, words with passages."""
    arrived = ("clamped", "recalled")
    kept = [shown for shown in after.shown if shown.state not in arrived]
    held = {shown.index for shown in after.shown if shown.state in arrived}
    return kept != [shown for shown in before.shown if shown.index not in held]


def _overflow(view: View) -> ContextOverflowError:
    reserve = view.llm.target_ctx - view.room_tokens
    needed = view.tokens + reserve
    return ContextOverflowError(
        f"the conversation is {view.tokens} tokens and its answer may take {reserve}, {needed} in "
        f"all, but target_ctx is {view.llm.target_ctx}, and the policy leaves nothing else out. "
        "Say it shorter, let tools return less, lower max_tokens, use fewer tools or a shorter "
        "system prompt, or construct the model with a larger target_ctx. Nothing was cut.",
        needed=needed,
        available=view.llm.target_ctx,
        n_ctx=view.llm.target_ctx,
    )
