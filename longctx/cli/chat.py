"""``longctx chat``: a conversation in the terminal."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longctx.cli.opening import ModelOrDemo, opens_model
from longctx.cli.output import (
    MaxTokensOption,
    ThinkingOption,
    closed_after,
    errors,
    out,
    prefill_bar,
    print_json_line,
    show_plan,
)
from longctx.cli.run_shown import show_run
from longctx.cli.sampling import conversation_options, takes_sampling
from longctx.cli.streams import text_of
from longctx.cli.tool_file import load_tools
from longctx.errors import LongCtxError

if TYPE_CHECKING:
    from longctx.agents import Agent, McpTools, ToolLike
    from longctx.llm import LongContextLLM

HELP = """\
/context     what stands in the window, by section
/save FILE   write the conversation (JSON, and its KV cache beside it)
/load FILE   go on with a conversation from a file
/help        this
/exit        the end; so is Ctrl-D. Ctrl-C stops an answer"""


@opens_model
@takes_sampling
def chat(
    model: ModelOrDemo = None,
    thinking: ThinkingOption = None,
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
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each answer, and /context, as a line of JSON.")
    ] = False,
    *,
    opening: dict[str, Any],
    sampling: dict[str, Any],
) -> None:
    """Talk to a model; the window grows with the conversation, and is compacted when it is full.

    /help lists what can be typed besides: /context, /save FILE, /load FILE. Lines can be piped in.
    Example: `echo "What is RoPE?" | longctx chat`
    """
    from longctx.llm import LongContextLLM

    callable_: list[ToolLike] = [each for file in tools or [] for each in load_tools(file)]
    with ExitStack() as servers, LongContextLLM(model, **opening) as llm:
        callable_ += [servers.enter_context(_opened(address)) for address in mcp or []]
        if sys.stdin.isatty() and not as_json:
            show_plan(llm.plan)
            out.print("/help lists what can be typed besides.")
        options = conversation_options(llm.sampling_defaults, sampling)
        options |= {"thinking": thinking, "max_tokens": max_tokens}
        talk = _Talk(llm, callable_, text_of(system or ""), options, as_json=as_json)
        while (line := _read_line()) is not None:
            try:
                talk.take(line.strip())
            except LongCtxError as error:
                errors.print(str(error), markup=False, style="red")
            except KeyboardInterrupt:
                errors.print("\n(stopped; this turn is forgotten)")


def _opened(address: str) -> McpTools:
    from longctx.agents import mcp

    server = mcp(text_of(address), confirm="changes")
    for refused in server.refused:
        errors.print(f"{server.name}: {refused.name} is left out: {refused.reason}", markup=False)
    return server


def _read_line() -> str | None:
    try:
        line = input("> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        return None
    return None if line.strip() in ("/exit", "/quit") else line


class _Talk:
    """What is said to the agent, and what is said about it."""

    def __init__(
        self,
        llm: LongContextLLM,
        tools: list[ToolLike],
        system: str,
        options: dict[str, Any],
        *,
        as_json: bool,
    ) -> None:
        from longctx.agents import Agent

        self._llm, self._tools, self._options = llm, tools, options
        self._as_json = as_json
        # With JSON on stdout, what is said about the conversation goes to stderr.
        self._aside = errors if as_json else out
        self._agent: Agent = Agent(llm, tools, system)

    def take(self, line: str) -> None:
        """Answer a line, or do what its command says."""
        command = re.match(r"/[a-z]+(?!\S)", line)
        if command:
            self._command(command[0], line[command.end() :].strip())
        elif line:
            with prefill_bar("reading") as progress:
                options = {**self._options, "on_progress": progress}
                if self._as_json:
                    print_json_line(self._agent.run(line, **options))
                else:
                    with closed_after(self._agent.stream(line, **options)) as events:
                        show_run(events)

    def _command(self, name: str, argument: str) -> None:
        from longctx.agents import Agent

        if name == "/context" and self._as_json:
            print_json_line(self._agent.context)
        elif name == "/context":
            out.print(str(self._agent.context), markup=False)
        elif name == "/help":
            self._aside.print(HELP, markup=False)
        elif name == "/save" and argument:
            self._agent.save(argument)
            self._aside.print(
                f"{len(self._agent.transcript)} messages in {argument}",
                markup=False,
                soft_wrap=True,
            )
        elif name == "/load" and argument:
            self._agent = Agent.load(argument, self._llm, self._tools)
            self._aside.print(
                f"{len(self._agent.transcript)} messages from {argument}",
                markup=False,
                soft_wrap=True,
            )
        else:
            errors.print(f"{name} {argument} is no command:\n{HELP}", markup=False)
