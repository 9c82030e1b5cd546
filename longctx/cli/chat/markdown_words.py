"""A model's words as Markdown on a terminal, of which what is finished stays."""

from __future__ import annotations

import re
import time
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import CodeBlock, Heading, HorizontalRule, Markdown, MarkdownElement
from rich.rule import Rule
from rich.segment import Segment, SegmentLines
from rich.syntax import Syntax
from rich.text import Text

from longctx.cli.output import shown_on

# What rich would leave out is shown as it is written: HTML, addresses of images, definitions.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
_PARSER.disable(["image", "reference"])
_EVERY_S = 0.08
_SHARE = 10
"""Drawing takes a tenth of the time at most: the model needs the processor, too."""


class MarkdownWords:
    """Markdown on a terminal.

    A block (a paragraph, a list, code, a table) is printed for good when the next one begins; until
    then its last lines are drawn again and again, no more of them than the terminal has. So nothing
    is drawn twice into what has scrolled away.

    Args:
        console: the terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open = ""  # of the block that may go on
        self._has_blocks = False  # above it, of this answer
        self._live: Live | None = None
        self._next_drawing = 0.0

    def add(self, text: str) -> None:
        """Some more of it."""
        self._open += shown_on(self._console, text.replace("\r", ""))
        if "\n" in text:
            self._print_finished()
        self._draw()

    def pause(self) -> None:
        """Take away what is not finished; it is drawn again with the next piece."""
        if self._live is not None:
            self._live.update("")
            self._live.stop()
            self._live = None
            self._next_drawing = 0.0

    def end(self) -> None:
        """Print what is left; the next answer is another text."""
        self.pause()
        if self._open.strip():
            self._print(self._open)
        self._open, self._has_blocks = "", False

    def _print_finished(self) -> None:
        # Of whole lines: a "2" that stands alone would be a paragraph, and "2." goes on a list.
        end = self._open.rindex("\n") + 1
        *finished, last = _blocks(self._open[:end]) or [""]
        if finished:
            self._open = last + self._open[end:]
            if self._live is not None:
                self._live.update("")
            self._print("".join(finished))

    def _print(self, text: str) -> None:
        if self._has_blocks:
            self._console.print()
        self._console.print(SegmentLines(self._lines(text), new_lines=True), end="")
        self._has_blocks = True

    def _draw(self) -> None:
        started = time.monotonic()
        if started < self._next_drawing or not self._open.strip():
            return
        lines = self._lines(self._open)
        if self._has_blocks:
            lines.insert(0, [])
        # Two less than the terminal has: taking them away moves the cursor a line further.
        drawn = SegmentLines(lines[-max(1, self._console.height - 2) :], new_lines=True)
        if self._live is None:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="crop",
            )
            self._live.start()
        self._live.update(drawn, refresh=True)
        now = time.monotonic()
        self._next_drawing = now + max(_EVERY_S, _SHARE * (now - started))

    def _lines(self, text: str) -> list[list[Segment]]:
        """A text as lines, without spaces at their ends, and one empty line between blocks."""
        lines: list[list[Segment]] = []
        for block in _blocks(text):
            drawn = self._console.render_lines(_Rendered(block), self._console.options, pad=False)
            stripped = [_without_end(line) for line in drawn]
            filled = [number for number, line in enumerate(stripped) if line]
            if filled:
                lines += [[]] if lines else []
                lines += stripped[filled[0] : filled[-1] + 1]
        return lines


def _without_end(line: list[Segment]) -> list[Segment]:
    kept = list(line)
    while kept and not kept[-1].text.strip():
        kept.pop()
    if kept:
        text, style, control = kept.pop()
        kept.append(Segment(text.rstrip(), style, control))
    return kept


def _parsed(text: str) -> list[Token]:
    tokens = _PARSER.parse(text)
    for token in tokens:
        for child in token.children or ():
            if child.type == "softbreak":  # a model that ends a line means it
                child.type = "hardbreak"
    return tokens


def _blocks(text: str) -> list[str]:
    """A text's blocks, one behind another; together they are the text."""
    starts = [
        token.map[0]
        for token in _parsed(text)
        if token.map and token.level == 0 and token.nesting >= 0
    ]
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)  # as Markdown counts them
    ends = [*starts[1:], len(lines)]
    return ["".join(lines[start:end]) for start, end in zip([0, *starts[1:]], ends, strict=False)]


class _PlainHeading(Heading):
    """Left, and without a frame."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.text


class _FencedCode(CodeBlock):
    """Between its fences, and nothing before its lines: it is there to be copied."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        named = "" if self.lexer_name == "text" else self.lexer_name
        yield Text(f"```{named}", style="dim")
        yield Syntax(
            str(self.text).rstrip(),
            self.lexer_name,
            theme="ansi_dark",  # the terminal's own colours
            background_color="default",
            word_wrap=True,
        )
        yield Text("```", style="dim")


class _PlainRule(HorizontalRule):
    new_line = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Rule(style="dim", characters="-")


class _Rendered(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _PlainHeading,
        "fence": _FencedCode,
        "code_block": _FencedCode,
        "hr": _PlainRule,
    }

    def __init__(self, text: str) -> None:
        # Addresses are shown, not hidden behind words.
        super().__init__(text, hyperlinks=False)
        self.parsed = _parsed(text)
