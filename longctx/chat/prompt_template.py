"""A chat template as text in, text out: compiled when it is first used, probed, and judged."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import cached_property, lru_cache, partial
from os import PathLike
from pathlib import Path
from typing import Any

from longctx.chat.calls.answer_reader import AnswerFormat
from longctx.chat.calls.probe import probe_answers
from longctx.chat.jinja_sandbox import (
    FULL_LIMITS,
    Limits,
    Render,
    compile_template,
    variables_of,
)
from longctx.chat.kept_renderings import KeptRenderings
from longctx.chat.named_templates import CHATML, NAMED_TEMPLATES, PASS_ANOTHER
from longctx.chat.seen_values import NotRecordableError
from longctx.chat.template_traits import TemplateTraits, probe_template
from longctx.errors import TemplateError

Plain = Sequence[Mapping[str, Any]]
_OWN_TOOLS = "functions"

logger = logging.getLogger("longctx.tokens")

# A dozen small conversations are rendered when a model is opened; a template that does not end
# must not hold that up.
_PROBE_LIMITS = Limits(steps=20_000, characters=1 << 20)
_QUESTION = {"role": "user", "content": "probe question"}
_MAX_FILE_BYTES = 1 << 20
_WORTH_KEEPING = 16
"""Messages; fewer are rendered in no time."""


class PromptTemplate:
    """Messages to the text of a prompt.

    Args:
        source: the Jinja text; None is ChatML.
        bos: text of the token that begins a text, which templates may write.
        eos: text of the token that ends one.
    """

    def __init__(self, source: str | None, *, bos: str = "<s>", eos: str = "</s>") -> None:
        self.source = CHATML if source is None else source
        self._is_given = source is not None
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._kept = KeptRenderings()
        self._records = True

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        *,
        add_generation_prompt: bool = True,
        options: Mapping[str, Any] | None = None,
        keep: bool = False,
    ) -> str:
        """Render.

        Args:
            messages: of the conversation, as dicts.
            tools: what the model may call.
            add_generation_prompt: end where the assistant's message begins.
            options: the template's own variables, such as ``enable_thinking``.
            keep: whether the conversation will come again, longer: what the template would write
                of it as before, by all that it read and set, is then not rendered again.

        Raises:
            TemplateError: the source is no valid Jinja, or it refuses the messages or fails.
        """
        # Some look through the whole conversation for each of its messages (Gemma 4).
        limits = replace(FULL_LIMITS, steps=FULL_LIMITS.steps + 2 * len(messages) ** 2)
        variables = self._variables(messages, tools, add_generation_prompt, options)
        if keep and len(messages) >= _WORTH_KEEPING and self._records:
            try:
                return self._kept.render(partial(self._compiled, variables, limits), messages)
            except NotRecordableError:
                self._records = False
            except TemplateError:  # which it may raise of the messages, or of being recorded
                pass
        return self._compiled(variables, limits)

    @cached_property
    def variables(self) -> frozenset[str]:
        """Names that the template looks up."""
        return variables_of(self.source)

    @cached_property
    def answers(self) -> AnswerFormat:
        """How the model writes answers: calls, reasoning, words."""

        def render(messages: Plain, tools: Any, prompted: bool) -> str:
            return self._render(messages, tools, prompted, _PROBE_LIMITS)

        if not self._is_given:
            return AnswerFormat()
        return probe_answers(render, self.source, text_arguments=self.traits.text_arguments)

    @cached_property
    def traits(self) -> TemplateTraits:
        """What the template can do."""
        return probe_template(self._probe, self.source)

    @cached_property
    def losses(self) -> tuple[str, ...]:
        """What goes wrong with this template, each with what to do; empty for most."""
        if not self._is_given:
            return (
                "The model file has no chat template: ChatML is used, and answers may suffer if "
                f"the model was trained on another; {PASS_ANOTHER}.",
            )
        try:
            self._probe([_QUESTION], None)
        except TemplateError as error:
            return (f"No plain conversation can be rendered (plain text still works): {error}.",)
        if not self.traits.keeps_questions:
            return (
                "The chat template drops words of the user; a conversation that would lose them is "
                f"refused (TemplateError). Instead, {PASS_ANOTHER}.",
            )
        if not self.traits.keeps_answers:
            return (
                "The chat template drops the assistant's earlier answers: the model does not see "
                f"what it has said. Instead, {PASS_ANOTHER}.",
            )
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is done otherwise than asked, and loses nothing."""
        if self.losses or self.traits.system_role:
            return ()
        return (
            "The chat template refuses or drops system messages: they are put at the head of the "
            "user's first message.",
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Losses and notes, as a plan shows them."""
        return (*self.losses, *self.notes)

    def announce(self, model: str) -> tuple[str, ...]:
        """Log what goes wrong, once for a model's name, and return :attr:`warnings`."""
        for loss in self.losses:
            _log_once(logging.WARNING, f"{model}: {loss}")
        for note in self.notes:
            _log_once(logging.INFO, f"{model}: {note}")
        return self.warnings

    def _probe(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
    ) -> str:
        return self._render(messages, tools, True, _PROBE_LIMITS)

    def _render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        add_generation_prompt: bool,
        limits: Limits,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        variables = self._variables(messages, tools, add_generation_prompt, options)
        return self._compiled(variables, limits)

    def _variables(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        add_generation_prompt: bool,
        options: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        variables = {
            **(options or {}),
            "messages": messages,
            "tools": self._no_tools if tools is None else tools,
            "add_generation_prompt": add_generation_prompt,
            **self._tokens,
        }
        if _OWN_TOOLS in self.variables:
            variables |= _firefunction(tools)
        return variables

    @cached_property
    def _no_tools(self) -> list[Any] | None:
        """What stands for none: some templates go through them without a look (Command R+)."""
        nothing: list[Any] | None
        for nothing in (None, []):
            variables: dict[str, Any] = {
                "messages": [_QUESTION],
                "tools": nothing,
                "add_generation_prompt": True,
            }
            with suppress(TemplateError):
                self._compiled({**variables, **self._tokens, **_firefunction(None)}, _PROBE_LIMITS)
                return nothing
        return None

    @cached_property
    def _compiled(self) -> Render:
        return compile_template(self.source)


def _firefunction(tools: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Its template has its tools as text, and today's date, in variables of their own."""
    return {
        "functions": json.dumps(tools, indent=4, ensure_ascii=False) if tools else "",
        "datetime": f"{date.today():%B %d %Y}",
    }


@lru_cache(maxsize=256)  # a calibration opens one model a hundred times
def _log_once(level: int, text: str) -> None:
    logger.log(level, "%s", text)


def find_template(given: str | PathLike[str]) -> str:
    """The Jinja text that ``chat_template=`` stands for.

    Args:
        given: a name of :data:`NAMED_TEMPLATES`, Jinja text, or the path of a file that holds it.

    Raises:
        TemplateError: it is none of these, the file cannot be read, or it is no valid Jinja.
    """
    if isinstance(given, str) and given in NAMED_TEMPLATES:
        return NAMED_TEMPLATES[given]
    is_text = isinstance(given, str) and any(mark in given for mark in ("{{", "{%", "{#"))
    source = str(given) if is_text else _read(given)
    compile_template(source)
    return source


def _read(path: str | PathLike[str]) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
        if len(data) > _MAX_FILE_BYTES:
            raise ValueError(f"it has more than {_MAX_FILE_BYTES} bytes, which no template has")
        return data.decode()
    except (OSError, TypeError, ValueError) as error:  # ValueError: no UTF-8, a NUL in the path
        raise TemplateError(
            f"chat_template is {str(path)[:80]!r}: no name of a template, no Jinja text, and no "
            f"file that can be read ({error}); {PASS_ANOTHER}"
        ) from error
