"""Random conversations, and a model that sums them up."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from longctx.agents.policies import Transcript, View
from longctx.testing import ScriptedChatModel
from longctx.types import Completion, Message, Timings, ToolCall, Usage, WindowReport

WORDS = ["the", "seller", "bears", "risk", "until", "delivery", "42", "Bremen", "and", "of", "a"]


class Summariser(ScriptedChatModel):
    """Answers every request with the same summary, or with nonsense."""

    def __init__(self, answer: str, *, cut: bool = False, **options: Any) -> None:
        super().__init__([], **options)
        self.answer, self.cut, self.asked = answer, cut, []

    def chat(self, messages: Any, **options: Any) -> Completion:
        """Return the summary; remember what it was asked."""
        self.asked.append((tuple(messages), options))
        self.count(messages, options.get("tools"))
        return Completion(
            text=self.answer,
            message=Message(role="assistant", content=self.answer),
            finish_reason="length" if self.cut else "stop",
            usage=Usage(),
            timings=Timings(),
            window=WindowReport(),
        )


SUMMARY = json.dumps({"goal": ["Find the risk."], "facts": ["Bremen: 42"], "done": [], "open": []})
SUMMARISERS = {
    "good": {"answer": SUMMARY},
    "cut": {"answer": SUMMARY, "cut": True},
    "no JSON": {"answer": "I do not know."},
    "empty": {"answer": "{}"},
    "echo": {"answer": '{"goal": ["goal"], "facts": ["Facts to remember"]}'},
    "too long": {"answer": json.dumps({"goal": ["word " * 3000]})},
}


def prose(max_words: int) -> st.SearchStrategy[str]:
    """Some words."""
    length = st.integers(1, max_words)
    return length.flatmap(
        lambda n: st.integers(0, 9).map(lambda k: " ".join(WORDS[(k + i) % 11] for i in range(n)))
    )


@st.composite
def transcripts(draw: st.DrawFn) -> tuple[Transcript, frozenset[int]]:
    """A conversation as an agent would have it, and which user messages are pinned."""
    messages: list[Message] = []
    pinned = set()
    if draw(st.booleans()):
        messages.append(Message(role="system", content=draw(prose(30))))
    n_calls = 0
    for turn in range(draw(st.integers(1, 7))):
        if draw(st.integers(0, 5)) == 0:
            pinned.add(len(messages))
        messages.append(Message(role="user", content=f"{turn}: {draw(prose(40))}"))
        for _ in range(draw(st.integers(0, 3))):
            calls = [
                ToolCall(
                    id=f"call_{n_calls + i + 1}",
                    name=draw(st.sampled_from(["read", "search"])),
                    arguments={"name": draw(st.sampled_from("abc"))},
                )
                for i in range(draw(st.integers(1, 2)))
            ]
            n_calls += len(calls)
            messages.append(Message(role="assistant", tool_calls=tuple(calls)))
            messages += [
                Message(role="tool", content=draw(prose(300)), tool_call_id=c.id, name=c.name)
                for c in calls
            ]
        if draw(st.integers(0, 9)):
            messages.append(Message(role="assistant", content=draw(prose(60))))
    while messages[-1].role == "assistant":  # it is the model's turn to say something
        if messages[-1].tool_calls:
            break
        messages.pop()
    return tuple(messages), frozenset(p for p in pinned if p < len(messages))


def view_of(
    transcript: Transcript, pinned: frozenset[int] = frozenset(), room: int = 600, **options: Any
) -> View:
    """A view with so much room."""
    answer = options.pop("llm", {"answer": SUMMARY})
    llm = Summariser(target_ctx=room + 64, **answer)
    return View.of(transcript, llm, pinned=pinned, **options)
