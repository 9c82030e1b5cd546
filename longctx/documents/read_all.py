"""``map_reduce`` and ``refine``: all of the documents, a window at a time.

::

    map_reduce   part 1 → notes ┐
                 part 2 → notes ┼→ (condensed until they fit) → answer
                 part 3 → notes ┘
    refine       part 1 → answer, part 2 → better answer, part 3 → better answer

Each window has the system prompt and a part first, the question last; where a part ends does not
depend on the question. So a second question finds the parts in the model's sessions, or on disk
(``LongContextLLM(cache_dir=…)``), as far as these are kept. A local model takes the notes of
several parts side by side: the system prompt is prefilled once, and a batch writes a token of each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from longctx.documents.asking import Asking
from longctx.documents.chunks import Chunk
from longctx.documents.entry import Entry
from longctx.documents.holdings import Holdings
from longctx.documents.layout import Block, enclose, window
from longctx.documents.packing import largest_fitting
from longctx.prompt import Prompt
from longctx.types import Message

_MAP = (
    "These passages are a part of the documents. Write short notes of what they say that helps "
    "to answer the question, with quotations and their marks. Do not answer it yet."
)
_CONDENSE = (
    "These notes were taken from parts of the documents. Write one shorter note of all of them "
    "for the question, and keep quotations and their marks."
)
_REDUCE = "These notes were taken from all parts of the documents. Answer from them."
_REFINE = (
    "These passages are the next part of the documents. Improve the answer so far with what they "
    "say; repeat it where they add nothing. Keep quotations and their marks."
)
# What a text may gain at a seam when it is counted with others, and not by itself; and what the
# two keys of a passage's markers may, which differ with its end.
_SEAM_TOKENS, _KEY_TOKENS = 2, 16
# Questions in one of these steps end parts in the same places.
_QUESTION_STEP_TOKENS = 64
_MIN_NOTE_TOKENS = 16


def map_reduce(
    asking: Asking, holdings: Holdings, entries: Sequence[Entry]
) -> tuple[str, list[Block]]:
    """Take notes of every part, then answer from the notes.

    Returns:
        The answer, and all that was read.

    Raises:
        ContextOverflowError: the budget leaves no room for a chunk, or for notes.
    """
    note_tokens = _note_tokens(asking)
    parts = _parts(asking, holdings, entries, instruction=_MAP)
    if len(parts) == 1:
        whole = holdings.passages(parts[0])
        return asking.chat(window(whole, asking.question), whole), whole
    steps = list(_prompts(asking, holdings, parts, lambda b: window(b, asking.question, _MAP)))
    read = [blocks for blocks, _, _ in steps]
    prompts = [prompt for _, prompt, _ in steps]
    asking.expected_tokens = sum(p.n_tokens for p in prompts) + note_tokens * len(prompts)
    notes = asking.chat_each(prompts, read, max_tokens=note_tokens)
    while len(groups := _groups(asking, notes)) > 1:
        condensing = [prompt for _, prompt in groups]
        notes = asking.chat_each(condensing, [()] * len(groups), max_tokens=note_tokens)
    ((group, _),) = groups
    return asking.chat(window(group, asking.question, _REDUCE)), _all(read)


def refine(asking: Asking, holdings: Holdings, entries: Sequence[Entry]) -> tuple[str, list[Block]]:
    """Answer from the first part, and let every further part better the answer.

    Returns:
        The answer, and all that was read.

    Raises:
        ContextOverflowError: the budget leaves no room for a chunk and two answers.
    """
    parts = _parts(
        asking, holdings, entries, instruction=_REFINE, besides=asking.reserved_tokens + 32
    )
    asking.expected_tokens = sum(chunk.tokens for part in parts for chunk in part)
    answer: str | None = None
    read: list[list[Block]] = []

    def lay_out(part: Sequence[Block]) -> list[Message]:
        if answer is None:
            return window(part, asking.question)
        return window([*part, enclose("answer", "so far", answer)], asking.question, _REFINE)

    for blocks, prompt, is_last in _prompts(asking, holdings, parts, lay_out):
        # The next part's window has room for what is reserved.
        answer = asking.chat(prompt, blocks, max_tokens=None if is_last else asking.reserved_tokens)
        read.append(blocks)
    return answer or "", _all(read)


def _prompts(
    asking: Asking,
    holdings: Holdings,
    parts: Sequence[Sequence[Chunk]],
    lay_out: Callable[[Sequence[Block]], list[Message]],
) -> Iterator[tuple[list[Block], Prompt, bool]]:
    """What stands in the prompt of each part, the prompt when its turn has come, counted exactly,
    and whether it is the last.

    Parts were packed by the counts of their chunks; one that is too long all the same is halved.
    """
    waiting = deque(parts)
    while waiting:
        part = waiting.popleft()
        blocks = holdings.passages(part)
        prompt = asking.prompt(lay_out(blocks))
        if prompt.n_tokens > asking.room and len(part) > 1:
            half = len(part) // 2
            waiting.extendleft((part[half:], part[:half]))
            continue
        yield blocks, prompt, not waiting


def _parts(
    asking: Asking,
    holdings: Holdings,
    entries: Sequence[Entry],
    *,
    instruction: str,
    besides: int = 0,
) -> list[list[Chunk]]:
    """All chunks in their order, in few windows, by counts that do not depend on the question.

    Raises:
        ContextOverflowError: there is no room for a chunk.
    """
    asked = asking.llm.count(asking.question) + 8
    besides += -(-asked // _QUESTION_STEP_TOKENS) * _QUESTION_STEP_TOKENS
    room = asking.room - besides - asking.llm.count(window([], "", instruction))
    parts: list[list[Chunk]] = []
    used = 0

    def opening(chunk: Chunk) -> int:
        """Tokens of the markers of a passage that begins with it."""
        return asking.llm.count(holdings.passages([chunk])[0].markers) + _KEY_TOKENS

    for chunk in (chunk for entry in entries for chunk in entry.chunks):
        goes_on = bool(parts) and parts[-1][-1].document is chunk.document
        tokens = chunk.tokens + _SEAM_TOKENS + (0 if goes_on else opening(chunk))
        if not parts or used + tokens > room:
            used, tokens = 0, tokens + (opening(chunk) if goes_on else 0)
            if tokens > room:
                _check_fits(asking, holdings, chunk, instruction, besides)
            parts.append([])
        parts[-1].append(chunk)
        used += tokens
    return parts


def _check_fits(
    asking: Asking, holdings: Holdings, chunk: Chunk, instruction: str, besides: int
) -> None:
    """Refuse a chunk that is too long alone, counted exactly."""
    alone = window(holdings.passages([chunk]), "", instruction)
    needed = asking.llm.count(alone) + besides + asking.reserved_tokens
    if needed > asking.budget_tokens:
        raise asking.overflow(
            "the question and one passage do not fit",
            needed,
            f"Raise budget_tokens or target_ctx to at least {needed}, or lower max_tokens.",
        )


def _note_tokens(asking: Asking) -> int:
    """Room for the notes of one part: four fit a window, so that condensing comes to an end."""
    room = asking.room - asking.frame(_CONDENSE)
    tokens = min(asking.reserved_tokens, room // 4 - asking.llm.count(_note(99, "")))
    if tokens < _MIN_NOTE_TOKENS:
        needed = asking.budget_tokens + 4 * (_MIN_NOTE_TOKENS - tokens)
        raise asking.overflow(
            "the question leaves no room for notes",
            needed,
            f"Raise budget_tokens or target_ctx to at least {needed}, or lower max_tokens.",
        )
    return tokens


def _groups(asking: Asking, notes: Sequence[str]) -> list[tuple[list[str], Prompt]]:
    """Notes in as few windows as hold them, at least two in each but the last, and how each
    window is to be condensed."""
    blocks = [_note(number, note) for number, note in enumerate(notes, start=1)]
    sizes = [asking.llm.count(block) for block in blocks]
    frame = asking.frame(_CONDENSE)
    groups: list[tuple[list[str], Prompt]] = []

    @cache
    def condensing(begin: int, n: int) -> Prompt:
        return asking.prompt(window(blocks[begin : begin + n], asking.question, _CONDENSE))

    def n_fitting(begin: int) -> int:
        return largest_fitting(
            len(blocks) - begin,
            asking.room,
            lambda n: frame + sum(sizes[begin : begin + n]),
            lambda n: condensing(begin, n).n_tokens,
        )

    begin = 0
    while begin < len(blocks):
        n = max(2, n_fitting(begin))
        groups.append((blocks[begin : begin + n], condensing(begin, n)))
        begin += n
    return groups


def _note(number: int, text: str) -> str:
    return enclose("notes", str(number), text.strip())


def _all(parts: Sequence[Sequence[Block]]) -> list[Block]:
    return [block for part in parts for block in part]
