"""What is said to an agent, and what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from longctx.cli.chat.commands import EXITS, command_of, help_text
from longctx.cli.chat.run_shown import show_run
from longctx.cli.chat.server_prompts import filled_in, listed
from longctx.cli.chat.words import PlainWords, Words
from longctx.cli.output import closed_after, errors, out, prefill_bar, print_json_line
from longctx.cli.streams import inert
from longctx.errors import LongCtxError, RequestError
from longctx.files import at_home

if TYPE_CHECKING:
    from longctx.agents import Agent, McpTools, ToolLike
    from longctx.agents.conversation import Conversation
    from longctx.cli.chat.lines import Lines
    from longctx.protocols import ChatModel
    from longctx.types import Progress


class Talk:
    """A conversation, line by line.

    Args:
        llm: the model.
        tools: what it may call.
        system: the system message, or nothing.
        options: of each answer.
        words: shows answers; None prints their text as it is.
        as_json: print each answer as a line of JSON.
    """

    def __init__(
        self,
        llm: ChatModel,
        tools: list[ToolLike],
        system: str = "",
        options: dict[str, Any] | None = None,
        words: Words | None = None,
        *,
        as_json: bool = False,
    ) -> None:
        self._llm, self._tools, self._system = llm, tools, system
        self._options = options or {}
        self._words = words or PlainWords()
        self._as_json = as_json
        # With JSON on stdout, what is said about the conversation goes to stderr.
        self._aside = errors if as_json else out
        self._agent = self._new_agent()

    @property
    def status(self) -> str:
        """Tokens, window, method and turns, in a line; the first matter most."""
        now = self._agent.context
        turns = sum(message.role == "user" for message in self._agent.transcript)
        parts = [f"{now.total_tokens:,} of {now.n_ctx or now.target_ctx:,} tokens"]
        if now.n_ctx and now.n_ctx < now.target_ctx:
            parts.append(f"grows to {now.target_ctx:,}")
        if now.scale > 1:
            parts.append(f"{now.method} s = {now.scale:.3g}")
        parts.append("1 turn" if turns == 1 else f"{turns} turns")
        return " · ".join(parts)

    def go_on(self, lines: Lines) -> None:
        """Take every line there is, until one says that it is the end."""
        while (line := lines.read()) is not None and line.strip() not in EXITS:
            try:
                self._take(line.strip(), lines)
            except LongCtxError as error:
                errors.print(str(error), markup=False, style="red")
            except KeyboardInterrupt:
                errors.print("(stopped; this turn is forgotten, /retry asks again)")

    def _take(self, message: str, lines: Lines) -> None:
        command = command_of(message)
        if command:
            self._command(*command, lines)
        elif message:
            self._ask(message, lines)

    def _ask(self, message: str, lines: Lines) -> None:
        with prefill_bar("reading") as bar:

            def progress(now: Progress) -> None:
                self._words.pause()  # the bar is drawn where the answer is
                bar(now)

            options = {**self._options, "on_progress": progress}
            if self._as_json:
                print_json_line(self._agent.run(message, **options))
            else:
                with closed_after(self._agent.stream(message, **options)) as events:
                    show_run(events, self._words, lines.ask)

    def _command(self, name: str, argument: str, lines: Lines) -> None:
        if name == "/context" and self._as_json:
            print_json_line(self._agent.context)
        elif name == "/context":
            out.print(str(self._agent.context), markup=False)
        elif name == "/help":
            self._aside.print(help_text(keys=lines.has_keys), markup=False)
        elif name == "/save" and argument:
            self._agent.save(at_home(argument))
            self._say(f"{len(self._agent.transcript)} messages in {argument}")
        elif name == "/load" and argument:
            self._load(at_home(argument))
            self._say(f"{len(self._agent.transcript)} messages from {argument}")
        elif name == "/prompt" and argument:
            self._say_prompt(argument, lines)
        elif name == "/prompt":
            self._say(inert(listed(self._servers)))
        elif name == "/clear":
            self._agent = self._new_agent()
            self._say("a new conversation")
        elif name == "/undo":
            taken = self._last_question(self._agent.conversation.without_unfinished())
            self._go_back()
            self._say(f"taken back: {' '.join(taken.split())[:60]}")
        elif name == "/retry":
            question = self._last_question(self._agent.conversation)
            if not self._agent.unfinished:
                self._go_back()
            self._ask(question, lines)
        else:
            said = f"{name} {argument} is no command:\n{help_text(keys=lines.has_keys)}"
            errors.print(said, markup=False)

    def _say_prompt(self, typed: str, lines: Lines) -> None:
        *before, asked = filled_in(self._servers, typed)
        said = self._agent.conversation.without_unfinished()
        for message in before:
            said = said.added(message)
        if before:
            self._agent.go_on(said.finish())
        self._aside.print(inert(asked.content), markup=False, style="dim", soft_wrap=True)
        self._ask(asked.content, lines)

    @property
    def _servers(self) -> list[McpTools]:
        from longctx.agents import McpTools

        return [each for each in self._tools if isinstance(each, McpTools)]

    def _say(self, text: str) -> None:
        self._aside.print(text, markup=False, soft_wrap=True)

    def _new_agent(self) -> Agent:
        from longctx.agents import Agent

        return Agent(self._llm, self._tools, self._system)

    def _load(self, file: Path) -> None:
        from longctx.agents import Agent

        self._agent = Agent.load(file, self._llm, self._tools)

    def _last_question(self, conversation: Conversation) -> str:
        for message in reversed(conversation.transcript):
            if message.role == "user":
                return message.content
        raise RequestError("nothing was asked yet; type a question first")

    def _go_back(self) -> None:
        """To where the last question that was answered was not asked yet."""
        self._agent.go_on(self._agent.conversation.without_last_turn())
