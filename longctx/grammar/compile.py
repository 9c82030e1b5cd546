"""Compiling grammars where their depth cannot overflow the stack.

llguidance follows references by calling itself, some 9 KB of stack a level, and its stack is the
calling thread's: 8 MB on Linux, a half of one on macOS. Past its end the process dies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from longctx.errors import BackendError, RequestError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from longctx.grammar.grammar import Grammar

MAX_LEVELS = 10_000
"""Schemas inside each other, references followed."""
_SHALLOW = 24
"""Levels that every thread has the stack for."""
_STACK_BYTES = 256 * 2**20
_NOT_YET = "no tokenizer - can't validate"
"""What it says of special tokens where it is not told the vocabulary: they are checked with it."""

R = TypeVar("R")
_stack_size = threading.Lock()


def check(grammar: Grammar) -> tuple[str, ...]:
    """Compile a grammar and forget it, in any thread, without a vocabulary.

    Special tokens are looked up when an answer begins.

    Returns:
        What llguidance ignores of it, each as a sentence.

    Raises:
        RequestError: it is malformed, or too large.
    """
    # Loaded by the first grammar: most answers have none, and it takes 4 MB.
    from llguidance import LLMatcher

    failed, said = _deep(
        grammar.levels, lambda: LLMatcher.validate_grammar_with_warnings(grammar.lark)
    )
    if failed:
        raise RequestError(reason(said[0]))
    return tuple(text for text in said if _NOT_YET not in text)


def compiled(tokenizer: LLTokenizer, grammar: Grammar) -> LLMatcher:
    """A matcher at a grammar's beginning.

    Raises:
        RequestError: it is malformed, too large, or names a token that is not there.
    """
    from llguidance import LLMatcher

    matcher = _deep(grammar.levels, lambda: LLMatcher(tokenizer, grammar.lark, log_level=0))
    if matcher.is_error():
        raise RequestError(reason(matcher.get_error()))
    return matcher


def reason(message: str) -> str:
    """What llguidance complains of, without the state and the grammar that it prints with it."""
    text = message.split("<state>")[0].split("<grammar>")[0].strip()
    return f"llguidance refuses the grammar: {text[:500]}"


def _deep(levels: int, function: Callable[[], R]) -> R:
    """Call a function with the stack that so many levels need."""
    if levels > MAX_LEVELS:
        raise RequestError(
            f"llguidance refuses the grammar: its schemas stand {levels:,} deep in each other; "
            f"flatten them to {MAX_LEVELS:,} or fewer"
        )
    if levels <= _SHALLOW:
        return function()
    done: list[R] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(function())
        except BaseException as error:
            failed.append(error)

    with _stack_size:  # it is the process's; others who start a thread meanwhile get more stack
        before = threading.stack_size(_STACK_BYTES)
        try:
            thread = threading.Thread(target=run, name="longctx-grammar")
            thread.start()
        except RuntimeError as error:
            raise BackendError(
                f"there is no memory for a stack of {_STACK_BYTES // 2**20} MiB, which a schema "
                f"{levels:,} levels deep needs: {error}; flatten it"
            ) from error
        finally:
            threading.stack_size(before)
    thread.join()
    if failed:
        raise failed[0]
    return done[0]
