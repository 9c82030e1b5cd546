"""Which stop string ended an answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from longctx.engine.stops import StopWatcher

_TEXT = st.text("ab", max_size=12)
_STOPS = st.lists(st.text("ab", min_size=1, max_size=3), max_size=3)


@given(_TEXT, _STOPS, st.integers(1, 4))
def test_it_is_the_one_that_comes_first(text: str, stops: list[str], step: int) -> None:
    """However the text is cut: what is shown is all before it, and where none comes all of it."""
    watcher = StopWatcher(tuple(stops))
    shown = ""
    for i in range(0, len(text), step):
        piece, is_over = watcher.push(text[i : i + step])
        shown += piece
        if is_over:
            break
    else:
        assert watcher.reached is None
        assert shown + watcher.flush() == text
        assert not any(stop in text for stop in stops)
        return
    assert watcher.reached in stops
    assert text.startswith(shown + (watcher.reached or ""))
    assert not any(stop in shown for stop in stops)
