"""A question as it stands in the window, and as it is searched for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longctx import arguments
from longctx.errors import RequestError
from longctx.types import Message, Messages, as_messages

_SEARCHED_TURNS = 2
"""Earlier questions that a follow-up is searched with."""


@dataclass(frozen=True)
class Question:
    """A question, the conversation before it, and how it is to be answered."""

    asked: str
    history: Sequence[Message] = ()
    instructions: str = ""

    @classmethod
    def of(
        cls, asked: object, history: Messages | None, instructions: Sequence[str | None]
    ) -> Question:
        """Check what a user gives.

        Raises:
            RequestError: there is no question, instructions are no text, or the conversation has
                something else than questions and answers.
            TemplateError: the conversation is no list of messages.
        """
        turns = [] if history is None or history == [] else as_messages(history)
        if odd := [turn.role for turn in turns if turn.role not in ("user", "assistant")]:
            raise RequestError(
                f"the history has a message of the {odd[0]!r}; pass the questions (user) and the "
                "answers (assistant) before this one, and instructions as instructions="
            )
        said = [arguments.plain_text("instructions", one) for one in instructions if one]
        return cls(arguments.words("the question", asked), tuple(turns), "\n".join(said))

    @property
    def text(self) -> str:
        """For the window. It stands behind the documents, whose keys so stay valid."""
        parts = [self.asked]
        if self.history:
            turns = "\n".join(f"{turn.role}: {turn.content}" for turn in self.history)
            parts.insert(0, f"(It goes on from this conversation:\n{turns}\n)")
        if self.instructions:
            parts.append(self.instructions)
        return "\n".join(parts)

    @property
    def query(self) -> str:
        """For the search: a follow-up ("And after that?") with the questions before it."""
        before = [turn.content for turn in self.history if turn.role == "user"]
        return "\n".join([*before[-_SEARCHED_TURNS:], self.asked])
