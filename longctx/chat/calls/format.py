"""How a family of models writes calls of tools: data that a reader and a grammar are made from.

White space at the edges of a mark is what the chat template writes; models leave it out or add
some, so a reader looks for a mark without it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeAlias

from longctx.chat.calls.feed import parts_of


@dataclass(frozen=True)
class ObjectBody:
    """A JSON object that holds the name and the arguments, between other fields perhaps.

    ``{"name": …, "arguments": {…}}``: Hermes, Qwen, Mistral Nemo, Llama 3, Command R.

    Attributes:
        name: key of the name; "" where the name itself is the key of the arguments (Apertus).
        arguments: key of the arguments.
        call_id: key of a call's id, where calls have one.
        id_first: whether it stands first, and counts (Command R).
    """

    name: str = "name"
    arguments: str = "arguments"
    call_id: str = ""
    id_first: bool = False


@dataclass(frozen=True)
class NamedBody:
    """The name, a separator, and the arguments as a JSON object: Functionary, Kimi K2, DeepSeek.

    Attributes:
        separator: between the two. :data:`NUMBER` in it stands for the call's number,
            :data:`CALL_ID` for its id, and :data:`HEADER` for the rest of a header (gpt-oss).
    """

    separator: str


@dataclass(frozen=True)
class ParametersBody:
    """The name, and each argument between marks of its own: Qwen3-Coder, GLM, MiniMax, DeepSeek.

    Text is written as it is, anything else as JSON.

    Attributes:
        named: between the name and what follows.
        opening: before an argument's name.
        of_text: between the name and the value of one that is text.
        of_json: the same, of one that is not.
        closing: behind the value; :data:`KEY` in it stands for the argument's name (MiniMax M3).
    """

    named: str
    opening: str
    of_text: str
    of_json: str
    closing: str


@dataclass(frozen=True)
class PythonBody:
    """``name(key=value, …)``, values as Python or JSON writes them: LFM2, Llama 4, Gemma 3."""


@dataclass(frozen=True)
class BracesBody:
    """``name{key:value,…}`` with keys bare and text between marks: Gemma 4.

    Attributes:
        quote: the mark on both sides of text.
    """

    quote: str


Body: TypeAlias = ObjectBody | NamedBody | ParametersBody | PythonBody | BracesBody

NUMBER, CALL_ID, KEY, HEADER, NAME = "\ue000", "\ue001", "\ue002", "\ue003", "\ue004"
"""Placeholders inside marks: characters of the private use area, which no template writes."""


@dataclass(frozen=True)
class CallFormat:
    """How calls are written.

    Attributes:
        body: the name and the arguments of one.
        opening: before each call; :data:`NAME` in it stands for the tool's name (Muse).
        closing: behind each.
        between: between two of them, beside their own marks.
        section: before the first; "" where calls stand by themselves.
        section_end: behind the last.
        many: whether one answer may have several.
    """

    body: Body
    opening: str = ""
    closing: str = ""
    between: str = ""
    section: str = ""
    section_end: str = ""
    many: bool = True

    @property
    def from_mark(self) -> CallFormat:
        """The same without white space before the first mark; between calls it stays."""
        if self.section.strip():
            return replace(self, section=self.section.lstrip())
        opening = self.opening.lstrip()
        space = self.opening[: len(self.opening) - len(opening)]
        return replace(self, section="", opening=opening, between=self.between + space)

    @property
    def begins(self) -> tuple[str, ...]:
        """What tells that calls follow; none where only a whole answer can be one.

        Models leave out the section's mark, or the first of the two that stand before a call.
        """
        heads = [_head(self.section), _head(self.opening)]
        if len(parts := parts_of(self.opening)) > 1 and parts[-1].startswith("<"):
            heads.append(parts[-1])
        return tuple(dict.fromkeys(filter(None, heads)))


def _head(mark: str) -> str:
    return next(iter(parts_of(re.split(f"[{NUMBER}{CALL_ID}]", mark)[0])), "")


BARE = CallFormat(ObjectBody(), many=False)
"""A JSON object that is the whole answer: Llama 3, and tools that were described in words."""
BARE_LIST = CallFormat(ObjectBody(), section="[", between=", ", section_end="]")
"""Several of them, as the same models write them unasked."""
HERMES = CallFormat(ObjectBody(), opening="<tool_call>\n", closing="\n</tool_call>", between="\n")
"""Hermes 2 and Qwen 2.5."""
