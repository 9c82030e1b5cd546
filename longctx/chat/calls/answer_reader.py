"""An answer, read while it is written: what is reasoning, what is said, and what is a call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from longctx.chat.calls.events import (
    CallBegun,
    CallBroken,
    CallEnded,
    CallWritten,
    Heard,
    Said,
    Thought,
)
from longctx.chat.calls.feed import Feed, Wait
from longctx.chat.calls.format import BARE, BARE_LIST, CallFormat
from longctx.chat.calls.reader import CallReader, NoCall, Tools

_FENCE = "```"


@dataclass(frozen=True)
class AnswerFormat:
    """How a family of models writes answers.

    Attributes:
        calls: of tools.
        thinking: the marks around reasoning; None where the model has none.
        wrapping: marks around what is said, which are not shown.
        channels: whether every part has a header instead (:mod:`longctx.chat.calls.channels`).
        heads: marks that a prompt may end with and that belong to the answer.
        resumes: what stands between reasoning and the part that follows it.
        speaks: the head of what is said.
        in_header: with channels, how a call goes on from whom a header is for; None where calls
            are markup in a message.
        headed: with channels, calls with their headers, as they are written where one must come;
            None where ``calls`` has them.
        also: another form that they may come in: the family's own, where the model was asked for
            another because its template knows no tools.
    """

    calls: CallFormat = BARE
    thinking: tuple[str, str] | None = None
    wrapping: tuple[str, ...] = ()
    channels: bool = False
    heads: tuple[str, ...] = ()
    resumes: str = ""
    speaks: str = ""
    in_header: CallFormat | None = None
    headed: CallFormat | None = None
    also: CallFormat | None = None

    @property
    def with_one_call(self) -> AnswerFormat:
        """The same with room for one call in an answer."""
        headed = None if self.headed is None else replace(self.headed, many=False)
        return replace(self, calls=replace(self.calls, many=False), headed=headed)

    def head(self, prompt: str) -> str:
        """The mark of reasoning, or of a call, that a prompt ends with; the answer follows it."""
        marks = [self.thinking[0]] if self.thinking is not None else []
        marks += [mark for mark in self.heads if mark]
        return next((mark for mark in marks if prompt.rstrip().endswith(mark.strip())), "")

    def is_closed(self, prompt: str) -> bool:
        """Whether a prompt ends behind reasoning, so that the answer is to have none."""
        return self.thinking is not None and prompt.rstrip().endswith(self.thinking[1].strip())


class Reader(ABC):
    """Hears one answer piece by piece: :meth:`_read` is written as if all of it were there."""

    def __init__(self) -> None:
        self._feed = Feed()
        self._heard: list[Heard] = []
        self._reading: Generator[None, None, None] | None = self._read()

    @abstractmethod
    def _read(self) -> Wait[None]:
        """Read the feed, and append to what was heard."""

    def push(self, text: str) -> list[Heard]:
        """Take what was written next.

        Args:
            text: control tokens by their text.

        Returns:
            What it turned out to be, as far as that is certain.
        """
        self._feed.text += text
        return self._go_on()

    def end(self) -> list[Heard]:
        """Say that nothing follows; what was held back is told."""
        self._feed.has_ended = True
        return self._go_on()

    def _go_on(self) -> list[Heard]:
        if self._reading is not None:
            try:
                next(self._reading)
            except StopIteration:
                self._reading = None
        heard = list(self._heard)
        self._heard.clear()
        return heard


class AnswerReader(Reader):
    """Reads one answer.

    Args:
        style: how the model writes.
        tools: name to parameters of the tools that may be called; with none, what looks like a
            call is text.
        head: marks of an answer that the prompt ends with (:meth:`AnswerFormat.head`).
    """

    def __init__(self, style: AnswerFormat, tools: Tools, *, head: str = "") -> None:
        super().__init__()
        self._style = style
        self._tools = tools
        self._feed.text = head
        self._n_fences = 0
        self._said_last = ""
        forms = [style.calls] if style.also is None else [style.calls, style.also]
        self._calls = {
            mark: CallReader(form, tools, self._heard.append)
            for form in (forms if tools else ())
            for mark in form.begins
        }

    # What follows what

    def _read(self) -> Wait[None]:
        thinking = self._style.thinking
        if thinking is not None and (yield from self._feed.accept(thinking[0])):
            yield from self._thought()
        for mark in self._style.wrapping:
            yield from self._feed.accept(mark)
        if self._tools and not self._style.calls.begins:
            yield from self._whole_call(self._style.calls)
        yield from self._answer()

    def _whole_call(self, calls: CallFormat) -> Wait[None]:
        """Of a format without marks only what begins the answer can be a call."""
        start = self._feed.at
        yield from self._feed.skip_space()
        first = yield from self._feed.peek(1)
        form = BARE_LIST if first == "[" else calls
        reader = CallReader(form, self._tools, self._heard.append)
        if first in ("{", "[") and (yield from self._section(reader)):
            return
        self._feed.at = start

    def _answer(self) -> Wait[None]:
        feed, style = self._feed, self._style
        begins = self._calls
        thinking = style.thinking or ("", "")
        opening, closing = thinking[0].strip(), thinking[1].strip()
        marks = [mark.strip() for mark in (*begins, opening, closing, *style.wrapping) if mark]
        at_start = True
        while True:
            if at_start:
                yield from feed.skip_space()
            mark = yield from feed.until(marks, self._say, hold_space=True)
            space, start = feed.held, feed.at
            if mark is None:
                self._say(space)
                return
            if mark in begins and not self._in_fence:
                if (yield from self._section(begins[mark])):
                    at_start = True
                    continue
                feed.at = start
            elif mark == opening:
                feed.at += len(mark)
                self._say(space)
                yield from self._thought()
                at_start = True
                continue
            elif mark in (closing, *style.wrapping):
                feed.at += len(mark)
                at_start = True
                continue
            # It only looked like the beginning of something.
            self._say(space + mark[0])
            feed.at = start + 1
            at_start = False

    def _section(self, reader: CallReader) -> Wait[int]:
        """Read calls that begin here; 0 where there are none."""
        try:
            return (yield from reader.section(self._feed))
        except NoCall:
            return 0

    def _thought(self) -> Wait[None]:
        """Reasoning, up to its mark. Calls in it are text, unless they end the answer."""
        feed = self._feed
        assert self._style.thinking is not None, "who thinks has marks for it"
        opening, closing = (mark.strip() for mark in self._style.thinking)
        begins = self._calls
        yield from feed.skip_space()
        if (yield from feed.stands(opening)):  # the prompt had it already
            yield from feed.accept(opening)
            yield from feed.skip_space()
        for spoken in self._style.wrapping:  # the prompt opened a thought, and the model speaks
            if (yield from feed.stands(spoken)):
                return
        mark = yield from feed.until([closing, *begins], self._think, hold_space=True)
        if mark in begins:
            space, start = feed.held, feed.at
            quoted: list[str] = []
            if (yield from feed.until([closing], quoted.append)) is None:
                feed.at = start
                if (yield from self._section(begins[mark])):
                    return
                self._think(space + "".join(quoted))
                feed.at = len(feed.text)
                return
            self._think(space + "".join(quoted).rstrip())
            mark = closing
        if mark == closing:
            feed.at += len(closing)

    # Telling

    def _say(self, text: str) -> None:
        if text:
            # A fence may come in pieces.
            said = self._said_last + text
            self._n_fences += said.count(_FENCE) - self._said_last.count(_FENCE)
            self._said_last = said[-2:]
            self._heard.append(Said(text))

    def _think(self, text: str) -> None:
        if text:
            self._heard.append(Thought(text))

    @property
    def _in_fence(self) -> bool:
        """Whether a code block is open: calls quoted in it are text."""
        return self._n_fences % 2 == 1


@dataclass(frozen=True)
class ReadCall:
    """A call, as it was written."""

    name: str
    call_id: str
    arguments: str


@dataclass(frozen=True)
class ReadAnswer:
    """What a whole answer was."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ReadCall, ...] = ()

    def with_heard(self, heard: Sequence[Heard]) -> ReadAnswer:
        """The same with what was heard next; a call counts when it is whole."""
        text, reasoning, calls = self.text, self.reasoning, list(self.calls)
        for event in heard:
            match event:
                case Said(piece):
                    text += piece
                case Thought(piece):
                    reasoning += piece
                case CallBegun(name, call_id):
                    calls.append(ReadCall(name, call_id, ""))
                case CallWritten(piece):
                    calls[-1] = replace(calls[-1], arguments=calls[-1].arguments + piece)
                case CallBroken():
                    calls.pop()
                case CallEnded():
                    pass
        return ReadAnswer(text, reasoning, tuple(calls))


def read_answer(text: str, style: AnswerFormat, tools: Tools, *, head: str = "") -> ReadAnswer:
    """Read a whole answer at once."""
    reader = AnswerReader(style, tools, head=head)
    return ReadAnswer().with_heard([*reader.push(text), *reader.end()])
