"""Adapters that ask for the same model share its weights."""

from __future__ import annotations

from longctx.shared_models import shared_model
from tests.conftest import TinyGguf


def test_equal_settings_share_one_model(tiny_gguf: TinyGguf) -> None:
    """The same file under another spelling of its path is the same model."""
    path = tiny_gguf()
    first = shared_model(path, 256, reserve_output=8)
    second = shared_model(f"{path.parent}/./{path.name}", 256, reserve_output=8)
    assert second is first
    first.close()


def test_other_settings_are_another_model(tiny_gguf: TinyGguf) -> None:
    """A window of another size cannot be shared."""
    first = shared_model(tiny_gguf(), 256, reserve_output=8)
    second = shared_model(tiny_gguf(), 512, reserve_output=8)
    assert second is not first
    assert (first.target_ctx, second.target_ctx) == (256, 512)
    first.close()
    second.close()


def test_a_closed_model_is_not_handed_out(tiny_gguf: TinyGguf) -> None:
    """Who asks after close() gets one that answers."""
    first = shared_model(tiny_gguf(), 256, reserve_output=8)
    first.close()
    second = shared_model(tiny_gguf(), 256, reserve_output=8)
    assert second is not first
    assert second.tokenize("open")
    second.close()
