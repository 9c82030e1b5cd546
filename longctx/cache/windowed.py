"""The window of a text in the hands of its user: how large it is, and what of the text it holds."""

from __future__ import annotations

from longctx.arguments import whole
from longctx.cache.standing import Standing
from longctx.cache.window import Window
from longctx.model_thread import ModelThread, in_model_thread


class Windowed(Standing):
    """Changes the window, each argument checked and each change made in the model's thread.

    Args:
        window: the window that the text stands in.
        n_ctx_train: the window that the model was trained with.
        thread: where each call runs; None where the caller is in it already.
    """

    def __init__(self, window: Window, n_ctx_train: int, thread: ModelThread | None) -> None:
        super().__init__(window, n_ctx_train)
        self.thread = thread

    @in_model_thread
    def pin(self, n_tokens: int) -> None:
        """Let :meth:`slide` keep at least the first ``n_tokens``, such as a system prompt.

        Raises:
            ContextOverflowError: they would leave less than half of the largest window.
        """
        self._window.pin(whole("n_tokens", n_tokens, least=0))

    @in_model_thread
    def admit(self, n_most: int) -> int:
        """Be ready for the next batch: grow, slide or compress as its first token needs it.

        Returns:
            How many tokens that batch may take, ``n_most`` or fewer: it ends where the window
            changes again.

        Raises:
            ContextOverflowError: not even one fits the largest window.
        """
        self._window.expect(self.n_tokens + 1)
        self._window.admit(1)
        return min(n_most, self._window.room)

    @in_model_thread
    def reserve(self, n_more: int) -> None:
        """Before tokens that will come in several batches: refuse them, or grow where that is
        the same as growing when they come.

        Raises:
            ContextOverflowError: they do not fit the largest window.
        """
        self._window.expect(self.n_tokens + n_more)

    @in_model_thread
    def grow(self, n_ctx: int) -> None:
        """Move to a window of at least ``n_ctx`` tokens (a step of the plan), until :meth:`shrink`.

        What is fed from now on is read at its scale.

        Raises:
            ContextOverflowError: the plan's target is smaller.
        """
        self._window.grow(whole("n_ctx", n_ctx, least=1))

    @in_model_thread
    def shrink(self, n_ctx: int) -> None:
        """Move to the smallest window that holds ``n_ctx`` tokens and the text.

        One that shares its cache with others stays there: leaving it would free nothing.

        Raises:
            ContextOverflowError: the text is longer than ``n_ctx``.
        """
        self._window.shrink(whole("n_ctx", n_ctx, least=0))

    @in_model_thread
    def truncate(self, n: int) -> None:
        """Keep the first ``n`` tokens.

        Where the cache cannot drop its end alone (recurrent layers, sliding-window layers
        that have forgotten what the new end needs), the kept tokens behind the last checkpoint
        before it are prefilled again. So are the first ``n`` of a text that was compressed, where
        they end before what stands whole.

        Raises:
            RequestError: ``n`` is no whole number from 0.
        """
        self._window.truncate(whole("n", n, least=0))

    @in_model_thread
    def slide(self, n_discard: int) -> None:
        """Drop ``n_discard`` tokens behind the first ``n_keep`` and close the gap.

        The tokens behind it move to lower positions, their keys re-rotated: positions are
        those inside the cache, as in StreamingLLM. Models whose keys cannot be re-rotated prefill
        what is kept again.

        Raises:
            ContextOverflowError: there are not so many tokens to drop.
            RequestError: ``n_discard`` is no whole number from 1.
        """
        self._window.slide(whole("n_discard", n_discard, least=1))
