"""Several prompts at once: sessions side by side in one context, a token of each in every batch.

Each has cells of its own there (llama.cpp calls them streams), so that attention looks at no
other's; what the prompts have in common is prefilled once and copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from longctx.backends import Backend
from longctx.cache.cells import Cells, Ids
from longctx.cache.pool import MAX_SESSIONS, SessionPool
from longctx.cache.session import Session, common_prefix
from longctx.cache.turning import KeyTurner
from longctx.planner import padded, window_steps

AT_ONCE = MAX_SESSIONS
"""Prompts at once: with fewer, a CPU hardly gains from batching (docs/benchmarks.md)."""

_SPARE_TOKENS = 128


def advance_each(sessions: Sequence[Session], tokens: Sequence[int]) -> None:
    """Append one generated token to each session; those in one cache share a batch.

    Raises:
        ContextOverflowError: one does not fit its largest window.
        BackendError: llama.cpp refuses a batch; no session of it has its token.
    """
    waiting = list(zip(sessions, tokens, strict=True))
    for session, _ in waiting:
        session.admit(1)
    while waiting:
        first, _ = waiting[0]
        together = [(s, token) for s, token in waiting if s is first or s.is_beside(first)]
        waiting = [pair for pair in waiting if pair not in together]
        if len(together) == 1:
            first.advance(together[0][1])
        else:
            first.advance_beside([s for s, _ in together], [token for _, token in together])


class SideBySide:
    """Finds or opens sessions for several prompts, as many at once as memory bears.

    Args:
        backend: the plan, and contexts to open.
        turner: turns cached keys.
        new: makes a session over cells.
        pool: where sessions live.
    """

    def __init__(
        self,
        backend: Backend,
        turner: KeyTurner,
        new: Callable[[Cells], Session],
        pool: SessionPool,
    ) -> None:
        self._backend = backend
        self._turner = turner
        self._new = new
        self._pool = pool

    def rounds(
        self, prompts: Sequence[Sequence[int]], max_tokens: int
    ) -> Iterator[dict[int, Session]]:
        """Sessions for the prompts by their index, a round at a time.

        First those that a live session has more of than all have in common, then the others,
        in caches that they share.

        Args:
            prompts: token ids.
            max_tokens: room for each answer.
        """
        common = common_to_all(prompts)
        found = self._pool.holding_each(prompts, beyond=len(common))
        if found:
            with self._pool.using(list(found.values())):
                yield found
        left = [i for i in range(len(prompts)) if i not in found]
        while left:
            now = left[: self._at_once([prompts[i] for i in left], max_tokens)]
            left = left[len(now) :]
            if len(now) == 1 or self._pool.has_saved([prompts[i] for i in now], len(common)):
                for i in now:
                    yield {i: self._pool.pick(prompts[i])}
                continue
            sessions = self._open([prompts[i] for i in now], common, max_tokens)
            with self._pool.using(sessions):
                yield dict(zip(now, sessions, strict=True))

    def _at_once(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> int:
        if not self._backend.holds_sequences:
            return 1
        fitting = self._pool.n_fitting(self._cells_for(prompts[:AT_ONCE], max_tokens))
        return max(1, min(AT_ONCE, fitting))

    def _step_for(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> int:
        """The window whose scale the longest prompt and its answer need."""
        plan = self._backend.plan
        steps = window_steps(plan) if plan.window == "elastic" else (plan.n_ctx,)
        longest = max(map(len, prompts)) + max_tokens
        return next(step for step in steps if step >= longest)

    def _cells_for(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> int:
        """Cells of each sequence: for the longest, and a somewhat longer next question."""
        wanted = max(map(len, prompts)) + max_tokens + _SPARE_TOKENS
        return min(padded(wanted), self._step_for(prompts, max_tokens))

    def _open(
        self, prompts: Sequence[Sequence[int]], common: Ids, max_tokens: int
    ) -> list[Session]:
        n, n_ctx = len(prompts), self._cells_for(prompts, max_tokens)
        rope = self._backend.plan.rope_at(self._step_for(prompts, max_tokens))
        self._pool.make_room(n * n_ctx)
        cells = Cells(
            self._backend, self._turner, n_ctx=n_ctx, rope=rope, n_outputs=1, n_separate=n
        )
        first = self._new(cells)
        self._pool.add(first)  # at once, so that an interrupted prefill is not lost sight of
        first.feed(common)
        sessions = [first, *(first.fork() for _ in range(n - 1))]
        with self._pool.using(sessions):
            for session in sessions[1:]:
                self._pool.add(session)
        return sessions


def common_to_all(prompts: Sequence[Sequence[int]]) -> Sequence[int]:
    """The tokens that all prompts begin with; each keeps one at least for itself."""
    first = prompts[0]
    n = min(common_prefix(first, prompt) for prompt in prompts)
    return first[: min(n, *(len(prompt) - 1 for prompt in prompts))]
