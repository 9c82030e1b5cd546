"""docs/architectures.md: its table says of every kind what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from longctx.model_info import ModelInfo
from longctx.model_info.architectures import (
    INDEXED,
    MROPE_IF_SECTIONS,
    NOT_CAUSAL,
    RECURRENT,
    ROPE_ON_SLIDING_LAYERS_ONLY,
    ROPE_TYPES,
    SLIDING,
)
from longctx.planner import plan_context
from tests.conftest import TinyGguf
from tests.support.tiny_gguf import TINY_ARCHITECTURES

PAGE = Path(__file__).parents[2] / "docs/architectures.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text().split("## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| kind"))
]
NAMED = {
    name: row for row in ROWS for name in re.findall(r"[a-z0-9_-]+", row[1]) if name in ROPE_TYPES
}


def of(kind: str) -> set[str]:
    """The architectures of the row of a kind."""
    (row,) = (row for row in ROWS if row[0] == kind)
    return {name for name, its_row in NAMED.items() if its_row is row}


def test_every_architecture_stands_in_the_row_of_its_kind() -> None:
    """What the tables of the code say of names; the rest depends on the file."""
    assert of("every layer sees the whole window") == set()
    assert of("some layers slide") == set(SLIDING) - ROPE_ON_SLIDING_LAYERS_ONLY
    assert of("some layers slide, those that do not have no RoPE") == ROPE_ON_SLIDING_LAYERS_ONLY
    assert of("nothing but recurrent layers") == RECURRENT
    assert of("sparse attention with an indexer") == INDEXED
    assert all(NAMED[name][2] == "a second prefill" for name in INDEXED)
    mrope = {name for name, kind in ROPE_TYPES.items() if kind == "mrope"}
    rows = of("M-RoPE, IM-RoPE") | of("recurrent layers beside attention") | INDEXED
    assert mrope | MROPE_IF_SECTIONS <= rows
    without_rope = of("recurrent layers beside attention without RoPE")
    assert all(ROPE_TYPES[name] == "none" for name in without_rope)
    assert not NAMED.keys() & NOT_CAUSAL.keys()


@pytest.mark.parametrize("architecture", TINY_ARCHITECTURES)
def test_generated_models_do_what_their_row_says(tiny_gguf: TinyGguf, architecture: str) -> None:
    """How they grow, and whether they go back by themselves."""
    path = tiny_gguf(architecture)
    info = ModelInfo.from_gguf(path)
    _, _, grows, back, slides = NAMED.get(architecture, ROWS[0])
    if grows == "nothing to scale":
        assert info.scaling_support == "none"
    else:
        assert plan_context(path, 4096).method == "self-extend"
        assert grows == "moved keys"
    assert (back == "a checkpoint") == info.forgets
    assert (slides == "moved keys") == (not info.forgets and info.turning_obstacle is None)
