"""Prompts at exact token counts: the longest that fits, found by counting."""

from __future__ import annotations

from collections.abc import Callable

from longctx.errors import ContextOverflowError


def largest_fitting(
    count: Callable[[int], int], limit: int, upper: int, what: str = "the prompt"
) -> int:
    """Find the largest size of a prompt that fits.

    Args:
        count: tokens of the prompt with n units of filler; it grows with n, up to the few
            tokens by which a tokenizer may differ at a seam.
        limit: tokens that it may have.
        upper: the largest n to consider.
        what: the prompt's name, for the error.

    Returns:
        n with ``count(n) <= limit``, and n + 1 is too long or more than ``upper``.

    Raises:
        ContextOverflowError: even without filler it is longer than ``limit``.
    """
    if (needed := count(0)) > limit:
        raise ContextOverflowError(
            f"{what} takes {needed} tokens without any filler, and {limit} are left for it; "
            "measure a longer length",
            needed=needed,
            available=limit,
            n_ctx=limit,
        )
    if count(upper) <= limit:
        return upper
    fits, too_long = 0, upper
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if count(middle) <= limit:
            fits = middle
        else:
            too_long = middle
    return fits
