"""Models of eight families and more that play answers from a script: all but the drawing is real.

A family's own chat template and control tokens, in a tiny GGUF that llama.cpp loads. Each answer is
decoded token by token; in place of the most likely token the next one of the script is drawn, and
only where the grammar of the answer lets it come.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from longctx._native import Model, Sampler
from longctx.engine import writing
from tests.support.llama_cpp_models import models_folder
from tests.support.tiny_gguf import write_tiny_gguf

THOUGHT = "I look at the room first."
TOLD = "It is told now."


@dataclass(frozen=True)
class PlayedFamily:
    """How a family writes answers, as a model of it would.

    Attributes:
        template: name of its file among llama.cpp's.
        thought: with ``{}`` in it; "" where it has none. Where the prompt has opened the thought,
            what it ends with is not written again.
        call: with the room in it as ``{}``.
        said: before words; ``{}`` are they.
        control: its control tokens, as a regular expression.
        words: whether it says something before a call.
    """

    template: str
    thought: str
    call: str
    said: str = "{}"
    control: str = r"<\|[^<>|\s]+\|>"
    words: bool = True

    def replies(self) -> list[str]:
        """Two turns: of each a call, and, when it has its result, an answer."""
        out = []
        for room in ROOMS:
            before = self.said.replace("{}", WORDS) if self.words else ""
            call = self.call.replace("{}", room)
            out.append(self.thought.replace("{}", THOUGHT) + before + call)
            out.append(self.thought.replace("{}", TOLD) + self.said.replace("{}", ANSWERS[room]))
        return out

    @property
    def reasoning(self) -> tuple[str, str]:
        """What it thinks before a call, and before an answer."""
        return (THOUGHT, TOLD) if self.thought else ("", "")

    def source(self) -> str:
        """Its chat template."""
        return (models_folder() / f"{self.template}.jinja").read_text(encoding="utf-8")

    def write(self, path: Path) -> Path:
        """A model of it: noise, with its template and its control tokens."""
        source = self.source()
        script = "".join(self.replies())
        control = tuple(dict.fromkeys(re.findall(self.control, source + script)))
        return write_tiny_gguf(
            path, chat_template=source, control=control, n_ctx_train=8192, n_layer=1
        )


ROOMS = ("seven", "eight")
CODES = {"seven": "4821", "eight": "1357"}
ANSWERS = {room: f"The code of room {room} is {code}." for room, code in CODES.items()}
WORDS = "Let me look."
QUESTIONS = [f"What is the code of room {room}?" for room in ROOMS]
LOOK: dict[str, Any] = {
    "name": "look",
    "description": "Look into a room.",
    "parameters": {
        "type": "object",
        "properties": {"room": {"type": "string", "enum": ["seven", "eight"]}},
        "required": ["room"],
    },
}

_OBJECT = '{"name": "look", "arguments": {"room": "{}"}}'
_BARE = '{"room": "{}"}'
_THINK = "<think>\n{}\n</think>\n\n"
_SQUARE = r"\[/?[A-Z_]{3,}\]|</?s>"

FAMILIES: dict[str, PlayedFamily] = {
    "Hermes' objects, thoughts (Qwen 3)": PlayedFamily(
        "Qwen-Qwen3-0.6B", _THINK, f"\n<tool_call>\n{_OBJECT}\n</tool_call>"
    ),
    "parameters in tags (Qwen 3 Coder)": PlayedFamily(
        "Qwen3-Coder", "", "\n<tool_call>\n<function=look>\n<parameter=room>\n{}\n</parameter>\n"
        "</function>\n</tool_call>",
    ),
    "harmony (gpt-oss)": PlayedFamily(
        "openai-gpt-oss-120b",
        "<|channel|>analysis<|message|>{}<|end|><|start|>assistant",
        f"<|channel|>commentary to=functions.look <|constrain|>json<|message|>{_BARE}",
        "<|channel|>final<|message|>{}",
        words=False,
    ),
    "tokens of its own (DeepSeek V3.1)": PlayedFamily(
        "deepseek-ai-DeepSeek-V3.1", "",
        f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>look<｜tool▁sep｜>{_BARE}<｜tool▁call▁end｜>"
        "<｜tool▁calls▁end｜>",
        control=r"<｜[^<>｜\s]+｜>",
    ),
    "calls with numbers (Kimi K2 Thinking)": PlayedFamily(
        "Kimi-K2-Thinking", "<think>{}</think>",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.look:0"
        f"<|tool_call_argument_begin|>{_BARE}<|tool_call_end|><|tool_calls_section_end|>",
    ),
    "keys and values (GLM 4.6)": PlayedFamily(
        "GLM-4.6", "\n<think>{}</think>\n",
        "\n<tool_call>look\n<arg_key>room</arg_key>\n<arg_value>{}</arg_value>\n</tool_call>",
    ),
    "brackets (Ministral 3)": PlayedFamily(
        "mistralai-Ministral-3-14B-Reasoning-2512", "[THINK]{}[/THINK]",
        f"[TOOL_CALLS]look[ARGS]{_BARE}", control=_SQUARE,
    ),
    "braces and quotes of its own (Gemma 4)": PlayedFamily(
        "google-gemma-4-31B-it", "<|channel>thought\n{}<channel|>",
        '<|tool_call>call:look{room:<|"|>{}<|"|>}<tool_call|>',
        control=r'<\|[a-z_"]+>|<[a-z_]+\|>|<\|"\|>',
    ),
    "invocations (MiniMax M2)": PlayedFamily(
        "MiniMax-M2", "<think>\n{}\n</think>\n\n",
        '\n<minimax:tool_call>\n<invoke name="look">\n<parameter name="room">{}</parameter>\n'
        "</invoke>\n</minimax:tool_call>",
        control=r"\]~[!b]?[a-z]*\[|\[e~\[",
    ),
    "as Python calls functions (LFM 2.5)": PlayedFamily(
        "LFM2.5-8B-A1B", "<think>{}</think>",
        '<|tool_call_start|>[look(room="{}")]<|tool_call_end|>',
    ),
    "messages to a tool (Muse)": PlayedFamily(
        "muse-glimmer", " to=self<|message|>{}<|eom|><|start|>assistant",
        ' to=look<|message|><atem:function_calls>\n<atem:invoke name="look">\n'
        '<atem:parameter name="room">{}</atem:parameter>\n</atem:invoke>\n</atem:function_calls>',
        " to=user<|message|>{}",
        words=False,
    ),
    "a bare object (Llama 3.1)": PlayedFamily(
        "meta-llama-Llama-3.1-8B-Instruct", "",
        '{"name": "look", "parameters": {"room": "{}"}}', words=False,
    ),
    "a tag for everything (Kimi K3)": PlayedFamily(
        "Kimi-K3", "<|open|>think<|sep|>{}<|close|>think<|sep|>",
        '<|open|>tools<|sep|><|open|>call tool="look" index="1"<|sep|><|open|>argument key="room" '
        'type="string"<|sep|>{}<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|>',
        "<|open|>response<|sep|>{}<|close|>response<|sep|>",
    ),
    "actions (Command R7B)": PlayedFamily(
        "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
        "<|START_THINKING|>{}<|END_THINKING|>",
        '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "look", "parameters": '
        + _BARE + "}\n]<|END_ACTION|>",
        "<|START_RESPONSE|>{}<|END_RESPONSE|>",
        words=False,
    ),
}  # fmt: skip
SOME = (
    "Hermes' objects, thoughts (Qwen 3)",
    "parameters in tags (Qwen 3 Coder)",
    "harmony (gpt-oss)",
    "brackets (Ministral 3)",
    "a bare object (Llama 3.1)",
)
"""Those that every run of the tests plays."""


@dataclass
class Script:
    """Answers that are left to play, and how many tokens of those before a grammar held."""

    left: list[str]
    n_held: int = 0


class Played(Sampler):
    """Draws the tokens of a text, each where it may come; then the token that ends an answer."""

    def __init__(
        self, script: Script, model: Model, history: Sequence[int], **options: Any
    ) -> None:
        super().__init__(model, history=history, **options)
        self._script = script
        text = script.left.pop(0)
        prompt = model.decode_bytes(list(history)[-64:], special=True).decode(errors="replace")
        n = next((n for n in range(len(text), 0, -1) if _ends_with(prompt, text[:n])), 0)
        self._ids = iter([*model.encode(text[n:], parse_special=True), model.eos])

    def sample(self, context: Any, row: int = -1, *, mask: NDArray[np.uint32] | None = None) -> int:
        """The next one."""
        token = next(self._ids)
        if mask is not None:
            self._script.n_held += 1
            assert mask[token // 32] >> (token % 32) & 1, "the grammar forbids it"
        return token


def _ends_with(prompt: str, head: str) -> bool:
    """Whether a prompt has written what an answer begins with: a whole mark of it."""
    return len(head.strip()) > 4 and prompt.rstrip().endswith(head.strip())


@contextmanager
def playing(replies: Sequence[str]) -> Iterator[Script]:
    """Let models of this process play answers, in order."""
    script = Script(list(replies))

    def make(model: Model, sampling: Any, *, history: Sequence[int], n_ahead: int) -> Played:
        assert script.left, "the script is at its end"
        return Played(script, model, history, sampling=sampling, n_ahead=n_ahead)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "Sampler", make)
        yield script


def result_of(arguments: str | dict[str, Any]) -> str:
    """What the tool says."""
    given = json.loads(arguments) if isinstance(arguments, str) else arguments
    return f"There is a note: {CODES[given['room']]}."
