"""What of a server's window a request may take, held to on this side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from longctx.errors import ContextOverflowError


@dataclass(frozen=True)
class Room:
    """A server's window, or a part of it; lengths in tokens.

    Attributes:
        n_ctx: what is used of it.
        reserve_output: what must be free for an answer that names no bound.
        is_part: whether the server has more, so that it would not end an answer here.
    """

    n_ctx: int
    reserve_output: int
    is_part: bool

    def bound(self, body: dict[str, Any], n_prompt: int | None) -> None:
        """Refuse what the server would cut, and end an answer where the part in use does.

        Args:
            body: of the request; its ``max_tokens`` may be set.
            n_prompt: of the prompt; None where it is not counted, because the server refuses what
                does not fit.

        Raises:
            ContextOverflowError: prompt and answer do not fit.
        """
        max_tokens = body.get("max_tokens")
        if max_tokens is not None:
            answer = f"its answer may take {max_tokens}"
            needed = (n_prompt or 1) + max_tokens  # one token at least
        elif n_prompt is not None:
            n_answer = max(1, self.reserve_output)
            answer, needed = f"{n_answer} are reserved for its answer", n_prompt + n_answer
        else:
            return
        if needed > self.n_ctx:
            prompt = "at least 1 token" if n_prompt is None else f"{n_prompt} tokens"
            raise ContextOverflowError(
                f"the prompt is {prompt} and {answer}, {needed} in all, but the window is "
                f"{self.n_ctx}. Shorten the prompt, lower max_tokens, or serve a larger window. "
                "Nothing was cut.",
                needed=needed,
                available=self.n_ctx,
                n_ctx=self.n_ctx,
            )
        if self.is_part and max_tokens is None and n_prompt is not None:
            body["max_tokens"] = self.n_ctx - n_prompt
