"""What a file says, against llama.cpp's own reading of it."""

import hashlib
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from longctx._native import Model
from longctx.errors import ModelFileError, UnsupportedModelError
from longctx.model_info import ModelInfo
from tests.conftest import TinyGguf
from tests.support.tiny_gguf import TINY_ARCHITECTURES


def test_the_demo_model(demo_gguf: Path) -> None:
    """Every field of a real file."""
    info = ModelInfo.from_gguf(str(demo_gguf))
    assert (info.architecture, info.n_ctx_train, info.n_layer) == ("llama", 8192, 30)
    assert (info.n_head, info.n_head_kv, info.head_dim, info.n_rot) == (9, 3, 64, 64)
    assert (info.rope_freq_base, info.rope_type, info.rope_scaling) == (1e5, "norm", None)
    assert (info.sliding_window, info.n_vocab, info.n_embd, info.n_ff) == (None, 49152, 576, 1536)
    assert info.file_bytes == demo_gguf.stat().st_size
    assert info.scaling_support == "full"
    assert info.weights_type == "Q4_1"


def test_reading_takes_less_than_half_a_second(demo_gguf: Path) -> None:
    """49k tokens of vocabulary are stepped over, not decoded."""
    started = time.thread_time()
    ModelInfo.from_gguf(demo_gguf)
    assert time.thread_time() - started < 0.5


@pytest.mark.parametrize("architecture", TINY_ARCHITECTURES)
def test_agrees_with_llama_cpp(tiny_gguf: TinyGguf, architecture: str) -> None:
    """RoPE type, recurrence and weights are what llama.cpp loads."""
    path = tiny_gguf(architecture)
    info, model = ModelInfo.from_gguf(path), Model(path)
    assert info.rope_type == model.rope_type()
    assert ("recurrent" in info.layer_kinds) == model.is_recurrent()
    assert info.weights_bytes == model.size_bytes()
    assert info.n_vocab == model.n_vocab


@pytest.mark.parametrize(
    ("architecture", "kinds", "support"),
    [
        ("llama", {"full"}, "full"),
        ("gemma3", {"full", "sliding"}, "global-layers"),
        ("deepseek2", {"mla"}, "full"),
        ("mamba", {"recurrent"}, "none"),
        ("qwen2vl", {"full"}, "full"),
        ("smollm3", {"full"}, "full"),
    ],
)
def test_layer_kinds_and_support(
    tiny_gguf: TinyGguf, architecture: str, kinds: set[str], support: str
) -> None:
    """Trap 4: what scaling cannot reach is reported."""
    info = ModelInfo.from_gguf(tiny_gguf(architecture))
    assert set(info.layer_kinds) == kinds
    assert info.scaling_support == support
    assert bool(info.notes) == (architecture not in ("llama", "qwen2vl"))


def test_sliding_layers_by_period_and_by_list(tiny_gguf: TinyGguf) -> None:
    """A pattern of 3 leaves every third layer whole; a list says it layer by layer."""
    periodic = ModelInfo.from_gguf(tiny_gguf("gemma3"))
    assert periodic.layer_kinds == ("sliding", "sliding", "full") * 2
    assert periodic.sliding_window == 64
    key = "gemma3.attention.sliding_window_pattern"
    listed = ModelInfo.from_gguf(
        tiny_gguf("gemma3", metadata={key: [True, False, False, False, True, False]})
    )
    assert listed.layer_kinds == ("sliding", "full", "full", "full", "sliding", "full")


def test_window_that_llama_cpp_ignores_is_noted(tiny_gguf: TinyGguf) -> None:
    """Mistral's and Phi-3's files name a sliding window that llama.cpp does not slide."""
    info = ModelInfo.from_gguf(tiny_gguf("phi3", metadata={"phi3.attention.sliding_window": 2047}))
    assert info.sliding_window is None
    assert "2,047" in info.notes[0]


def test_key_heads_by_layer(tiny_gguf: TinyGguf) -> None:
    """Per-layer head counts, which llama.cpp's scalar metadata hides."""
    path = tiny_gguf("llama", metadata={"llama.attention.head_count_kv": [2, 1, 2]})
    info = ModelInfo.from_gguf(path)
    assert [layer.n_head_kv for layer in info.layers] == [2, 1, 2]
    assert info.n_head_kv == 2


def test_layers_without_rope(tiny_gguf: TinyGguf) -> None:
    """SmolLM3 rotates three layers of four."""
    info = ModelInfo.from_gguf(tiny_gguf("smollm3"))
    assert [layer.has_rope for layer in info.layers] == [True, True, True, False]


def test_partial_rotary(tiny_gguf: TinyGguf) -> None:
    """n_rot is not head_dim."""
    info = ModelInfo.from_gguf(tiny_gguf("stablelm"))
    assert (info.head_dim, info.n_rot) == (32, 8)


def test_scaled_file_keeps_its_trained_window(tiny_gguf: TinyGguf) -> None:
    """Trap 5: n_ctx_train as the file says, what it was before in rope_scaling."""
    info = ModelInfo.from_gguf(
        tiny_gguf(
            "qwen2",
            n_ctx_train=4096,
            rope_scaling={"type": "yarn", "factor": 4.0, "original_context_length": 1024},
        )
    )
    assert info.n_ctx_train == 4096
    assert info.rope_scaling is not None
    assert (info.rope_scaling.type, info.rope_scaling.factor) == ("yarn", 4.0)
    assert info.rope_scaling.original_ctx == 1024
    assert info.trained_freq_scale == 0.25


def test_frequency_factors_are_read(tiny_gguf: TinyGguf) -> None:
    """rope_freqs.weight is the one tensor whose values matter here."""
    factors = np.linspace(1, 8, 16, dtype=np.float32)
    info = ModelInfo.from_gguf(tiny_gguf("llama", rope_freqs=[float(f) for f in factors]))
    assert info.frequency_factors == tuple(factors.tolist())
    assert info.rope_scaling is not None
    assert info.rope_scaling.type == "frequency-factors"
    assert info.trained_freq_scale == 1


def test_longrope_takes_its_long_factors_past_the_original_window(tiny_gguf: TinyGguf) -> None:
    """As llama.cpp's get_rope_factors does."""
    info = ModelInfo.from_gguf(
        tiny_gguf(
            "phi3",
            n_ctx_train=4096,
            rope_short=[1.0] * 16,
            rope_long=[4.0] * 16,
            rope_scaling={"type": "longrope", "original_context_length": 1024},
        )
    )
    assert info.frequency_factors_at(1024) == (1.0,) * 16
    assert info.frequency_factors_at(1280) == (4.0,) * 16


def test_hash_is_that_of_the_file(tiny_gguf: TinyGguf) -> None:
    """And it is computed once."""
    path = tiny_gguf()
    info = ModelInfo.from_gguf(path)
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.sha256 is info.sha256


def test_files_of_a_split_model(tmp_path: Path, tiny_gguf: TinyGguf) -> None:
    """Sizes add up; a missing or wrong part is named."""
    first = tmp_path / "m-00001-of-00002.gguf"
    second = tmp_path / "m-00002-of-00002.gguf"
    shutil.copy(tiny_gguf("llama", metadata={"split.count": 2}), first)
    with pytest.raises(ModelFileError, match="00002-of-00002"):
        ModelInfo.from_gguf(first)
    shutil.copy(first, second)
    info = ModelInfo.from_gguf(first)
    assert info.file_bytes == 2 * first.stat().st_size
    with pytest.raises(ModelFileError, match="00001-of-00002"):
        ModelInfo.from_gguf(second)
    with pytest.raises(ModelFileError, match="rename it"):
        ModelInfo.from_gguf(shutil.copy(first, tmp_path / "renamed.gguf"))


@pytest.mark.parametrize("name", ["model.gguf", "m-00001-of-00003.gguf"])
def test_files_of_a_split_model_put_behind_each_other(
    tmp_path: Path, tiny_gguf: TinyGguf, name: str
) -> None:
    """Renaming them does not help, and the others are not missing."""
    part = tiny_gguf("llama", metadata={"split.count": 3}).read_bytes()
    for padding in (0, 13, 4096):
        path = tmp_path / name
        path.write_bytes((part + bytes(padding)) * 3)
        with pytest.raises(ModelFileError, match="put behind each other") as said:
            ModelInfo.from_gguf(path)
        assert "--merge" in str(said.value)
        assert "rename" not in str(said.value)


def test_a_number_format_newer_than_this_is_no_damage(tmp_path: Path, tiny_gguf: TinyGguf) -> None:
    """The file is as it should be; we are too old."""
    data = tiny_gguf("llama").read_bytes()
    at = data.index(b"output_norm.weight") + len(b"output_norm.weight") + 4 + 8
    path = tmp_path / "new.gguf"
    path.write_bytes(data[:at] + (999).to_bytes(4, "little") + data[at + 4 :])
    with pytest.raises(UnsupportedModelError, match=r"type 999.*newer"):
        ModelInfo.from_gguf(path)


def test_info_is_frozen_and_prints_as_a_table(demo_gguf: Path) -> None:
    """It cannot be changed, and reads well in a terminal."""
    info = ModelInfo.from_gguf(demo_gguf)
    with pytest.raises(ValidationError):
        info.n_ctx_train = 1  # type: ignore[misc]  # that it is refused is the test
    lines = repr(info).splitlines()
    assert any("8,192 tokens" in line for line in lines)
    assert max(map(len, lines)) <= 90
