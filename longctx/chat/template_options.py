"""The switches that chat templates have: whether to think, how much, and what else they look up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from longctx.errors import RequestError

_GIVEN = frozenset((
    "messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "raise_exception",
    "strftime_now", "namespace", "range", "dict", "lipsum", "cycler", "joiner", "functions",
    "datetime",
))  # fmt: skip
"""What every template is given, Jinja's own names among it."""
_WHETHER = ("enable_thinking", "thinking")
"""Qwen 3, GLM, Gemma 4, Nemotron; DeepSeek V3.1, Granite, Kimi."""
_HOW_MUCH = ("reasoning_effort", "thinking_effort", "thinking_mode")
"""gpt-oss, Solar, MiniMax and DeepSeek V4."""


def template_options(
    variables: frozenset[str], thinking: Any, options: Any
) -> Mapping[str, Any] | None:
    """The variables that a template is rendered with besides the conversation.

    Args:
        variables: that it looks up.
        thinking: True, False or how much; None leaves it to the template.
        options: others, by name; None is none.

    Returns:
        None where there are none.

    Raises:
        RequestError: it has no such switch, or they are no variables.
    """
    out: dict[str, Any] = {}
    if thinking is not None:
        out |= _switches(variables, thinking)
    if options is not None:
        if not isinstance(options, Mapping):
            raise RequestError(
                f"template_options is a {type(options).__name__}; pass a dict of variable names"
            )
        for name in options:
            if not isinstance(name, str) or name not in variables or name in _GIVEN:
                known = ", ".join(sorted(variables - _GIVEN)) or "none"
                raise RequestError(
                    f"the chat template looks up no variable {name!r}; it has {known}"
                )
        out |= options
    return out or None


def _switches(variables: frozenset[str], thinking: Any) -> dict[str, Any]:
    found: dict[str, Any]
    other: tuple[str, ...]
    if isinstance(thinking, bool):
        found = {name: thinking for name in _WHETHER if name in variables}
        other, form = _HOW_MUCH, "thinking='low'"
    elif isinstance(thinking, str) and thinking:
        found = {name: thinking for name in _HOW_MUCH if name in variables}
        if found:
            found |= {name: True for name in _WHETHER if name in variables}
        other, form = _WHETHER, "thinking=True or False"
    else:
        raise RequestError(f"thinking is {thinking!r}; use True, False, or how much ('low')")
    if not found:
        has = f"; pass {form} instead" if variables & set(other) else ""
        raise RequestError(
            f"thinking is {thinking!r}, and the chat template has no switch for it{has}, or leave "
            "it out"
        )
    return found
