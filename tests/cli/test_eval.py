"""`longctx eval`, as a user types it, on a model of noise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longctx import LongContextLLM
from longctx.cli.measuring import Shown, measure_each
from longctx.evaluate import CompressResult, RecallResult, recall
from longctx.types import ProgressCallback
from tests.cli.test_commands import run
from tests.conftest import TinyGguf
from tests.models import TINY
from tests.support.thorough import thorough

KINDS = ("perplexity", "recall", "passkey", "needle", "ruler", "stream", "compress")


def test_help_teaches_every_measure() -> None:
    """Each is listed with what it says, and its own help has an example."""
    listed = run("eval", "--help").stdout
    for kind in KINDS:
        assert kind in listed
        shown = run("eval", kind, "--help").stdout
        assert f"longctx eval {kind}" in shown
        for option in ("--seed", "--json", "--plot", "--html", "--methods"):
            assert option in shown


def test_several_methods_in_one_run(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """One row each: fixed windows, elastic ones; the plot shows all."""
    plot = tmp_path / "perplexity.png"
    done = run(
        "eval", "perplexity", str(tiny_gguf(n_ctx_train=512)), "--length", "1024", "--stride",
        "64", "--methods", "none,ntk,elastic:linear", "--plot", str(plot),
    )  # fmt: skip
    title, header, *rows = done.stdout.strip().splitlines()
    assert "Perplexity of the 64 tokens" in title
    assert "1,024" in header
    assert [row.split("  ")[1] for row in rows] == ["none", "ntk s=2", "linear s=2, elastic"]
    assert plot.stat().st_size > 5000


def test_json_is_the_result(tiny_gguf: TinyGguf) -> None:
    """One document, each entry the result that the library returns."""
    done = run(
        "eval", "recall", str(tiny_gguf()), "--length", "900", "--facts", "4", "--methods",
        "none", "--seed", "3", "--json",
    )  # fmt: skip
    (shown,) = json.loads(done.stdout)["results"]
    result = RecallResult.model_validate(shown)
    assert (result.seed, result.length, len(result.facts)) == (3, 900, 4)


@thorough
def test_caches_of_several_types_and_texts_in_one_run(tiny_gguf: TinyGguf) -> None:
    """Whole and compressed, on one axis of bytes."""
    done = run(
        "eval", "compress", str(tiny_gguf()), "--length", "1240", "--kinds", "sparse,code",
        "--kv-types", "f16,q8_0", "--methods", "keydiff", "--keep", "50", "--json",
    )  # fmt: skip
    shown = [CompressResult.model_validate(each) for each in json.loads(done.stdout)["results"]]
    asked = [("f16", "sparse"), ("f16", "code"), ("q8_0", "sparse"), ("q8_0", "code")]
    assert [(each.subject.kv_type_k, each.kind) for each in shown] == asked
    for each in shown:
        whole, half = each.scores
        assert (whole.method, half.method, half.keep) == ("whole", "keydiff", 0.5)
        assert half.cells == -(-whole.cells // 2)
        assert half.n_bytes < 0.55 * whole.n_bytes
    assert shown[2].scores[0].n_bytes < 0.6 * shown[0].scores[0].n_bytes
    table = CompressResult.table(shown)
    assert table.count("keydiff") == 4


def test_what_is_compressed_past_the_trained_window_was_read_scaled() -> None:
    """Else there would be nothing in the cache that could be lost."""
    done = run(
        "eval", "compress", str(TINY), "--length", "1200", "--kinds", "dense", "--kv-types", "f16",
        "--methods", "keydiff", "--keep", "75", "--json",
    )  # fmt: skip
    (shown,) = json.loads(done.stdout)["results"]
    whole, most = CompressResult.model_validate(shown).scores
    assert whole.perplexity < 40  # unscaled 65, and 2.6 nats
    assert most.nats < 1.5


def test_a_page_of_several_measures(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """Each measure can write a page; those that printed JSON can share one."""
    page, saved = tmp_path / "page.html", []
    for kind, options in (("recall", ["--length", "900", "--facts", "2"]), ("passkey", [])):
        if kind == "passkey":
            options = ["--lengths", "900", "--depths", "0,100", "--trials", "1"]
        model = str(tiny_gguf())
        done = run(
            "eval", kind, model, *options, "--methods", "none", "--json", "--html", str(page)
        )
        assert f"longctx eval {kind} {model}" in page.read_text()
        saved.append(tmp_path / f"{kind}.json")
        saved[-1].write_text(done.stdout)
    run("eval", "report", *map(str, saved), "--html", str(page))
    text = page.read_text()
    assert "Recall of facts by depth" in text
    assert "Pass keys by depth" in text


def test_an_interrupted_run_shows_what_it_has(
    tiny_gguf: TinyGguf, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in the second method: the first one's row is printed, and the interrupt goes on."""

    def measure(llm: LongContextLLM, _progress: ProgressCallback) -> RecallResult:
        if llm.plan.method == "linear":
            raise KeyboardInterrupt
        return recall(llm, 900, n_facts=4)

    path = str(tiny_gguf(n_ctx_train=512))
    with pytest.raises(KeyboardInterrupt):
        measure_each(RecallResult, measure, path, "ntk,linear,yarn", 1024, shown=Shown())
    shown = capsys.readouterr()
    assert "stopped" in shown.err
    assert "ntk s=2" in shown.out
    assert "linear" not in shown.out


def test_a_text_of_ones_own(tiny_gguf: TinyGguf, tmp_path: Path) -> None:
    """--file is what is read; it says so when that is too short."""
    file = tmp_path / "text.txt"
    file.write_text("the cat sat on the mat. " * 30)
    arguments = ("eval", "perplexity", str(tiny_gguf()), "--methods", "none", "--file", str(file))
    assert "128" in run(*arguments, "--length", "128", "--stride", "16").stdout
    done = run(*arguments, "--length", "1024", ok=False)
    assert done.returncode == 1
    assert "DocumentError" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["perplexity", "no-such.gguf"], 1, "ModelFileError"),
        (["perplexity", "{model}", "--length", "-5"], 1, "PlanError"),
        (["perplexity", "{model}", "--methods", "magic"], 1, "PlanError"),
        (["perplexity", "{model}", "--methods", ","], 2, "--methods"),
        (["perplexity", "{model}", "--plot", "nowhere/plot.png"], 1, "no such folder"),
        (["perplexity", "{model}", "--plot", "plot.docx"], 1, "suffix"),
        (["perplexity", "{model}", "--html", "report.txt"], 1, ".html"),
        (["report", "nowhere.json"], 1, "nowhere.json"),
        (["report"], 2, "files"),
        (["recall", "{model}", "--length", "10"], 1, "ContextOverflowError"),
        (["passkey", "{model}", "--lengths", "a"], 2, "--lengths"),
        (["passkey", "{model}", "--lengths", "900", "--depths", "150"], 1, "RequestError"),
        (["ruler", "{model}", "--lengths", "900", "--tasks", "qa"], 1, "niah_single"),
        (["frobnicate"], 2, "Usage"),
    ],
)
def test_nonsense_is_answered_on_stderr(
    tiny_gguf: TinyGguf, arguments: list[str], status: int, said: str
) -> None:
    """Exit status 1 for an error, 2 for wrong usage; nothing on stdout."""
    filled = [argument.format(model=tiny_gguf()) for argument in arguments]
    done = run("eval", *filled, ok=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
