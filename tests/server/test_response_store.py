"""What the Responses API keeps is bounded, whatever is put in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longctx import Message
from longctx.server.errors import ApiError
from longctx.server.responses.store import ResponseStore


def _keep(store: ResponseStore, name: str, n_chars: int) -> None:
    document: Any = {"id": name, "output": [{"id": f"{name}-out", "type": "message"}]}
    items = [{"id": f"{name}-in", "type": "message"}]
    store.keep(document, items, [Message(role="user", content="x" * n_chars)])


def _has(store: ResponseStore, name: str) -> bool:
    try:
        return store.find(name).document["id"] == name
    except ApiError:
        return False


@given(st.lists(st.integers(0, 1500), max_size=12))
def test_the_bounds_hold(sizes: list[int]) -> None:
    """Of number and of bytes; the newest is kept; nothing is counted that has gone."""
    store = ResponseStore(2, 2000)
    for i, n_chars in enumerate(sizes):
        _keep(store, str(i), n_chars)
        assert _has(store, str(i))
        kept = [store.find(str(n)) for n in range(i + 1) if _has(store, str(n))]
        assert len(kept) <= 2
        assert sum(each.n_bytes for each in kept) <= 2000
    for n in range(len(sizes)):
        if _has(store, str(n)):
            store.drop(str(n))
    for name in ("a", "b"):
        _keep(store, name, 500)
    assert _has(store, "a")
    assert _has(store, "b")


def test_what_alone_is_too_large_is_not_kept() -> None:
    """Nothing makes way for it."""
    store = ResponseStore(10, 2000)
    _keep(store, "small", 10)
    _keep(store, "large", 3000)
    assert not _has(store, "large")
    assert _has(store, "small")
    with pytest.raises(ApiError, match="2,000 bytes"):
        store.find("large")


def test_items_are_found_where_they_are_kept() -> None:
    """Of input and output, and no longer than their response."""
    store = ResponseStore(10, 2000)
    _keep(store, "a", 10)
    assert store.item("a-in")["id"] == "a-in"
    assert store.item("a-out")["id"] == "a-out"
    store.drop("a")
    with pytest.raises(ApiError, match="no item"):
        store.item("a-out")
