"""Prompts put together from passages that were each prefilled once, alone.

PromptCache (Gim et al. 2024, section 3) keeps the attention states of text modules and lays any of
them side by side; EPIC (Hu et al. 2025, section 4) prefills the first tokens of each in place, so
that its own beginning is no second attention sink. Here any passage may stand at any offset, its
keys re-rotated to it. What this costs in quality stands in docs/rag.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from longctx.cache.cells import Ids
from longctx.cache.passage import Passage
from longctx.cache.session import Session
from longctx.engine.passages import Passages, Wanted
from longctx.prompt import CompressedSpan
from longctx.types import Composed, Progress, ProgressCallback

EDGE = 2
"""Tokens at each end of a passage that its neighbours may change; they are prefilled in place."""
MIN_TOKENS = 32
"""Below this a passage is prefilled where it stands, which takes no longer."""
FRONT = 16
"""Tokens at the front of a compressed passage that stand whole, and are prefilled in place."""


class Composer:
    """How prompts are made of passages.

    Args:
        new: opens an empty session, for passages that were never read.
        passages: those that were.
        max_tokens: longest passage that has its own positions to itself.
    """

    def __init__(self, new: Callable[[], Session], passages: Passages, *, max_tokens: int) -> None:
        self._new = new
        self.passages = passages
        self._max_tokens = max_tokens

    def compressible(
        self, ids: Ids, passages: Sequence[tuple[Ids, float]]
    ) -> tuple[CompressedSpan, ...]:
        """Those passages of a prompt that can stand compressed, each with what is kept of it; any
        thread may ask. Left out is what is not found token by token, or too short or too long."""
        found = spans_of(ids, [passage for passage, _ in passages])
        return tuple(
            CompressedSpan(begin, end, passages[number][1], number)
            for number, begin, end in found
            if MIN_TOKENS + FRONT <= end - begin <= self._max_tokens
        )

    def compose(
        self,
        ids: Ids,
        passages: Sequence[Ids],
        pick: Callable[[], Session],
        *,
        n_cached: int,
        recompute: int,
        compressed: Sequence[CompressedSpan] = (),
        on_progress: ProgressCallback | None = None,
    ) -> Composed:
        """Bring a session to where all passages of a prompt are cached.

        Args:
            ids: of the whole prompt.
            passages: the token ids of each passage by itself, in their order in the prompt.
            pick: returns the session to do it in; called when the passages have been read.
            n_cached: tokens that some session has of the prompt already.
            recompute: tokens at the front of each passage to prefill in place.
            compressed: the passages that shall stand compressed, whether among ``passages`` or not.
            on_progress: called after each prefilled batch.

        Raises:
            UnsupportedModelError: one shall stand compressed, and keys cannot be moved.
        """
        spans = {
            (begin, end): Wanted(tuple(ids[begin:end]))
            for _, begin, end in spans_of(ids, passages)
            if MIN_TOKENS + recompute <= end - begin <= self._max_tokens
        }
        spans |= {
            (span.begin, span.end): Wanted(
                tuple(ids[span.begin : span.end]), span.share, min(recompute, FRONT)
            )
            for span in compressed
        }
        spans = {span: spans[span] for span in sorted(spans) if span[1] > n_cached}
        found, prefilled, loaded = self._found(list(spans.values()), on_progress)
        attached = 0
        # Only now: reading opens a session, for which the pool may have to close another.
        session = pick()
        done = session.match(ids, compressed, whole=True)
        if session.dropped_tokens or (session.compressed_tokens and not compressed):
            # What stands where in the prompt does not in the cache.
            return Composed(prefilled_tokens=prefilled, attached_tokens=0)
        for (begin, end), wanted in spans.items():
            if end - done < MIN_TOKENS:
                continue
            # Prompts often agree on a few tokens of a passage's title.
            done = session.match(ids[:begin], compressed)
            session.feed(ids[done:begin])
            front = recompute if wanted.share == 1 else wanted.n_whole
            session.attach(found[wanted], recompute=front)
            prefilled += begin - done + front
            attached += end - begin - front
            done = end
        return Composed(prefilled_tokens=prefilled, attached_tokens=attached, loaded_tokens=loaded)

    def _found(
        self, wanted: Sequence[Wanted], on_progress: ProgressCallback | None
    ) -> tuple[dict[Wanted, Passage], int, int]:
        """Passages that are kept, and those that are not, each prefilled alone.

        Returns:
            All of them, the tokens that were prefilled, and those that came from the disk.
        """
        kept = {each: self.passages.get(each) for each in wanted}
        # Held here too: with little memory the first may be dropped before the last is read.
        found = {each: passage for each, passage in kept.items() if passage is not None}
        missing = [each for each, passage in kept.items() if passage is None]
        if not missing:
            return found, 0, 0
        session, before, loaded = self._new(), 0, 0
        total = sum(len(each.ids) for each in missing)
        try:
            for each in missing:
                session.truncate(0)
                if (passage := self.passages.load(each, session)) is not None:
                    loaded += len(each.ids)
                else:
                    passage = self._read(each, session, _shifted(on_progress, before, total))
                before += len(each.ids)
                found[each] = passage
                self.passages.put(each, passage)
        finally:
            session.close()
        return found, total - loaded, loaded

    def _read(
        self, wanted: Wanted, session: Session, on_progress: ProgressCallback | None
    ) -> Passage:
        """Prefill a passage alone, and compress it where it shall be."""
        session.truncate(0)  # what could not be loaded may have left something
        session.feed(wanted.ids, on_progress=on_progress)
        if wanted.share == 1:
            return session.passage()
        session.pin(wanted.n_whole)
        session.compress(wanted.share)
        self.passages.save(wanted, session)
        return replace(session.passage(), share=wanted.share)


def spans_of(ids: Ids, passages: Sequence[Ids]) -> list[tuple[int, int, int]]:
    """Where each passage stands in a prompt, less its edges: its number, begin and end; those not
    found are left out."""
    prompt, spans, cursor = list(ids), [], 0
    for number, passage in enumerate(passages):
        core = list(passage[EDGE : len(passage) - EDGE])
        begin = _find(prompt, core, cursor)
        if begin is not None:
            cursor = begin + len(core)
            spans.append((number, begin, cursor))
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
