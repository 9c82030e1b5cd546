"""How a file would have its model sampled, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest

from longctx import LongContextLLM, plan_context
from longctx.model_info import ModelInfo
from longctx.sampling import CONVERSATION
from tests.models import TINY


def _with(path: Path, values: dict[str, Any]) -> Path:
    """The small model, with keys ``general.sampling.…``."""
    reader = gguf.GGUFReader(TINY)
    writer = gguf.GGUFWriter(path, "llama")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, inner)
    for name, value in values.items():
        if isinstance(value, float):
            writer.add_float32(f"general.sampling.{name}", value)
        elif isinstance(value, str):
            writer.add_string(f"general.sampling.{name}", value)
        else:
            writer.add_int32(f"general.sampling.{name}", value)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_what_a_file_suggests_is_read_said_and_offered(tmp_path: Path) -> None:
    """By our names; the call stays greedy unless it asks for it."""
    suggested = {"temp": 0.6, "top_k": 20, "min_p": 0.05, "penalty_repeat": 1.1}
    path = _with(tmp_path / "model.gguf", {**suggested, "penalty_last_n": 32})
    info = ModelInfo.from_gguf(path)
    expected = {
        "temperature": 0.6, "top_k": 20, "min_p": 0.05, "repeat_penalty": 1.1, "repeat_last_n": 32,
    }  # fmt: skip
    assert info.sampling == expected
    line = "the file suggests temperature 0.6, top_k 20, min_p 0.05"
    assert line in repr(info)
    assert line in repr(plan_context(path, 512))
    with LongContextLLM(path, 512, reserve_output=16) as llm, LongContextLLM(TINY, 512) as plain:
        assert llm.sampling_defaults == expected
        greedy = llm.generate("One, two", max_tokens=16).text
        assert greedy == plain.generate("One, two", max_tokens=16).text
        drawn = [
            llm.generate("One, two", max_tokens=16, **{**llm.sampling_defaults, "seed": 4}).text
            for _ in range(2)
        ]
        assert drawn[0] == drawn[1] != greedy


def test_without_a_suggestion_conversations_are_sampled_as_ours_are(tmp_path: Path) -> None:
    """And a file that names no temperature gets ours, not temperature 0."""
    with LongContextLLM(TINY, 512) as llm:
        assert llm.info.sampling == {}
        assert llm.sampling_defaults == CONVERSATION
    with LongContextLLM(_with(tmp_path / "model.gguf", {"top_k": 5}), 512) as llm:
        assert llm.sampling_defaults == {"temperature": CONVERSATION["temperature"], "top_k": 5}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("temp", -1.0, "temperature is -1.0"),
        ("temp", float("nan"), "temperature is nan"),
        ("top_k", "many", "top_k"),
        ("mirostat", 3, "mirostat is 3"),
        ("sequence", "kfypmt", "sequence is not followed"),
        ("dynatemp", 0.5, "dynatemp is not followed"),
    ],
)
def test_what_is_not_followed_is_noted(tmp_path: Path, name: str, value: Any, said: str) -> None:
    """A wrong hint makes no model unusable."""
    info = ModelInfo.from_gguf(_with(tmp_path / "model.gguf", {name: value}))
    assert info.sampling == {}
    (note,) = [note for note in info.notes if f"general.sampling.{name}" in note]
    assert said in note
