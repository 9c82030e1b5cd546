"""Markdown as it comes."""

from __future__ import annotations

import io
import itertools

import pytest

pyte = pytest.importorskip("pyte")

from hypothesis import given, settings  # noqa: E402  # after what another system lacks
from hypothesis import strategies as st  # noqa: E402
from rich.console import Console  # noqa: E402

from longctx.cli.chat.markdown_words import MarkdownWords  # noqa: E402
from longctx.cli.chat.words import PlainWords  # noqa: E402
from longctx.cli.output import Terminal  # noqa: E402

BLOCKS = (
    "# A heading",
    "A paragraph of **several** words,\nand a line that `the model` ended.",
    "- one\n- two\n\n  and more of two\n- three",
    "1. first\n\n2. second\n\n10. tenth",
    "```python\ndef f():\n\n    return 1\n```",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "> quoted\n> twice",
    "---",
    "    indented\n    code",
    "another\u2028line",
    "\n".join(f"* item {number}" for number in range(15)),
)


def on_terminal(pieces: list[str], *, ends: bool = True) -> list[str]:
    """All lines of a small terminal on which the pieces came."""
    written = io.StringIO()
    console = Console(
        file=written, force_terminal=True, width=30, height=8, color_system="standard"
    )
    words = MarkdownWords(console)
    for piece in pieces:
        words.add(piece)
    if ends:
        words.end()
    screen = pyte.HistoryScreen(30, 8, history=1000, ratio=0.01)
    pyte.Stream(screen).feed(written.getvalue().replace("\n", "\r\n"))
    above = ["".join(row[x].data for x in range(30)) for row in screen.history.top]
    lines = [line.rstrip() for line in [*above, *screen.display]]
    return "\n".join(lines).rstrip().split("\n")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=4),
    st.lists(st.integers(1, 12), min_size=1, max_size=8),
)
def test_what_is_left_is_the_same_however_it_came(blocks: list[str], lengths: list[int]) -> None:
    """Drawing leaves nothing behind, and each block is there once."""
    text = "\n\n".join(blocks)
    pieces, rest = [], text
    for length in itertools.cycle(lengths):
        if not rest:
            break
        pieces.append(rest[:length])
        rest = rest[length:]
    assert on_terminal(pieces) == on_terminal([text])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b>bold</b> & <think>so</think>", ["<b>bold</b> &", "<think>so</think>"]),
        ("<div>\nhtml\n</div>", ["<div>", "html", "</div>"]),
        ("![a](http://x/y.png)", ["!a (http://x/y.png)"]),
        ("[a](http://x)", ["a (http://x)"]),
        ("[1]: http://x", ["[1]: http://x"]),
        ("one\ntwo", ["one", "two"]),
        ("a\r\nb", ["a", "b"]),
        ("\x1b[2Jred\x07", ["�[2Jred�"]),
        ("# Head\n## Sub", ["Head", "", "Sub"]),
        ("```c\nx;\n", ["```c", "x;", "```"]),
        ("1 < 2 [x] *", ["1 < 2 [x] *"]),
        (":smile: [red]x[/red]", [":smile: [red]x[/red]"]),
        (" \n\n", [""]),
    ],
)
def test_no_word_is_lost(text: str, shown: list[str]) -> None:
    """What Markdown hides, and what rich has no element for, is shown as it is written."""
    assert on_terminal([text]) == shown


def test_a_terminal_obeys_nothing_that_is_shown() -> None:
    """Whoever wrote it: a model, a document, the name of a file; a pipe has it as it is."""
    for stays in (True, False):
        written = io.StringIO()
        terminal = Terminal(file=written, force_terminal=not stays, color_system=None)
        terminal.print("a\x1b]0;x\x9bb", end="", markup=False)
        assert written.getvalue() == ("a\x1b]0;x\x9bb" if stays else "a\ufffd]0;x\ufffdb")


def test_a_pipe_has_the_words_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Tabs of a Makefile among them."""
    for piece in ("all:\n", "\t", "cc x.c\x0c", "\ta\tb\n"):
        PlainWords().add(piece)
    assert capsys.readouterr().out == "all:\n\tcc x.c\x0c\ta\tb\n"


def test_a_block_is_drawn_before_it_is_finished() -> None:
    """As much of its end as the terminal has."""
    assert on_terminal(["Some wo"], ends=False) == ["Some wo"]
    tail = on_terminal(["\n".join(f"- item {number}" for number in range(20))], ends=False)
    assert tail == [f" • item {number}" for number in range(14, 20)]
