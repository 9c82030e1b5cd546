"""`longctx demo`, whole, on a model so small that it takes seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from longctx.cli.demo import PASS_KEY, QUESTION
from longctx.evaluate import python_reference
from tests.cli.test_commands import run
from tests.conftest import TinyGguf
from tests.support.thorough import thorough


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """English several times as long as the tiny model's window of 1,024 tokens."""
    path = tmp_path / "text.txt"
    path.write_text(python_reference()[:6000])
    return path


@pytest.fixture(scope="module")
def shown(tiny_gguf: TinyGguf, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What it says of that text, as JSON."""
    path = tmp_path_factory.mktemp("demo") / "text.txt"
    path.write_text(python_reference()[:6000])
    done = run(
        "demo", "--model", str(tiny_gguf()), "--target-ctx", "8192", "--file", str(path), "--json"
    )
    return json.loads(done.stdout)


def test_all_trials_see_the_same_tokens_and_nothing_is_read_twice(shown: Any) -> None:
    """The question of each trial comes out of the cache that the scoring left."""
    none, ntk, elastic = shown["trials"]
    assert (none["method"], ntk["method"]) == ("none", "ntk")
    assert (elastic["window"], elastic["answer"]["window"]["method"]) == (
        "elastic",
        elastic["method"],
    )
    assert none["rope_freq_base"] < ntk["rope_freq_base"]
    assert none["tokens"] == ntk["tokens"] == elastic["tokens"] > 1024 + 512
    assert none["perplexity"] != ntk["perplexity"]
    for trial in shown["trials"]:
        assert trial["answer"]["usage"]["cached_tokens"] == trial["tokens"]
    assert shown["plan"]["scale"] == 8
    assert shown["question"] == QUESTION


@thorough
def test_the_tables_survive_brackets(tiny_gguf: TinyGguf, text_file: Path) -> None:
    """A question and a model name that look like markup are printed as they are."""
    model = tiny_gguf(metadata={"general.name": "tiny [/bold]"})
    done = run(
        "demo", "--model", str(model), "--target-ctx", "8192", "--file", str(text_file),
        "--question", "What is [/x]?",
    )  # fmt: skip
    assert "What is [/x]?" in done.stdout
    assert "Plan for tiny [/bold]" in done.stdout
    assert "perplexity" in done.stdout


@thorough
def test_what_leaves_no_room_for_an_answer_is_refused_before_the_first_prefill(
    tiny_gguf: TinyGguf, text_file: Path, shown: Any
) -> None:
    """A text that fits without its question and answer would otherwise fail after both passes."""
    n_tokens = shown["trials"][0]["tokens"]
    target = str(-(-n_tokens // 256) * 256)
    text_file.write_text(text_file.read_text() + "x" * (int(target) - n_tokens))
    done = run(
        "demo", "--model", str(tiny_gguf()), "--target-ctx", target, "--file", str(text_file),
        ok=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ContextOverflowError" in done.stderr
    assert "perplexity" not in done.stdout


def test_the_default_answer_stands_in_the_default_document() -> None:
    """Python versions reword their reference; the question must stay answerable."""
    words = " ".join(python_reference().split())
    assert QUESTION == "What is the name of the null object?"
    assert 'exactly one null object, named "None"' in words or (
        "exactly one null object, named ``None``" in words
    )


def test_quick_shows_it_on_the_tiny_model() -> None:
    """Past its training the model finds the number in the elastic window, and not without."""
    shown = json.loads(run("demo", "--quick", "--json").stdout)
    none, _ntk, elastic = shown["trials"]
    assert elastic["tokens"] == none["tokens"] > 2 * 512
    assert elastic["perplexity"] < none["perplexity"] / 2
    assert PASS_KEY in elastic["answer"]["text"]
    assert PASS_KEY not in none["answer"]["text"]


def test_quick_has_a_model_of_its_own(tiny_gguf: TinyGguf) -> None:
    """Another one beside it is a mistake that is named."""
    done = run("demo", "--quick", "--model", str(tiny_gguf()), ok=False)
    assert done.returncode == 1
    assert "leave yours out" in done.stderr
