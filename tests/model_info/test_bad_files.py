"""What is no readable GGUF is named, quickly, and never crashes."""

import struct
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longctx.errors import LongCtxError, ModelFileError, RequestError, UnsupportedModelError
from longctx.model_info import ModelInfo
from longctx.planner import plan_context
from tests.conftest import TinyGguf


def refusal(path: Path, error: type[LongCtxError] = ModelFileError) -> str:
    """The message with which a file is refused."""
    with pytest.raises(error) as caught:
        ModelInfo.from_gguf(path)
    return str(caught.value)


def test_missing_file_names_its_path(tmp_path: Path) -> None:
    """A wrong path is said to be one."""
    assert "there is no file" in refusal(tmp_path / "nothing.gguf")


def test_path_with_a_nul_byte() -> None:
    """Python's ValueError for such a path does not leak."""
    assert "a path" in refusal(Path("a\0b.gguf"), RequestError)


def test_directory_offers_the_gguf_in_it(tmp_path: Path, tiny_gguf: TinyGguf) -> None:
    """A folder is refused with the name of a file to pass."""
    (tmp_path / "model.gguf").write_bytes(tiny_gguf().read_bytes())
    assert "such as model.gguf" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"GG", "is not a GGUF"),
        (bytes(range(1, 200)), "is not a GGUF"),
        (b"<!DOCTYPE html><title>Sign in</title>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (struct.pack("<Q", 24) + b'{"a":{"dtype":"F32"}}   ', "safetensors"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 77, 0, 0), "version 77"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60), "truncated"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "general.architecture"),
    ],
)
def test_message_says_what_the_file_looks_like(tmp_path: Path, content: bytes, said: str) -> None:
    """Each kind of wrong file is recognised."""
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    assert said in refusal(path)


def test_zip_is_recognised(tmp_path: Path) -> None:
    """A PyTorch checkpoint is a ZIP."""
    path = tmp_path / "model.gguf"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"0" * 100)
    assert "ZIP" in refusal(path)


def test_big_endian_file_as_gguf_writes_it(tmp_path: Path) -> None:
    """A real big-endian file, not only its first bytes."""
    path = tmp_path / "big.gguf"
    writer = gguf.GGUFWriter(path, "llama", endianess=gguf.GGUFEndian.BIG)
    writer.add_context_length(1024)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert "gguf-convert-endian" in refusal(path)


@pytest.mark.parametrize("kept", [0.001, 0.01, 0.03, 0.5, 0.999999])
def test_truncation_is_seen_anywhere(tmp_path: Path, demo_gguf: Path, kept: float) -> None:
    """In the preamble, the vocabulary, the tensor list and the last weight."""
    path = tmp_path / "cut.gguf"
    size = int(demo_gguf.stat().st_size * kept)
    with demo_gguf.open("rb") as source:
        path.write_bytes(source.read(size))
    message = refusal(path)
    assert "truncated" in message
    assert f"{size:,} bytes" in message


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        (b"berts", "does not know"),
        (b"bloom", None),
        (b"dream", "diffusion"),
        (b"t5abc", "does not"),
    ],
)
def test_architectures_that_are_no_causal_text_model(
    tmp_path: Path, architecture: bytes, said: str | None
) -> None:
    """Encoders, diffusion models and unknown names are unsupported, with the reason."""
    path = tmp_path / "model.gguf"
    name = architecture.decode()
    writer = gguf.GGUFWriter(path, name)
    writer.add_context_length(512)
    writer.add_block_count(2)
    writer.add_embedding_length(64)
    writer.add_head_count(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    if said is None:
        assert ModelInfo.from_gguf(path).rope_type == "none"
    else:
        assert said in refusal(path, UnsupportedModelError)


def test_missing_context_length_is_named(tmp_path: Path) -> None:
    """The key that is missing stands in the message."""
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert "llama.context_length is missing" in refusal(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metadata": {"llama.rope.scaling.type": "spiral"}}, "spiral"),
        ({"metadata": {"llama.rope.scaling.factor": -2.0}}, "-2"),
        ({"rope_freq_base": 0.0}, "RoPE base"),
        ({"n_rot": 7}, "rotates 7"),
        ({"n_ctx_train": 0}, "window of 0"),
    ],
)
def test_values_that_abort_llama_cpp_are_refused(
    tiny_gguf: TinyGguf, changes: dict[str, object], said: str
) -> None:
    """A file can be well-formed and say what cannot be."""
    assert said in refusal(tiny_gguf("llama", **changes))


def test_sliding_window_without_a_sliding_layer(tiny_gguf: TinyGguf) -> None:
    """llama.cpp aborts the process over it; we say so instead."""
    path = tiny_gguf("gemma3", metadata={"gemma3.attention.sliding_window_pattern": 1})
    assert "no layer that" in refusal(path)


@pytest.fixture(scope="module")
def small_header(tiny_gguf: TinyGguf) -> bytes:
    """A whole small model to damage."""
    return tiny_gguf("gemma3", n_layer=2, rope_freqs=[1.0] * 16).read_bytes()


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_flipped_bytes_give_a_model_or_our_error(
    tmp_path: Path, small_header: bytes, data: st.DataObject
) -> None:
    """No damage to a header raises anything else, or takes long."""
    damaged = bytearray(small_header)
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of the header is vocabulary, so aim at its beginning half of the time.
        limit = data.draw(st.sampled_from([1500, len(damaged) - 1]))
        at = data.draw(st.integers(0, min(limit, len(damaged) - 1)))
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damaged)
    started = time.thread_time()
    with suppress(LongCtxError):  # anything else fails the test
        info = ModelInfo.from_gguf(path)
        assert repr(info)
        assert plan_context(info, 2 * info.n_ctx_train, memory_limit="1TiB", reserve_output=0)
    assert time.thread_time() - started < 1
