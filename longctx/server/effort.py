"""OpenAI's ``reasoning_effort``, which some clients send to every model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from longctx.server.served import ServedModel

logger = logging.getLogger("longctx.server")


def with_effort(
    llm: ServedModel, options: Mapping[str, Any], effort: bool | str | None
) -> dict[str, Any]:
    """The options of a call with the effort that was asked for, as far as the model has it.

    A template that can only switch thinking on is told to think. One without a switch gets
    nothing: a client that sends its effort to whatever model is no less answered.

    Args:
        llm: the model.
        options: of the call.
        effort: False or how much; None says nothing.
    """
    if effort is None:
        return dict(options)
    for thinking in (effort, True) if effort else (False,):
        if llm.has_thinking_switch(thinking):
            return {**options, "thinking": thinking}
    _say_once()
    return dict(options)


@cache
def _say_once() -> None:
    logger.warning("reasoning_effort has no effect: the chat template has no switch for it")
