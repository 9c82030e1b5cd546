"""Proves that merging by rank, as tiktoken does, equals merging by llama.cpp's list of pairs.

llama.cpp merges the adjacent *pair* that stands first in the list of merges. tiktoken has no
list: it merges the adjacent pair whose *concatenation* is the token of the lowest rank. A
token's bytes merge in the same order alone as inside a word that it does not cross, so the
two can differ only where a token's last two pieces are a pair that is not listed. Ranks that
rise along the list, and either of the proofs here, exclude that. A list edited by hand may
fail both, so they are run on every vocabulary, never assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

Merge = tuple[bytes, bytes]
Pair = tuple[int, int]
_BYTE: Pair = (-1, -1)


def ranks_rise(ranks: Mapping[bytes, int], merges: Sequence[Merge]) -> bool:
    """Whether the list names its results in the order of their ranks."""
    results = [ranks[left + right] for left, right in merges]
    return all(a <= b for a, b in pairwise(results))


def lists_every_split(ranks: Mapping[bytes, int], merges: Sequence[Merge]) -> bool:
    """Whether any two tokens that concatenate to a third are a listed pair.

    True of vocabularies that were born as ranks and converted (Llama 3). It proves equal
    merging, not that every token can be reached: only with llama.cpp's ``ignore_merges``,
    where a word that is a token is taken whole, does that not matter.
    """
    listed = set(merges)
    return all(
        (token[:cut], token[cut:]) in listed
        for token in ranks
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    )


def reaches_every_token(ranks: Mapping[bytes, int], merges: Sequence[Merge]) -> bool:
    """Whether each token's own bytes merge into it, by a listed pair last.

    True of vocabularies that were trained as a list of merges. It proves equal merging, and
    that taking a word whole when it is a token (tiktoken always does) changes nothing.
    """
    spelling = {rank: token for token, rank in ranks.items()}
    split = {ranks[bytes([byte])]: _BYTE for byte in range(256)}
    for left_bytes, right_bytes in merges:
        left, right = ranks.get(left_bytes, -1), ranks.get(right_bytes, -1)
        rank = ranks[left_bytes + right_bytes]
        if rank in split:
            continue
        known = left in split and right in split
        if known and _stays_apart(left, right, rank, split, ranks, spelling):
            split[rank] = (left, right)
    return len(split) == len(ranks)


def _stays_apart(
    left: int,
    right: int,
    limit: int,
    split: Mapping[int, Pair],
    ranks: Mapping[bytes, int],
    spelling: Mapping[int, bytes],
) -> bool:
    """Whether no merge below ``limit`` bridges the boundary between two finished tokens.

    Undoes the merges beside the boundary, the latest first. At each moment the two pieces
    there must not have been due to merge before the next merge of a neighbour was.
    """
    while True:
        bridge = ranks.get(spelling[left] + spelling[right])
        if bridge is not None and bridge < limit:
            return False
        # Bytes were always there: older than every merge.
        age_left = left if split[left] is not _BYTE else -1
        age_right = right if split[right] is not _BYTE else -1
        if age_left == age_right == -1:
            return True
        if age_left > age_right:
            limit, left = age_left, split[left][1]
        else:
            # Of two merges with one rank the left one is first, and the bridge is to the left.
            limit, right = age_right + 1, split[right][0]
