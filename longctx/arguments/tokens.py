"""Token ids."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

from longctx.arguments.values import shown
from longctx.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def token_ids(ids: Any, n_vocab: int) -> NDArray[np.int32]:
    """Token ids of a vocabulary: int32[n].

    Args:
        ids: a list or another sequence of whole numbers, or an integer array of one dimension.
        n_vocab: size of the vocabulary.

    Raises:
        RequestError: they are something else (floats, bools, bytes, a text), or one lies outside
            the vocabulary. Nothing is rounded.
    """
    import numpy as np  # here, for `longctx --help` needs none

    if isinstance(ids, np.ndarray):
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise RequestError(
                f"token ids are an array of {ids.dtype}{list(ids.shape)}; pass integers in one "
                "dimension"
            )
        found = ids
    else:
        is_sequence = isinstance(ids, Sequence | array) and not isinstance(
            ids, str | bytes | bytearray | memoryview
        )
        if not is_sequence:
            raise RequestError(
                f"token ids are {shown(ids)}, a {type(ids).__name__}; pass a list of whole "
                "numbers, or an integer array"
            )
        # By type: numpy would turn 1.9 into 1 and True among numbers into 1.
        for kind in set(map(type, ids)):
            if not issubclass(kind, Integral) or issubclass(kind, bool):
                wrong = next(token for token in ids if type(token) is kind)
                raise RequestError(
                    f"a token id is {shown(wrong)}, a {kind.__name__}; token ids are whole numbers"
                )
        try:
            found = np.array(ids, dtype=np.int64)
        except OverflowError:
            found = np.array([n_vocab])  # past 64 bits, so outside any vocabulary
    if found.size and not (int(found.min()) >= 0 and int(found.max()) < n_vocab):
        raise RequestError(
            f"a token id lies outside the vocabulary (0 to {n_vocab - 1}); were the ids made by "
            "another model's tokenizer?"
        )
    return found.astype(np.int32)


def are_numbers(value: Any) -> bool:
    """Whether it is a list or an array of whole numbers, and not empty."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "iu" and bool(value.size)
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
    # By type, for a prompt has thousands of few types.
    return is_list and bool(value) and all(issubclass(t, Integral) for t in set(map(type, value)))
