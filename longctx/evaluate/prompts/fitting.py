"""Prompts at exact token counts: the longest that fits, found by counting."""

from __future__ import annotations

from collections.abc import Callable

from longctx.errors import ContextOverflowError

_LEAP = 8  # times the largest n that fits, at most: few words do not tell how long many are
_HALVED = 5  # every so many probes take the middle: filler need not be even


def largest_fitting(
    count: Callable[[int], int],
    limit: int,
    upper: int,
    what: str = "the prompt",
    *,
    first: int = 64,
) -> int:
    """Find the largest size of a prompt that fits.

    Args:
        count: tokens of the prompt with n units of filler; it grows with n, up to the few
            tokens by which a tokenizer may differ at a seam.
        limit: tokens that it may have.
        upper: the largest n to consider.
        what: the prompt's name, for the error.
        first: the n to try first.

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
    fits, n_fits = 0, needed
    too_long, n_too_long = upper + 1, 0  # nobody counted that yet
    probe, n_probes = min(upper, first), 0
    while too_long - fits > 1:
        if (n := count(probe)) <= limit:
            fits, n_fits = probe, n
        else:
            too_long, n_too_long = probe, n
        n_probes += 1
        if n_too_long:
            width, n_added = too_long - fits, n_too_long - n_fits
        else:
            width, n_added = fits, n_fits - needed
        if n_too_long and n_probes % _HALVED == 0:
            probe = (fits + too_long) // 2
        else:
            # Where a straight line ends at the limit: in turn a little behind it and before it.
            beside = width // 64 if n_probes % 2 else -(width // 64)
            probe = fits + width * (limit - n_fits) // max(1, n_added) + beside
        leap = _LEAP * max(fits, 1) if not n_too_long else too_long
        probe = min(max(probe, fits + 1), too_long - 1, leap)
    return fits
