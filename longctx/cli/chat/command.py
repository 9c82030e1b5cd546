"""``longctx chat``: a conversation in the terminal."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longctx.cli.chat.lines import is_interactive, open_lines
from longctx.cli.chat.talk import Talk
from longctx.cli.chat.words import answer_words
from longctx.cli.opening import ModelOrDemo, opens_model
from longctx.cli.output import (
    MaxTokensOption,
    ThinkingBudgetOption,
    ThinkingOption,
    errors,
    out,
    show_plan,
)
from longctx.cli.sampling import conversation_options, takes_sampling
from longctx.cli.streams import text_of
from longctx.cli.tool_file import load_tools

if TYPE_CHECKING:
    from longctx.agents import McpTools, ToolLike


@opens_model
@takes_sampling
def chat(
    model: ModelOrDemo = None,
    thinking: ThinkingOption = None,
    thinking_budget: ThinkingBudgetOption = None,
    system: Annotated[str | None, typer.Option(help="A system message.")] = None,
    tools: Annotated[
        list[Path] | None,
        typer.Option(help="A Python file with functions decorated with @tool; can be repeated."),
    ] = None,
    mcp: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COMMAND_OR_URL",
            help="An MCP server whose tools the model may call, such as 'npx -y @scope/server' or "
            "http://localhost:8000/mcp; can be repeated. What may change something is asked for.",
        ),
    ] = None,
    max_tokens: MaxTokensOption = None,
    markdown: Annotated[
        bool,
        typer.Option(
            help="Show Markdown as headings, lists, tables and code. In a pipe it is always as the "
            "model wrote it."
        ),
    ] = True,
    history: Annotated[
        bool,
        typer.Option(help="Find what was typed in earlier sessions, and keep what is typed now."),
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each answer, and /context, as a line of JSON.")
    ] = False,
    *,
    opening: dict[str, Any],
    sampling: dict[str, Any],
) -> None:
    """Talk to a model; the window grows with the conversation, and is compacted when it is full.

    On a terminal Alt-Enter, or a backslash before Enter, begins a new line; Up and Ctrl-R find what
    was typed before, Tab completes, Ctrl-C stops an answer, Ctrl-D ends. /help lists the commands:
    /context, /retry, /undo, /clear, /prompt NAME, /save FILE, /load FILE. In a pipe each line is a
    message. Example: `echo "What is RoPE?" | longctx chat`
    """
    from longctx.llm import LongContextLLM

    callable_: list[ToolLike] = [each for file in tools or [] for each in load_tools(file)]
    with ExitStack() as servers, LongContextLLM(model, **opening) as llm:
        callable_ += [servers.enter_context(_opened(address)) for address in mcp or []]
        if is_interactive() and not as_json:
            llm.warm_up()  # while the first message is typed
            show_plan(llm.plan)
            out.print("/help lists what can be typed besides.")
        options = conversation_options(llm.sampling_defaults, sampling)
        options |= {"thinking": thinking, "thinking_budget": thinking_budget}
        options |= {"max_tokens": max_tokens}
        words = answer_words(markdown=markdown)
        talk = Talk(llm, callable_, text_of(system or ""), options, words, as_json=as_json)
        with open_lines(lambda: talk.status, keeps_history=history) as lines:
            talk.go_on(lines)


def _opened(address: str) -> McpTools:
    from longctx.agents import mcp

    server = mcp(text_of(address), confirm="changes", ask=True)
    for refused in server.refused:
        errors.print(f"{server.name}: {refused.name} is left out: {refused.reason}", markup=False)
    return server
