"""Token ids: whole numbers of the vocabulary, wherever they come in, or a RequestError."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from longctx import LongContextLLM, RequestError
from longctx.arguments import token_ids

WRONG: dict[str, Any] = {
    "a fraction": [1, 1.9],
    "whole floats": [1.0, 2.0],
    "a bool": [True, 2],
    "texts": ["1", "2"],
    "None": [1, None],
    "a decimal": [Decimal(1)],
    "lists": [[1, 2]],
    "negative": [1, -1],
    "past the vocabulary": [1, 1024],
    "past 32 bits": [2**32 + 1],
    "past 64 bits": [2**64 + 1],
    "bytes": b"ab",
    "a bytearray": bytearray(b"ab"),
    "one number": 5,
    "a float": 1.9,
    "nothing": None,
    "a set": {1, 2},
    "a dict": {1: 2},
    "a generator": (token for token in (1, 2)),
    "floats in an array": np.array([1.0, 2.0]),
    "bools in an array": np.array([True, False]),
    "a matrix": np.array([[1, 2]]),
    "a scalar array": np.array(1),
    "texts in an array": np.array(["a"]),
    "objects in an array": np.array([1, None]),
    "large ones in an array": np.array([2**63], dtype=np.uint64),
    "a number in an array that is negative": np.array([-1], dtype=np.int8),
    "doubles": array("d", [1.0]),
}
RIGHT: tuple[Any, ...] = (
    [5, 6, 7],
    (5, 6, 7),
    range(5, 8),
    array("i", [5, 6, 7]),
    np.array([5, 6, 7]),
    np.array([5, 6, 7], dtype=np.uint16),
    np.arange(10, 4, -1)[3:6][::-1] - 2 + np.array([2, 2, 2]),
    [np.int64(5), np.int8(6), 7],
)


@pytest.mark.parametrize("wrong", WRONG)
def test_nothing_is_rounded_nor_taken_for_a_token(llm: LongContextLLM, wrong: str) -> None:
    """Each entry refuses it before anything changes."""
    ids = WRONG[wrong]
    session = llm.session()
    session.feed([1, 2, 3])
    entries: dict[str, Callable[[Any], Any]] = {
        "feed": session.feed,
        "nll": session.nll,
        "next_nll": session.next_nll,
        "match": session.match,
        "score": llm.score,
        "detokenize": llm.detokenize,
    }
    for name, entry in entries.items():
        with pytest.raises(RequestError, match="token") as caught:
            entry(ids)
        assert type(caught.value) is RequestError, name
        assert session.tokens == (1, 2, 3), name
    session.close()


@pytest.mark.parametrize("ids", RIGHT)
def test_every_kind_of_whole_numbers_is_taken(llm: LongContextLLM, ids: Any) -> None:
    """The same ids, the same text and the same score."""
    assert llm.detokenize(ids) == llm.detokenize([5, 6, 7])
    np.testing.assert_array_equal(llm.score(ids), llm.score([5, 6, 7]))
    session = llm.session()
    session.feed(ids)
    assert session.tokens == (5, 6, 7)
    assert session.match(ids) == 3
    session.close()


@pytest.mark.parametrize("token", [1.9, 1.0, True, "1", -1, 1024, None, [1], np.float32(1)])
def test_a_generated_token_is_one_too(llm: LongContextLLM, token: Any) -> None:
    """What advance() appends by hand."""
    session = llm.session()
    session.feed([1, 2, 3])
    with pytest.raises(RequestError, match="token"):
        session.advance(token)
    assert session.tokens == (1, 2, 3)
    session.advance(np.int64(4))  # type: ignore[arg-type]  # numpy's are numbers
    assert session.tokens == (1, 2, 3, 4)
    session.close()


def test_none_is_no_wrong_one(llm: LongContextLLM) -> None:
    """An empty list feeds nothing."""
    session = llm.session()
    session.feed([])
    session.feed([1])
    assert session.next_nll([]).shape == (0,)
    assert session.n_tokens == 1
    assert llm.detokenize([]) == ""
    session.close()


def test_the_message_says_which(llm: LongContextLLM) -> None:
    """The wrong one, its type, and the bounds."""
    with pytest.raises(RequestError, match=r"1\.9, a float"):
        token_ids([1, 1.9], 10)
    with pytest.raises(RequestError, match="0 to 9"):
        token_ids([10], 10)
    assert token_ids([3, 4], 10).dtype == np.int32
