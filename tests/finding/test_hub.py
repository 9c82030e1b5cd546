"""Models of Hugging Face, from a hub on loopback that serves real files and real faults."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from longctx import (
    LongContextLLM,
    ModelFileError,
    PlanError,
    RemoteError,
    RequestError,
    find_model,
)
from longctx.models import list_models
from longctx.shared_models import shared_model
from tests.cache.test_session import IDS
from tests.conftest import TinyGguf
from tests.support.hub import COMMIT, SmallHub, small_hub

TINY = Path(__file__).parents[1] / "models" / "tiny-longctx.gguf"
SPACE = 64 * 2**20  # for what the tiny model needs beside its weights


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """A hub with one repository of the tiny model, and an empty cache."""
    with small_hub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        served.repos["me/tiny-GGUF"] = {
            "README.md": b"# tiny",
            "tiny-F16.gguf": TINY.read_bytes(),
            "mmproj-F16.gguf": b"GGUF",
        }
        yield served


@pytest.fixture
def several(hub: SmallHub, tiny_gguf: TinyGguf) -> SmallHub:
    """A repository of four quantisations; what is behind the weights makes the sizes."""
    tiny = tiny_gguf("llama").read_bytes()
    hub.repos["me/several-GGUF"] = {
        f"m-{label}.gguf": tiny + bytes(n * 2**20)
        for label, n in {"F16": 80, "Q8_0": 40, "Q5_K_M": 24, "Q2_K": 8}.items()
    }
    return hub


@pytest.fixture
def split(hub: SmallHub, tmp_path: Path) -> Path:
    """The tiny model in three files on the hub; its folder here."""
    folder = tmp_path / "split"
    folder.mkdir()
    reader = gguf.GGUFReader(TINY)
    writer = gguf.GGUFWriter(folder / "tiny-F16.gguf", "llama", split_max_tensors=15)
    for entry in reader.fields.values():
        if not entry.name.startswith("GGUF.") and entry.name != "general.architecture":
            kind = entry.types[0]
            items = entry.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(entry.name, entry.contents(), kind, items)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.gguf"))}
    assert len(files) == 3
    hub.repos["me/split-GGUF"] = {f"F16/{name}": data for name, data in files.items()}
    return folder


@pytest.mark.parametrize(
    "wanted",
    ["", ":F16", ":f16", ":latest", ":*f16.gguf", ":tiny-F16.gguf", "@main:F16", f"@{COMMIT}"],
)
def test_a_model_is_opened_by_its_name(hub: SmallHub, wanted: str) -> None:
    """By quantisation, pattern, file and revision; the second time nothing is sent."""
    expected = LongContextLLM(TINY, 512, n_threads=1).score(IDS[:50])
    sent = []
    for _ in range(2):
        with LongContextLLM(f"hf:me/tiny-GGUF{wanted}", 512, n_threads=1) as llm:
            np.testing.assert_array_equal(llm.score(IDS[:50]), expected)
        sent.append(hub.sent["tiny-F16.gguf"])
    # Where no quantisation is named, the header is looked at first.
    looks = 1 if "F16" in wanted.upper() else 2
    assert sent == [looks * TINY.stat().st_size] * 2


def test_all_files_of_a_split_model_come(hub: SmallHub, split: Path) -> None:
    """In a folder of the repository, by its quantisation."""
    found = find_model("hf:me/split-GGUF:F16").path
    assert found.name == "tiny-F16-00001-of-00003.gguf"
    assert len(list(found.parent.glob("*.gguf"))) == 3
    with LongContextLLM(found, 512, n_threads=1) as llm, LongContextLLM(TINY, 512) as whole:
        np.testing.assert_allclose(llm.score(IDS[:50]), whole.score(IDS[:50]), atol=1e-4)


# Interruptions


PART = 2**20


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever would wait before it tries again does not."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.mark.usefixtures("at_once")
def test_a_download_that_breaks_off_goes_on(hub: SmallHub) -> None:
    """Within a call, where something comes each time: only what is missing is sent again."""
    hub.cut_after = PART
    path = find_model("hf:me/tiny-GGUF:F16").path
    assert path.read_bytes() == TINY.read_bytes()
    assert [span for _, span in hub.downloads()] == [
        "bytes=0-", f"bytes={PART}-", f"bytes={2 * PART}-",
    ]  # fmt: skip
    assert hub.sent["tiny-F16.gguf"] == TINY.stat().st_size


@pytest.mark.parametrize("ranges", [True, False], ids=["a part is sent", "all is sent"])
def test_what_came_before_a_process_was_killed_is_kept(hub: SmallHub, ranges: bool) -> None:
    """The next process asks for the rest alone; a server may send all of it nevertheless."""
    code = """
import os, time
from longctx import find_model

time.sleep = lambda _: os._exit(9)  # it waits when a download breaks off
find_model("hf:me/tiny-GGUF:F16")
"""
    hub.cut_after = PART
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "FORCE_COLOR": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 9, done.stderr
    assert "tiny-F16.gguf" in done.stderr  # the bar, as on a terminal
    hub.cut_after, hub.ranges = None, ranges
    hub.asked.clear()
    hub.sent.clear()
    path = find_model("hf:me/tiny-GGUF:F16").path
    assert path.read_bytes() == TINY.read_bytes()
    assert hub.downloads() == [("tiny-F16.gguf", f"bytes={PART}-")]
    assert hub.sent["tiny-F16.gguf"] == TINY.stat().st_size - (PART if ranges else 0)


@pytest.mark.usefixtures("at_once")
def test_a_part_that_is_not_of_the_file_is_found_out(hub: SmallHub, tmp_path: Path) -> None:
    """By the hash of the whole; the next call begins anew."""
    hub.cut_after = 0
    with pytest.raises(RemoteError, match="what has come is kept"):
        find_model("hf:me/tiny-GGUF:F16")
    (part,) = (tmp_path / "cache").rglob("*.partial")
    part.write_bytes(b"something else")
    hub.cut_after = None
    with pytest.raises(RemoteError, match="another hash"):
        find_model("hf:me/tiny-GGUF:F16")
    assert find_model("hf:me/tiny-GGUF:F16").path.read_bytes() == TINY.read_bytes()


def test_away_from_the_hub_the_cache_serves(
    hub: SmallHub, several: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it does not answer, fails, or is forbidden; what is not there is an error."""
    path = find_model("hf:me/tiny-GGUF").path
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    for name in ("hf:me/tiny-GGUF", "hf:me/tiny-GGUF:F16", "hf:me/tiny-GGUF@main:*.gguf"):
        found = find_model(name)
        assert found.path == path
        assert "From the cache" in found.reasons[-1]
    with pytest.raises(RemoteError, match="cannot be reached") as caught:
        find_model("hf:me/several-GGUF:Q8_0")
    assert caught.value.status is None
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    hub.status = 503
    assert find_model("hf:me/tiny-GGUF").path == path
    with pytest.raises(RemoteError, match="503") as caught:
        find_model("hf:me/several-GGUF:Q8_0")
    assert caught.value.status == 503


def test_offline_by_the_variable(hub: SmallHub) -> None:
    """HF_HUB_OFFLINE asks nobody, in a process that reads it when it begins."""
    code = "from longctx.cli import main; main(['inspect', 'hf:me/tiny-GGUF:F16', '--json'])"
    path = find_model("hf:me/tiny-GGUF").path
    hub.asked.clear()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout
    assert hub.asked == []


# Who is let in, and what there is


def test_private_repositories_open_with_the_librarys_login(
    hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HF_TOKEN is its login; without it the repository is as if it were not there."""
    hub.private.add("me/tiny-GGUF")
    with pytest.raises(ModelFileError, match=r"private.*hf auth login"):
        find_model("hf:me/tiny-GGUF")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert find_model("hf:me/tiny-GGUF").path.exists()


def test_a_gated_repository_says_where_to_accept(hub: SmallHub) -> None:
    """With the page of its terms."""
    hub.gated.add("me/tiny-GGUF")
    with pytest.raises(RemoteError, match=r"gated: accept its terms on .*me/tiny-GGUF") as caught:
        find_model("hf:me/tiny-GGUF")
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("hf:me/no-such", ModelFileError, "no repository me/no-such"),
        ("hf:me/tiny-GGUF:Q4_K_M", ModelFileError, r"no Q4_K_M: there is F16 \(2\.81 MiB\)"),
        ("hf:me/tiny-GGUF:other.gguf", ModelFileError, "there is F16"),
        ("hf:me/tiny-GGUF@v9", ModelFileError, "no revision 'v9'"),
        ("hf:me/weights", ModelFileError, r"no GGUF file, but model\.safetensors"),
        ("hf:me/two-GGUF:Q8_0", ModelFileError, r"2 models: name one of .*a-Q8_0\.gguf"),
        ("hf:me", RequestError, "hf:owner/repo"),
        ("hf:", RequestError, "hf:owner/repo"),
        ("hf:a/b/c", RequestError, "hf:owner/repo"),
        ("hf:-me/..tiny", RequestError, "no name of a repository"),
    ],
)
def test_a_wrong_name_says_what_there_is(
    hub: SmallHub, name: str, error: type[Exception], said: str
) -> None:
    """Of repositories, quantisations, files, revisions and forms."""
    hub.repos["me/weights"] = {"model.safetensors": b"x"}
    hub.repos["me/two-GGUF"] = {"a-Q8_0.gguf": b"x", "b-Q8_0.gguf": b"xx"}
    with pytest.raises(error, match=said):
        find_model(name)


# Which quantisation


@pytest.mark.parametrize(
    ("mib", "chosen"), [(200, "Q8_0"), (60, "Q8_0"), (40, "Q5_K_M"), (20, "Q2_K")]
)
def test_memory_chooses_the_quantisation(several: SmallHub, mib: int, chosen: str) -> None:
    """The best up to 8 bits that fits with the window; only it is downloaded, and why is said."""
    said: list[str] = []
    found = find_model("hf:me/several-GGUF", 1024, memory_limit=f"{mib}MiB", announce=said.append)
    assert found.path.name == f"m-{chosen}.gguf"
    assert found.reasons[0].startswith(f"{chosen}, of 4 quantisations: with 1,024 tokens")
    assert ("would make" in found.reasons[0]) is (mib < 60)
    assert said[0] == found.reasons[0]
    assert "Downloading 1 files" in said[1]
    whole = {file for file, span in several.downloads() if span and span.endswith("-")}
    assert whole == {f"m-{chosen}.gguf"}


def test_a_plan_says_why_it_is_that_file(several: SmallHub) -> None:
    """The choice is the plan's first reason."""
    with LongContextLLM("hf:me/several-GGUF", 1024, memory_limit="40MiB") as llm:
        assert llm.plan.reasons[0].startswith("Q5_K_M, of 4 quantisations")


def test_what_is_here_and_fits_is_taken(several: SmallHub) -> None:
    """Memory that is freer today is no reason to download a larger file; too little is one."""
    find_model("hf:me/several-GGUF:Q5_K_M")
    several.asked.clear()
    found = find_model("hf:me/several-GGUF", 1024, memory_limit="200MiB")
    assert found.path.name == "m-Q5_K_M.gguf"
    assert several.downloads() == []
    assert find_model("hf:me/several-GGUF", 1024, memory_limit="20MiB").path.name == "m-Q2_K.gguf"


def test_where_nothing_fits_the_smallest_is_named(several: SmallHub) -> None:
    """With the window that would do."""
    with pytest.raises(PlanError, match="smallest, Q2_K, needs") as caught:
        find_model("hf:me/several-GGUF", 262_144, memory_limit="12MiB")
    assert caught.value.largest_ctx
    with pytest.raises(PlanError, match="Not even the smallest window"):
        find_model("hf:me/several-GGUF", 1024, memory_limit="4MiB")


def test_a_large_header_is_read_in_parts(hub: SmallHub, tiny_gguf: TinyGguf) -> None:
    """A vocabulary of more than 4 MiB; the weights behind it are not asked for."""
    path = tiny_gguf("llama", metadata={"general.description": "x" * 5_000_000})
    hub.repos["me/wide-GGUF"] = {f"w-{q}.gguf": path.read_bytes() for q in ("Q8_0", "Q4_0")}
    find_model("hf:me/wide-GGUF", 1024)
    spans = [span for _, span in hub.downloads()]
    assert spans[:2] == [f"bytes=0-{(4 << 20) - 1}", f"bytes={4 << 20}-{(16 << 20) - 1}"]


# What else takes a name


def test_the_cache_is_listed_by_names_that_open(
    hub: SmallHub, split: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As `longctx models` shows them."""
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "none"))
    find_model("hf:me/tiny-GGUF")
    find_model("hf:me/split-GGUF")
    names = {each.name for each in list_models() if each.place == "Hugging Face"}
    assert names == {"hf:me/tiny-GGUF:F16", "hf:me/split-GGUF:F16"}
    hub.status = 500
    for name in names:
        with LongContextLLM(name, 512) as llm:
            assert llm.info.n_ctx_train == 512


def test_adapters_share_a_model_by_its_name(hub: SmallHub) -> None:
    """What the plugins open."""
    one = shared_model("hf:me/tiny-GGUF:F16", 512)
    assert shared_model("hf:me/tiny-GGUF:F16", 512) is one
    one.close()
