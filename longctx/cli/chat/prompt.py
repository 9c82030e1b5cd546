"""The prompt of a chat: several lines, history, completion, and the window's state below."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings
from prompt_toolkit.styles import Style

from longctx.cli.chat.commands import COMMANDS
from longctx.cli.chat.history import KeptHistory
from longctx.cli.streams import text_of
from longctx.files import state_folder


class Prompt:
    """Reads messages from somebody at a terminal.

    Args:
        status: a line about the conversation.
        keeps_history: find what was typed in earlier sessions, and keep what is typed in this one.
    """

    has_keys = True

    def __init__(self, status: Callable[[], str], *, keeps_history: bool) -> None:
        path = state_folder() / "chat_history"
        self._status = status
        self._hint = ""
        self._session: PromptSession[str] = PromptSession(
            "> ",
            multiline=True,
            prompt_continuation="  ",
            history=KeptHistory(path) if keeps_history else InMemoryHistory(),
            completer=CommandCompleter(),
            # Room for the menu is kept only where there can be one.
            complete_while_typing=Condition(lambda: get_app().current_buffer.text.startswith("/")),
            key_bindings=merge_key_bindings([_keys(), self._interrupts()]),
            enable_open_in_editor=True,
            enable_suspend=True,
            style=Style.from_dict({"bottom-toolbar": "noreverse dim"}),
        )
        # Without the history, keys and completion of messages.
        self._questions: PromptSession[str] = PromptSession()
        # A terminal that does not say where its cursor is has no line below; it needs no warning.
        for session in (self._session, self._questions):
            session.app.renderer.cpr_not_supported_callback = None

    def read(self) -> str | None:
        """The next message; Ctrl-C begins it anew, Ctrl-D is the end."""
        while True:
            try:
                return self._message()
            except EOFError:
                return None
            except KeyboardInterrupt:  # before the prompt had the keys: for an answer that is over
                continue

    def _message(self) -> str:
        status, self._hint = self._status(), ""  # once, and not for each key
        return text_of(self._session.prompt(bottom_toolbar=lambda: status + self._hint))

    def ask(self, question: str) -> str:
        """What is answered to a question."""
        return text_of(self._questions.prompt(question))

    def _interrupts(self) -> KeyBindings:
        """Ctrl-C empties the prompt, which stays: keys typed between one prompt and the next, as a
        Ctrl-D just after, are the terminal's own and would be lost."""
        keys = KeyBindings()

        @keys.add("c-c", filter=has_focus(DEFAULT_BUFFER))
        @keys.add("<sigint>")
        def _ctrl_c(event: KeyPressEvent) -> None:
            event.current_buffer.reset()
            self._hint = " · Ctrl-D ends"

        return keys


@contextmanager
def silent_keys() -> Iterator[None]:
    """Keep what is typed out of what is printed: the next prompt has it."""
    try:
        import termios
    except ImportError:  # Windows shows what is typed where it is read
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def _is_conversation(path: str) -> bool:
    return not path.endswith(".kv")  # a KV cache, which is named by its conversation


_FILES = PathCompleter(expanduser=True, file_filter=_is_conversation)


class CommandCompleter(Completer):
    """Completes a command's name, and the file that follows it."""

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """What the text before the cursor may become."""
        text = document.text_before_cursor
        name, space, rest = text.partition(" ")
        if "\n" in document.text or not text.startswith("/"):
            return
        if not space:
            for each in COMMANDS:
                if each.name.startswith(name):
                    whole = f"{each.name} " if each.argument else each.name
                    yield Completion(whole, -len(name), display=each.name, display_meta=each.text)
        elif any(each.name == name and each.argument for each in COMMANDS):
            here = rest.lstrip()
            yield from _FILES.get_completions(Document(here, len(here)), complete_event)


def _keys() -> KeyBindings:
    keys = KeyBindings()
    typing = has_focus(DEFAULT_BUFFER)  # and not searching the history

    @keys.add("enter", filter=typing)
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        chosen = buffer.complete_state and buffer.complete_state.current_completion
        if chosen and chosen.text.endswith(" "):
            buffer.complete_state = None  # its file follows
        elif buffer.document.is_cursor_at_the_end and buffer.text.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("tab", filter=typing)
    def _tab(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        asked = CompleteEvent(completion_requested=True)
        found = list(buffer.completer.get_completions(buffer.document, asked))
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_next()
        elif len(found) == 1:
            buffer.apply_completion(found[0])
        else:
            buffer.start_completion(insert_common_part=True)

    @keys.add("escape", "enter", filter=typing)
    def _alt_enter(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return keys
