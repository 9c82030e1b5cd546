"""What llama.cpp does not load, and whose fault it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from longctx import LongContextLLM, ModelFileError, ModelInfo, UnsupportedModelError
from tests.conftest import TinyGguf


def text(value: bytes) -> bytes:
    """As a GGUF has it."""
    return len(value).to_bytes(8, "little") + value


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [(b"gpt-2", b"gpt-9", "pre-tokenizer 'gpt-9'"), (b"gpt2", b"gpt9", "tokenizer 'gpt9'")],
)
def test_an_unknown_tokenizer_is_no_damage(
    tiny_gguf: TinyGguf, tmp_path: Path, old: bytes, new: bytes, said: str
) -> None:
    """The header is read; that llama.cpp is too old for the rest is said, with its version."""
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_gguf("llama").read_bytes().replace(text(old), text(new)))
    assert ModelInfo.from_gguf(path).architecture == "llama"
    with pytest.raises(UnsupportedModelError, match=said) as caught:
        LongContextLLM(path, 256, reserve_output=8)
    message = str(caught.value)
    assert "newer llama-cpp-python" in message
    assert "0.3" in message
    assert "damaged" not in message
    assert "truncated" not in message


def test_a_missing_tensor_is(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Or the file was made for another version; llama.cpp's reason stands in the message."""
    path = tmp_path / "model.gguf"
    data = tiny_gguf("llama").read_bytes()
    path.write_bytes(data.replace(b"blk.1.attn_q.weight", b"blk.1.attn_x.weight"))
    with pytest.raises(ModelFileError, match=r"blk\.1\.attn_q\.weight.*download it again"):
        LongContextLLM(path, 256, reserve_output=8)
