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

from collections.abc import Sequence

from longctx.documents.asking import Asking
from longctx.documents.layout import Block, enclose, window
from longctx.documents.library import Entry, Library
from longctx.documents.packing import largest_fitting
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
# Questions in one of these steps end parts in the same places.
_QUESTION_STEP_TOKENS = 64
_MIN_NOTE_TOKENS = 16


def map_reduce(
    asking: Asking, library: Library, entries: Sequence[Entry]
) -> tuple[str, list[Block]]:
    """Take notes of every part, then answer from the notes.

    Returns:
        The answer, and all that was read.

    Raises:
        ContextOverflowError: the budget leaves no room for a chunk, or for notes.
    """
    note_tokens = _note_tokens(asking)
    parts = _parts(asking, library, entries, instruction=_MAP)
    if len(parts) == 1:
        return asking.chat(window(parts[0], asking.question), parts[0]), parts[0]
    steps = [window(part, asking.question, _MAP) for part in parts]
    asking.expected_tokens = sum(map(asking.llm.count, steps)) + note_tokens * len(parts)
    notes = asking.chat_each(steps, parts, max_tokens=note_tokens)
    while len(groups := _groups(asking, notes)) > 1:
        condensing = [window(group, asking.question, _CONDENSE) for group in groups]
        notes = asking.chat_each(condensing, [()] * len(groups), max_tokens=note_tokens)
    return asking.chat(window(groups[0], asking.question, _REDUCE)), _all(parts)


def refine(asking: Asking, library: Library, entries: Sequence[Entry]) -> tuple[str, list[Block]]:
    """Answer from the first part, and let every further part better the answer.

    Returns:
        The answer, and all that was read.

    Raises:
        ContextOverflowError: the budget leaves no room for a chunk and two answers.
    """
    parts = _parts(
        asking, library, entries, instruction=_REFINE, besides=asking.reserved_tokens + 32
    )
    steps = [_refine_window(part, asking.question, "") for part in parts]
    asking.expected_tokens = sum(map(asking.llm.count, steps))
    answer = asking.chat(window(parts[0], asking.question), parts[0])
    for part in parts[1:]:
        answer = asking.chat(_refine_window(part, asking.question, answer), part)
    return answer, _all(parts)


def _refine_window(part: Sequence[Block], question: str, answer: str) -> list[Message]:
    return window([*part, enclose("answer", "so far", answer)], question, _REFINE)


def _parts(
    asking: Asking,
    library: Library,
    entries: Sequence[Entry],
    *,
    instruction: str,
    besides: int = 0,
) -> list[list[Block]]:
    """All chunks in their order, in as few windows as hold them."""
    chunks = [chunk for entry in entries for chunk in library.chunks(entry)]
    asked = asking.llm.count(asking.question) + 8
    besides += -(-asked // _QUESTION_STEP_TOKENS) * _QUESTION_STEP_TOKENS
    room = asking.room - besides - asking.llm.count(window([], "", instruction))
    parts: list[list[Block]] = []
    begin = 0

    def messages(n: int) -> list[Message]:
        return window(library.passages(chunks[begin : begin + n]), "", instruction)

    while begin < len(chunks):
        n = largest_fitting(
            [chunk.tokens for chunk in chunks[begin:]],
            room,
            lambda n: asking.fits(messages(n), besides=besides),
        )
        if not n:
            needed = asking.llm.count(messages(1)) + besides + asking.reserved_tokens
            raise asking.overflow(
                "the question and one passage do not fit",
                needed,
                f"Raise budget_tokens or target_ctx to at least {needed}, or lower max_tokens.",
            )
        parts.append(library.passages(chunks[begin : begin + n]))
        begin += n
    return parts


def _note_tokens(asking: Asking) -> int:
    """Room for the notes of one part: four fit a window, so that condensing comes to an end."""
    room = asking.room - asking.llm.count(window([], asking.question, _CONDENSE))
    tokens = min(asking.reserved_tokens, room // 4 - asking.llm.count(_note(99, "")))
    if tokens < _MIN_NOTE_TOKENS:
        needed = asking.budget_tokens + 4 * (_MIN_NOTE_TOKENS - tokens)
        raise asking.overflow(
            "the question leaves no room for notes",
            needed,
            f"Raise budget_tokens or target_ctx to at least {needed}, or lower max_tokens.",
        )
    return tokens


def _groups(asking: Asking, notes: Sequence[str]) -> list[list[str]]:
    """Notes in as few windows as hold them, at least two in each but the last."""
    groups: list[list[str]] = [[]]
    for number, note in enumerate(notes, start=1):
        block = _note(number, note)
        if len(groups[-1]) >= 2 and not asking.fits(
            window([*groups[-1], block], asking.question, _CONDENSE)
        ):
            groups.append([])
        groups[-1].append(block)
    return groups


def _note(number: int, text: str) -> str:
    return enclose("notes", str(number), text.strip())


def _all(parts: Sequence[Sequence[Block]]) -> list[Block]:
    return [block for part in parts for block in part]
