"""Sessions in files: the same logits after loading, never a wrong answer, never half a file."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from longctx import BackendError, ContextOverflowError, DeviceOptions, SnapshotMismatchError
from longctx.cache.snapshot import (
    Snapshot,
    SnapshotKey,
    read_header,
    read_snapshot,
    write_snapshot,
)
from longctx.rope import RopeConfig
from tests.cache.test_session import IDS, opened
from tests.conftest import TinyGguf
from tests.support.rounding import coarser
from tests.support.thorough import thorough


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "deepseek2", "mamba"])
def test_loaded_sessions_score_as_the_saved_ones(
    tiny_gguf: TinyGguf, architecture: str, tmp_path: Path
) -> None:
    """In another model object, to the same nats."""
    path = tiny_gguf(architecture, n_ctx_train=1024)
    with opened(path, 512) as llm:
        session = llm.session()
        session.feed(IDS[:300])
        session.next_nll(IDS[300:330])
        # Both decode the last token again, alone, before they score.
        expected = session.next_nll(IDS[300:330])
        session.save(tmp_path / "a.session")
    with opened(path, 512) as llm:
        loaded = llm.load_session(tmp_path / "a.session")
        assert loaded.tokens == tuple(IDS[:300])
        # Sliding cells stand elsewhere, and threads, or a GPU, add them up in another order.
        atol = 0.01 if architecture in ("gemma3", "mamba") else 1e-5
        np.testing.assert_allclose(loaded.next_nll(IDS[300:330]), expected, atol=atol)
        assert loaded.prefilled_again == 0


@pytest.mark.parametrize("architecture", ["gemma3", "lfm2", "qwen35", "mamba"])
def test_what_layers_forget_is_saved_beside_them(
    tiny_gguf: TinyGguf, architecture: str, tmp_path: Path
) -> None:
    """A session that was saved is cut back as it was before: from its checkpoints, also where it
    grew by moved keys; one without them, as longctx wrote it before, reads again."""
    path, file = tiny_gguf(architecture, n_ctx_train=1024), tmp_path / "a.session"
    method = "none" if architecture == "mamba" else "auto"
    with opened(path, 2048, method=method) as llm:
        session = llm.session()
        for begin in range(0, 1200, 240):
            session.feed(IDS[begin : begin + 240])
        session.save(file)
        session.truncate(1000)
        assert session.prefilled_again <= 40
        expected = session.next_nll(IDS[1500:1520])
        saved = read_snapshot(file, read_header(file)[0].key)
        write_snapshot(tmp_path / "old.session", replace(saved, checkpoints=()))
    with opened(path, 2048, method=method) as llm:
        loaded = llm.load_session(file)
        assert loaded.window.cells.checkpoints.kept[-1].n_tokens == 1199
        loaded.truncate(1000)
        assert loaded.prefilled_again == 40  # behind the checkpoint before the fifth piece
        assert loaded.tokens == tuple(IDS[:1000])
        np.testing.assert_allclose(loaded.next_nll(IDS[1500:1520]), expected, atol=0.02)
        old = llm.load_session(tmp_path / "old.session")
        old.truncate(1000)
        assert old.prefilled_again == 1000
        assert old.tokens == tuple(IDS[:1000])


@pytest.mark.parametrize("kv_type", ["f16", "q8_0", "bf16"])
def test_a_snapshot_of_one_scale_loads_at_another(
    tiny_gguf: TinyGguf, kv_type: str, tmp_path: Path
) -> None:
    """From NTK grown to 1024, to YaRN at 512, to Self-Extend, and back."""
    path = tiny_gguf("llama", n_ctx_train=256, n_embd=128, head_dim=64, n_rot=64)
    file = tmp_path / "a.session"
    with opened(path, method="ntk", kv_type=kv_type) as llm:
        session = llm.session()
        session.feed(IDS[:240])
        session.grow(1024)
        expected = session.next_nll(IDS[240:250])
        session.save(file)
    for method in ("yarn", "self-extend", "ntk"):
        with opened(path, 512, method=method, kv_type=kv_type) as llm:
            loaded = llm.load_session(file)
            assert loaded.tokens == tuple(IDS[:240])
            assert loaded.prefilled_again == 0
            assert loaded.n_ctx == 256
            loaded.save(file)
    with opened(path, method="ntk", kv_type=kv_type) as llm:
        back = llm.load_session(file)
        back.grow(1024)
        np.testing.assert_allclose(back.next_nll(IDS[240:250]), expected, atol=0.15)


def test_values_that_lie_across_are_not_taken(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Without flash attention llama.cpp keeps values by column: told before it is asked."""
    path, file = tiny_gguf("llama", n_ctx_train=256), tmp_path / "a.session"
    off = DeviceOptions(flash_attention="off")
    with opened(path, devices=off) as llm:
        session = llm.session()
        session.feed(IDS[:200])
        expected = session.next_nll(IDS[200:210])
        session.save(file)
        loaded = llm.load_session(file)
        np.testing.assert_allclose(loaded.next_nll(IDS[200:210]), expected, atol=1e-3 * coarser())
    with opened(path) as llm, pytest.raises(SnapshotMismatchError, match="flash attention off"):
        llm.load_session(file)


def test_slid_and_compressed_sessions_are_saved_whole(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Dropped tokens are remembered, so that the text is recognised after loading."""
    path = tiny_gguf("llama", n_ctx_train=256)
    with opened(path, method="self-extend", overflow="slide", n_keep=4) as llm:
        session = llm.session()
        session.feed(IDS[:2000])
        session.save(tmp_path / "a.session")
        loaded = llm.load_session(tmp_path / "a.session")
        assert loaded.text_ids == IDS[:2000]
        assert loaded.dropped_tokens == session.dropped_tokens
        assert loaded.shared(IDS[:2100]) == 2000
        empty = llm.session()
        empty.save(tmp_path / "empty.session")
        assert llm.load_session(tmp_path / "empty.session").n_tokens == 0


def test_what_does_not_match_is_refused_with_the_difference(
    tiny_gguf: TinyGguf, tmp_path: Path
) -> None:
    """Another model, another KV type, a window too small, no file, no snapshot."""
    file = tmp_path / "a.session"
    with opened(tiny_gguf("llama", n_ctx_train=1024)) as llm:
        session = llm.session()
        session.feed(IDS[:400])
        session.save(file)
        with pytest.raises(BackendError, match="cannot be saved"):
            session.save(file / "below" / "a.session")
    with (
        opened(tiny_gguf("llama", n_ctx_train=1024, seed=1)) as llm,
        pytest.raises(SnapshotMismatchError, match="another model"),
    ):
        llm.load_session(file)
    with opened(tiny_gguf("llama", n_ctx_train=1024), kv_type="q8_0") as llm:
        with pytest.raises(SnapshotMismatchError, match="KV types"):
            llm.load_session(file)
        session = llm.session()
        session.feed(IDS[:20])
        with pytest.raises(SnapshotMismatchError):
            session.load(file)
        assert session.tokens == tuple(IDS[:20])
    with opened(tiny_gguf("llama", n_ctx_train=1024), 256) as llm:
        with pytest.raises(ContextOverflowError):
            llm.load_session(file)
        with pytest.raises(SnapshotMismatchError, match="cannot be read"):
            llm.load_session(tmp_path / "missing")
        (tmp_path / "text").write_text("no snapshot")
        with pytest.raises(SnapshotMismatchError, match="no saved session"):
            llm.load_session(tmp_path / "text")


def test_a_flipped_byte_is_found_wherever_it_is(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """In the header, the tokens, the keys, checkpoints; and a file cut short or made longer."""
    file = tmp_path / "a.session"
    with opened(tiny_gguf("gemma3", n_ctx_train=1024)) as llm:
        session = llm.session()
        session.feed(IDS[:40])
        session.save(file)
        good = file.read_bytes()
        random = np.random.default_rng(0)
        for place in [0, 9, 30, *random.integers(0, len(good), 60), len(good) - 1]:
            bad = bytearray(good)
            bad[place] ^= 1 << int(random.integers(8))
            file.write_bytes(bad)
            with pytest.raises(SnapshotMismatchError):
                llm.load_session(file)
        for bad_bytes in (good[:-1], good[: len(good) // 2], good[:10], b"", good + b"x"):
            file.write_bytes(bad_bytes)
            with pytest.raises(SnapshotMismatchError):
                llm.load_session(file)
        file.write_bytes(good)
        assert llm.load_session(file).n_tokens == 40


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_tokens": -5},
        {"n_tokens": 10**16},
        {"n_tokens": 39},
        {"n_dropped": -1},
        {"n_state": 10**16},
        {"n_keep": -3},
        {"shift": 2**31},
        {"n_composite": 7},
        {"n_compressed": 7},
        {"n_dropped": 30, "n_keep": 4, "n_composite": 30, "n_tokens": 30},
        {"n_shields": 10**16},
        {"checkpoints": [{"n_tokens": 5, "n_bytes": 10**16}]},
        {"checkpoints": [{"n_tokens": 41, "n_bytes": 0}]},
        {"checkpoints": [{"n_tokens": 5, "n_bytes": 0}, {"n_tokens": 4, "n_bytes": 0}]},
    ],
)
def test_a_header_that_cannot_be_is_refused(
    tiny_gguf: TinyGguf, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    """Though its checksum is right: no memory is taken for it, and whoever looks for a text goes on
    to the next file."""
    with opened(tiny_gguf("llama", n_ctx_train=1024)) as llm:
        session = llm.session()
        session.feed(IDS[:40])
        file = session.save(tmp_path / "a.session")
        raw = file.read_bytes()
        end = 12 + int.from_bytes(raw[8:12], "little")
        text = json.dumps({**json.loads(raw[12:end]), **wrong}).encode()
        parts = (len(text).to_bytes(4, "little"), text, crc32(text).to_bytes(4, "little"))
        file.write_bytes(raw[:8] + b"".join(parts) + raw[end + 4 :])
        with pytest.raises(SnapshotMismatchError):
            session.load(file)
        assert session.tokens == tuple(IDS[:40])
        with pytest.raises(SnapshotMismatchError):
            read_header(file)


def snapshot(seed: int) -> Snapshot:
    """4 MB that say which they are."""
    return Snapshot(
        key=SnapshotKey(model_sha256="0" * 64, kv_types=("f16", "f16"), build="test"),
        rope=RopeConfig(freq_base=1e4, original_ctx=256),
        n_ctx=256, n_keep=0, groups=(),
        tokens=np.full(1000, seed, dtype=np.int32),
        positions=np.arange(1000, dtype=np.int32),
        dropped=np.empty(0, dtype=np.int32),
        state=np.full(4_000_000, seed % 251, dtype=np.uint8),
    )  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to be quick")
@thorough
def test_killed_while_saving_fifty_times(tmp_path: Path) -> None:
    """kill -9 at any moment leaves a whole file, the old one or the new one, and little rubbish."""
    file = tmp_path / "a.session"
    key = snapshot(0).key
    started = time.monotonic()
    write_snapshot(file, snapshot(0))
    one_save_s = time.monotonic() - started
    random = np.random.default_rng(5)
    seen: set[int] = set()
    for _ in range(50):
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            last = int(read_snapshot(file, key).tokens[0])
            for seed in range(last + 1, 1 << 30):
                os.write(tell, b".")
                write_snapshot(file, snapshot(seed))
        for _ in range(int(random.integers(1, 4))):
            os.read(told, 1)
        time.sleep(float(random.uniform(0, 1.5)) * one_save_s)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)
        found = read_snapshot(file, key)
        assert len(set(found.tokens.tolist())) == 1
        assert set(found.state[:: 1 << 16].tolist()) == {int(found.tokens[0]) % 251}
        seen.add(int(found.tokens[0]))
    assert len(seen) > 3
    write_snapshot(file, snapshot(1))
    assert os.listdir(tmp_path) == ["a.session"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: Any) -> None:
    """The write fails half way: a typed error, and the old snapshot still loads."""
    file = tmp_path / "a.session"
    write_snapshot(file, snapshot(1))

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(BackendError, match="No space left"):
        write_snapshot(file, snapshot(2))
    assert read_snapshot(file, snapshot(0).key).tokens[0] == 1
    assert os.listdir(tmp_path) == ["a.session"]
