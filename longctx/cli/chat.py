"""``longctx chat``: a conversation in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from longctx.cli.output import errors, prefill_bar, say, show_cost, show_plan
from longctx.errors import LongCtxError

if TYPE_CHECKING:
    from longctx.llm import LongContextLLM
    from longctx.types import Message


def chat(
    model: Annotated[
        str | None, typer.Argument(help="A GGUF file. Default: the demo model.")
    ] = None,
    target_ctx: Annotated[int, typer.Option(help="The window it may grow to.")] = 32_768,
    method: Annotated[str, typer.Option(help="As in `longctx plan`.")] = "auto",
    system: Annotated[str | None, typer.Option(help="A system message.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Room for each answer.")] = 512,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
) -> None:
    """Talk to a model; the window grows with the conversation.

    /exit or Ctrl-D ends it, Ctrl-C stops an answer. Lines can be piped in.
    Example: `echo "What is RoPE?" | longctx chat`
    """
    from longctx.llm import LongContextLLM
    from longctx.types import Message

    history = [Message(role="system", content=system)] if system else []
    with LongContextLLM(model, target_ctx, method=method, reserve_output=max_tokens) as llm:
        if sys.stdin.isatty():
            show_plan(llm.plan)
        while (line := _read_line()) is not None:
            if not line.strip():
                continue
            turn = Message(role="user", content=line)
            try:
                answer = _answer(llm, [*history, turn], max_tokens, temperature)
            except LongCtxError as error:
                errors.print(str(error), markup=False, style="red")
                continue
            if answer is not None:
                history += [turn, answer]


def _read_line() -> str | None:
    try:
        line = input("> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        return None
    return None if line.strip() in ("/exit", "/quit") else line


def _answer(
    llm: LongContextLLM, messages: list[Message], max_tokens: int, temperature: float
) -> Message | None:
    try:
        with prefill_bar("reading") as progress:
            chunks = llm.stream_chat(
                messages, max_tokens=max_tokens, temperature=temperature, on_progress=progress
            )
            result = say(chunks)
        show_cost(result)
        return result.message
    except KeyboardInterrupt:
        errors.print("\n(stopped; this turn is forgotten)")
    return None
