"""Prompts put together from passages that were each prefilled once, alone.

PromptCache (Gim et al. 2024, section 3) keeps the attention states of text modules and lays any of
them side by side; EPIC (Hu et al. 2025, section 4) prefills the first tokens of each in place, so
that its own beginning is no second attention sink. Here any passage may stand at any offset, its
keys re-rotated to it. What this costs in quality stands in docs/rag.md.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from longctx.cache.cells import Ids
from longctx.cache.passage import Passage
from longctx.cache.session import Session
from longctx.types import Composed, Progress, ProgressCallback

EDGE = 2
"""Tokens at each end of a passage that its neighbours may change; they are prefilled in place."""
MIN_TOKENS = 32
"""Below this a passage is prefilled where it stands, which takes no longer."""

Span = tuple[int, int]


class Composer:
    """Passages, least recently used first, and how prompts are made of them.

    Args:
        new: opens an empty session, for passages that were never read.
        max_tokens: longest passage that has its own positions to itself.
        limit_bytes: memory for all passages.
    """

    def __init__(self, new: Callable[[], Session], *, max_tokens: int, limit_bytes: int) -> None:
        self._new = new
        self._max_tokens = max_tokens
        self.limit_bytes = limit_bytes
        self._passages: OrderedDict[tuple[int, ...], Passage] = OrderedDict()

    @property
    def n_bytes(self) -> int:
        """Memory of the passages."""
        return sum(passage.state.nbytes for passage in self._passages.values())

    def compose(
        self,
        ids: Ids,
        passages: Sequence[Ids],
        pick: Callable[[], Session],
        *,
        n_cached: int,
        recompute: int,
        on_progress: ProgressCallback | None = None,
    ) -> Composed:
        """Bring a session to where all passages of a prompt are cached.

        Args:
            ids: of the whole prompt.
            passages: the token ids of each passage by itself, in their order in the prompt.
            pick: returns the session to do it in; called when the passages have been read.
            n_cached: tokens that some session has of the prompt already.
            recompute: tokens at the front of each passage to prefill in place.
            on_progress: called after each prefilled batch.
        """
        wanted = [
            (begin, end)
            for begin, end in spans_of(ids, passages)
            if MIN_TOKENS + recompute <= end - begin <= self._max_tokens and end > n_cached
        ]
        keys = [tuple(ids[begin:end]) for begin, end in wanted]
        found = self._recall(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        # Held here too: with little memory the first may be dropped before the last is read.
        for passage in self._read(missing, on_progress):
            found[passage.ids] = passage
        prefilled, attached = sum(map(len, missing)), 0
        # Only now: reading opens a session, for which the pool may have to close another.
        session = pick()
        done = session.match(ids)
        if session.window.middle:  # what stands where in the prompt does not in the cache
            return Composed(prefilled_tokens=prefilled, attached_tokens=0)
        for key, (begin, end) in zip(keys, wanted, strict=True):
            if end - done < MIN_TOKENS:
                continue
            session.truncate(begin)  # prompts often agree on a few tokens of a passage's title
            session.feed(ids[min(done, begin) : begin])
            session.attach(found[key], recompute=recompute)
            prefilled += max(0, begin - done) + recompute
            attached += end - begin - recompute
            done = end
        return Composed(prefilled_tokens=prefilled, attached_tokens=attached)

    def _recall(self, keys: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], Passage]:
        """Those that are kept, which are the most recently used from now on."""
        found = {}
        for key in keys:
            if key in self._passages:
                self._passages.move_to_end(key)
                found[key] = self._passages[key]
        return found

    def _read(
        self, missing: Sequence[tuple[int, ...]], on_progress: ProgressCallback | None
    ) -> Iterator[Passage]:
        """Prefill passages, each alone, and keep as many as the limit allows."""
        if not missing:
            return
        session, before = self._new(), 0
        total = sum(map(len, missing))
        try:
            for key in missing:
                session.truncate(0)
                session.feed(key, on_progress=_shifted(on_progress, before, total))
                before += len(key)
                passage = session.passage()
                yield passage
                self._passages[key] = passage
                while self._passages and self.n_bytes > self.limit_bytes:
                    self._passages.popitem(last=False)
        finally:
            session.close()


def spans_of(ids: Ids, passages: Sequence[Ids]) -> list[Span]:
    """Where each passage stands in a prompt, less its edges; those not found are left out."""
    prompt, spans, cursor = list(ids), [], 0
    for passage in passages:
        core = list(passage[EDGE : len(passage) - EDGE])
        begin = _find(prompt, core, cursor)
        if begin is not None:
            cursor = begin + len(core)
            spans.append((begin, cursor))
    return spans


def _find(ids: list[int], part: list[int], start: int) -> int | None:
    while part:
        try:
            start = ids.index(part[0], start)
        except ValueError:
            return None
        if ids[start : start + len(part)] == part:
            return start
        start += 1
    return None


def _shifted(callback: ProgressCallback | None, before: int, total: int) -> ProgressCallback | None:
    """Progress of one passage as progress of all."""
    if callback is None:
        return None

    def shift(progress: Progress) -> None:
        callback(
            progress.model_copy(
                update={"done_tokens": before + progress.done_tokens, "total_tokens": total}
            )
        )

    return shift
