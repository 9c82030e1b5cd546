"""Documents of whose keys and values a share is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from longctx import LongContextLLM, RequestError, UnsupportedModelError
from longctx.documents import Document, DocumentQA
from longctx.testing import ScriptedChatModel
from tests.cli.test_commands import run
from tests.conftest import TinyGguf
from tests.support.read_only import refused

TREES = {
    name: f"The {name} has {n} thousand leaves and a brown bark. " * 10
    for n, name in enumerate(("oak", "elm", "ash"), start=3)
}


def opened(tiny_gguf: TinyGguf, **options: Any) -> LongContextLLM:
    """A model that reads all the trees at its own positions."""
    path = tiny_gguf("llama", n_ctx_train=2048)
    return LongContextLLM(path, 2048, **{"n_threads": 1, "reserve_output": 8, **options})


def library(llm: Any, compile: float | None = 0.75, **options: Any) -> DocumentQA:
    """The trees."""
    qa = DocumentQA(llm, **options)
    for name, text in TREES.items():
        qa.add(text, doc_id=name, compile=compile)
    return qa


def test_a_share_is_kept_and_said(tiny_gguf: TinyGguf) -> None:
    """Of each document; any subset of them is there without reading it again."""
    with opened(tiny_gguf) as llm:
        qa = library(llm)
        answer = qa.ask("How many?", max_tokens=4)
        report = answer.report
        assert [(c.doc_id, c.share) for c in report.compiled] == [(n, 0.75) for n in TREES]
        tokens = {d.doc_id: d.tokens for d in report.documents}
        for each in report.compiled:
            assert 0.8 * tokens[each.doc_id] < each.tokens < tokens[each.doc_id]
            assert f"{each.doc_id} is compiled: 75% of the cells of {each.tokens:,}" in str(report)
        assert report.notes == ()
        # The texts, less their edges, without those of the prompt that were read in place.
        assert answer.usage.prefilled_tokens > sum(c.tokens for c in report.compiled)
        (session,) = llm.engine.sessions
        assert session.kept_share < 0.9
        assert session.n_tokens < 0.9 * answer.usage.prompt_tokens
        for names in (["ash", "oak"], ["elm"]):
            some = qa.ask("Which?", max_tokens=2, doc_ids=names)
            assert {c.doc_id for c in some.report.compiled} == set(names)
            assert some.usage.prefilled_tokens < 0.5 * some.usage.prompt_tokens
        again = qa.ask("How many?", max_tokens=4)
        assert (again.text, again.usage.prefilled_tokens) == (answer.text, 0)
        assert again.report.compiled == report.compiled


def test_who_did_not_ask_for_it_gets_the_whole(tiny_gguf: TinyGguf) -> None:
    """The same prompt of another library is answered as if nothing had been compiled."""
    with opened(tiny_gguf) as llm:
        alone = library(llm, None).ask("How many leaves?", max_tokens=16)
    with opened(tiny_gguf) as llm:
        assert library(llm, 0.3).ask("How many leaves?", max_tokens=16).report.compiled
        after = library(llm, None).ask("How many leaves?", max_tokens=16)
        assert after.text == alone.text
        assert after.report.compiled == ()
        # Only what stands before the first document is shared.
        assert after.usage.cached_tokens < 0.4 * after.usage.prompt_tokens
        mixed = DocumentQA(llm)
        mixed.add(TREES["oak"], doc_id="oak", compile=1)
        mixed.add(TREES["elm"], doc_id="elm", compile=0.5)
        report = mixed.ask("Which?", max_tokens=2).report
        assert [c.doc_id for c in report.compiled] == ["elm"]
        assert report.notes == ()


def test_the_disk_has_less_of_it(
    tiny_gguf: TinyGguf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process reads the files; the smaller the share, the smaller they are."""
    sizes, texts = {}, []
    for share in (0.75, 0.5):
        folder = tmp_path / str(share)
        for process in range(2):
            with opened(tiny_gguf, cache_dir=folder) as llm:
                answer = library(llm, share).ask("How many?", max_tokens=4)
            files = list(folder.rglob("*.passage"))
            assert len(files) == 3
            sizes[share] = sum(file.stat().st_size for file in files)
            texts.append(answer.text)
            usage = answer.usage
            assert (usage.prefilled_tokens < 0.5 * usage.prompt_tokens) is (process == 1)
        assert texts[-1] == texts[-2]
        assert not list(folder.rglob("*.session"))
    assert sizes[0.5] < 0.75 * sizes[0.75]
    for file in (tmp_path / "0.5").rglob("*.passage"):  # damaged: it is read again
        file.write_bytes(file.read_bytes()[:-9])
    monkeypatch.setattr(Path, "unlink", refused)  # though it cannot be removed
    with opened(tiny_gguf, cache_dir=tmp_path / "0.5") as llm:
        assert library(llm, 0.5).ask("How many?", max_tokens=4).text == texts[-1]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.99])
@pytest.mark.parametrize("options", [{}, {"overflow": "slide", "n_keep": 100}])
def test_whatever_is_left_of_a_short_one(tiny_gguf: TinyGguf, share: float, options: Any) -> None:
    """Its first and last tokens alone, or all of it: it is read once, and so are the others."""
    with opened(tiny_gguf, **options) as llm:
        qa = DocumentQA(llm)
        for name, text in TREES.items():
            qa.add(text[:60], doc_id=name, compile=share)
        assert len(qa.ask("Which?", max_tokens=2).report.compiled) == 3
        again = qa.ask("Why?", max_tokens=2)
        assert (len(again.report.compiled), again.report.notes) == (3, ())
        assert again.usage.prefilled_tokens < 40


THINKS_AT_ITS_FRONT = (
    "{% if enable_thinking %}Think, step by step, and answer in a few words.\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("compose", [None, 16])
def test_a_template_that_switches_thinking_at_its_front(
    tiny_gguf: TinyGguf, compose: int | None
) -> None:
    """What is placed stands behind that."""
    with opened(tiny_gguf, chat_template=THINKS_AT_ITS_FRONT) as llm:
        qa = library(llm, 0.75 if compose is None else None, compose=compose)
        for thinking in (None, True):
            answer = qa.ask("Which?", max_tokens=2, thinking=thinking)
            assert len(answer.report.compiled) == (3 if compose is None else 0)
        assert answer.usage.prefilled_tokens < 0.5 * answer.usage.prompt_tokens
        assert answer.usage.prompt_tokens == answer.report.prompt_tokens


def test_a_library_remembers_it(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """On disk, too; another share is another document, and none is as before."""
    path = tmp_path / "trees.library"
    with opened(tiny_gguf) as llm, library(llm, path=path):
        pass
    with opened(tiny_gguf) as llm, DocumentQA(llm, path=path) as qa:
        assert [d.compile for d in qa.documents] == [0.75] * 3
        qa.update(TREES["oak"], doc_id="oak", compile=0.5)
        qa.update(TREES["elm"], doc_id="elm")
        report = qa.ask("Which?", max_tokens=2).report
        assert [(c.doc_id, c.share) for c in report.compiled] == [("oak", 0.5), ("ash", 0.75)]
    # A model that cannot reads them whole, and says so.
    with DocumentQA(ScriptedChatModel(["None."]), path=path) as qa:
        report = qa.ask("Which?").report
        assert report.compiled == ()
        (note,) = report.notes
        assert "oak, ash" in note
        assert "ScriptedChatModel" in note


def test_what_cannot_be_compiled_is_said(tiny_gguf: TinyGguf) -> None:
    """Short ones, long ones, and passages of them."""
    path = tiny_gguf("llama", n_ctx_train=1024)
    with LongContextLLM(path, 4096, n_threads=1, reserve_output=8) as llm:
        qa = DocumentQA(llm, strategy="whole")
        qa.add("No.", doc_id="s", compile=0.5)
        qa.add(" ".join(TREES.values()) * 2, doc_id="long", compile=0.5)
        qa.add(TREES["ash"], doc_id="ash", compile=0.5)
        report = qa.ask("Which?", max_tokens=2).report
        assert [c.doc_id for c in report.compiled] == ["ash"]
        assert "s, long" in report.notes[0]
    with LongContextLLM(path, 4096, n_threads=1, reserve_output=32) as llm:
        qa = DocumentQA(llm, strategy="map_reduce", budget_tokens=1200)
        qa.add(" ".join(TREES.values()) * 2, doc_id="long", compile=0.5)
        assert "passages" in qa.ask("Which?", max_tokens=16).report.notes[0]


def test_a_folder(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """All of its documents."""
    for name, text in TREES.items():
        (tmp_path / f"{name}.txt").write_text(text)
    with opened(tiny_gguf) as llm:
        qa = DocumentQA(llm)
        assert len(qa.add_folder(tmp_path, compile=0.5).added) == 3
        assert len(qa.add_folder(tmp_path, compile=0.5).unchanged) == 3
        assert len(qa.ask("Which?", max_tokens=2).report.compiled) == 3


@pytest.mark.parametrize("share", [0, -1, 1.5, "half", True])
def test_nonsense_is_refused(tiny_gguf: TinyGguf, share: Any) -> None:
    """When it is added."""
    with opened(tiny_gguf) as llm, pytest.raises(RequestError):
        DocumentQA(llm).add("Text.", doc_id="a", compile=share)
    with pytest.raises(RequestError, match="compile"):
        Document(doc_id="a", text="Text.", compile=share)


def test_models_that_cannot(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """It is said when a document is added, with the reason."""
    (tmp_path / "a.txt").write_text("Text.")
    with pytest.raises(RequestError, match="ScriptedChatModel"):
        DocumentQA(ScriptedChatModel(["yes"])).add(tmp_path / "a.txt", compile=0.5)
    with LongContextLLM(tiny_gguf("gemma3"), 1024, n_threads=1, reserve_output=8) as llm:
        qa = DocumentQA(llm)
        for add in (
            lambda: qa.add("Text.", doc_id="a", compile=0.5),
            lambda: qa.add(Document(doc_id="a", text="Text.", compile=0.5)),
            lambda: qa.add(Document(doc_id="a", text="Text."), compile=0.5),
            lambda: qa.add_folder(tmp_path, compile=0.5),
        ):
            with pytest.raises(UnsupportedModelError, match="sliding-window"):
                add()
        assert qa.documents == ()


def test_from_a_shell(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Files and folders; what is kept is there the next time."""
    (tmp_path / "trees").mkdir()
    for name, text in TREES.items():
        (tmp_path / "trees" / f"{name}.txt").write_text(text)
    model = str(tiny_gguf("llama", n_ctx_train=2048))
    asked = ["ask", str(tmp_path / "trees"), f"one={tmp_path / 'trees' / 'oak.txt'}", "Which?"]
    asked += ["--model", model, "--target-ctx", "2048", "--max-tokens", "2", "--json"]
    asked += ["--compile", "0.6", "--cache-dir", str(tmp_path / "cache")]
    answer = json.loads(run(*asked).stdout)
    assert [c["share"] for c in answer["report"]["compiled"]] == [0.6] * 3
    assert len(list((tmp_path / "cache").rglob("*.passage"))) == 3
