"""A conversation to the exact token ids that are prefilled."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from longctx._native import Model
from longctx.tokens.control_tokens import ControlTokens, map_strings, strings_in
from longctx.tokens.template_engine import compile_template, run_template
from longctx.tokens.tool_prompt import call_text, check_tools, describe_tools, result_text
from longctx.types import Message, ToolSchema

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_REMEMBERED = 256


@dataclass(frozen=True)
class RenderedPrompt:
    """A prompt as text and as the ids that are prefilled; ``tail`` follows its last control token."""

    text: str
    ids: list[int]
    tail: str = ""
    tail_ids: tuple[int, ...] = ()


class ChatTemplate:
    """A model's chat template, rendered so that content never becomes a control token.

    Args:
        source: the Jinja template; None is ChatML, for files without one.
        model: whose tokens are wanted; ``vocab_only`` is enough.

    Raises:
        TemplateError: the template is no valid Jinja.
    """

    def __init__(self, source: str | None, model: Model) -> None:
        self._model = model
        self._template = compile_template(source or CHATML)
        self._control = ControlTokens(model)
        self._remembered: OrderedDict[str, list[int]] = OrderedDict()

    @cached_property
    def supports_tools(self) -> bool:
        """Whether the template itself tells the model about tools."""
        name = "a_name_that_no_template_contains"
        tool = {"type": "function", "function": {"name": name, "description": "", "parameters": {}}}
        turn = [{"role": "user", "content": "x"}]
        return name in self._run(turn, [tool], add_generation_prompt=True)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema] | None = None,
        *,
        add_generation_prompt: bool = True,
    ) -> RenderedPrompt:
        """Render a conversation.

        Args:
            messages: oldest first.
            tools: OpenAI-style schemas. Where the template knows no tools they are described
                in the system message.
            add_generation_prompt: end with the opening of the assistant's turn.

        Raises:
            TemplateError: the template refuses the messages.
            ToolError: a tool schema is malformed.
        """
        checked = check_tools(tools or ())
        turns = [message.to_template() for message in messages]
        if not self.supports_tools:
            turns = _without_tool_roles(turns)
            if checked:
                turns = _with_tool_description(turns, describe_tools(checked))
                checked = []
        given = (turns, checked)
        sentinel = self._control.free_sentinel(strings_in(given))
        turns, checked = map_strings(given, lambda text: self._control.disarm(text, sentinel))
        text = self._run(turns, checked or None, add_generation_prompt=add_generation_prompt)
        return self._tokenise(text, sentinel)

    def remember(self, prompt: RenderedPrompt, text: str, ids: Sequence[int]) -> None:
        """Note which ids the model generated after a prompt.

        When the answer comes back as a message, these ids stand for it again: tokenising its
        text anew may give others, and everything behind them would be prefilled again.
        """
        if not text or not ids:
            return
        key = prompt.tail + text
        self._remembered[key] = [*prompt.tail_ids, *ids]
        self._remembered.move_to_end(key)
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)

    def _run(self, turns: Any, tools: Any, *, add_generation_prompt: bool) -> str:
        bos, eos = (
            "" if token is None else self._model.token_text(token).decode("utf-8", "replace")
            for token in (self._model.bos, self._model.eos)
        )
        return run_template(
            self._template,
            messages=turns,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            bos_token=bos,
            eos_token=eos,
        )

    def _tokenise(self, text: str, sentinel: str) -> RenderedPrompt:
        ids: list[int] = []
        tail = ""
        tail_ids: tuple[int, ...] = ()
        for part in self._control.split(text):
            if isinstance(part, int):
                ids.append(part)
                tail, tail_ids = "", ()
                continue
            tail_ids = tuple(self._fragment(part, sentinel))
            tail = part.replace(sentinel, "")
            ids.extend(tail_ids)
        if self._model.adds_bos and self._model.bos is not None and ids[:1] != [self._model.bos]:
            ids.insert(0, self._model.bos)
        return RenderedPrompt(text.replace(sentinel, ""), ids, tail, tail_ids)

    def _fragment(self, fragment: str, sentinel: str) -> list[int]:
        plain = fragment.replace(sentinel, "")
        if plain in self._remembered:
            self._remembered.move_to_end(plain)
            return self._remembered[plain]
        # User-defined markup is matched even in plain text: its broken halves go apart.
        if sentinel in fragment and self._is_matched(plain):
            return [token for half in fragment.split(sentinel) for token in self._encode(half)]
        return self._encode(plain)

    def _is_matched(self, plain: str) -> bool:
        return bool(set(self._encode(plain)) & set(self._control.ids.values()))

    def _encode(self, text: str) -> list[int]:
        return self._model.encode(text, parse_special=False) if text else []


def _with_tool_description(turns: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    if turns and turns[0]["role"] == "system":
        first = {**turns[0], "content": f"{turns[0]['content']}\n\n{text}"}
        return [first, *turns[1:]]
    return [{"role": "system", "content": text}, *turns]


def _without_tool_roles(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say calls and results in words, for templates that know neither."""
    plain = []
    for turn in turns:
        if turn["role"] == "tool":
            plain.append({"role": "user", "content": result_text(turn)})
        elif turn.get("tool_calls"):
            calls = "\n".join(call_text(call["function"]) for call in turn["tool_calls"])
            text = f"{turn['content']}\n{calls}" if turn["content"] else calls
            plain.append({"role": "assistant", "content": text})
        else:
            plain.append(turn)
    return plain
