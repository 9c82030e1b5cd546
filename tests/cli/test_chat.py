"""``longctx chat`` with tools and its commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from longctx import LongContextLLM
from tests.cli.test_commands import run
from tests.models import TINY
from tests.support.thorough import thorough

MODEL = str(TINY)
OPTIONS = ("chat", MODEL, "--target-ctx", "1024", "--max-tokens", "12", "--temperature", "0")
THINKS = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '\\n</think>\\n\\n' }}"
    "{% endif %}{% endif %}"
)
TOOLS = """
from longctx.agents import tool

@tool
def room(number: int) -> str:
    "Say the code of a room."
    return f"The code of room {number} is 5310."
"""


def test_a_conversation_is_saved_and_goes_on(tmp_path: Path) -> None:
    """What was said before /save is known after /load in another process."""
    file = tmp_path / "chat.json"
    fact = "The pass key is 48213. Remember it. 48213 is the pass key."
    said = run(*OPTIONS, stdin=f"{fact}\n/save {file}\n/context\n").stdout
    assert f"2 messages in {file}" in said
    assert "conversation" in said
    assert "2 of 2 messages shown" in said
    assert json.loads(file.read_text())["messages"][0]["content"] == fact
    question = "What is the pass key?\n"
    assert "48213" in run(*OPTIONS, stdin=f"/load {file}\n{question}").stdout
    assert "48213" not in run(*OPTIONS, stdin=question).stdout


def test_turns_are_taken_back_and_asked_again(tmp_path: Path) -> None:
    """In a pipe as well, which loads nothing of the prompt's."""
    file = tmp_path / "chat.json"
    lines = ("/undo", "One.", "Two.", "/undo", "/retry", "Three.", f"/save {file}", "/clear",
             "/retry", "/context")  # fmt: skip
    loaded = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    done = run(*OPTIONS, "--system", "Be brief.", stdin="\n".join(lines), before=loaded)
    assert "prompt_toolkit" not in done.stderr.split()
    assert done.stderr.count("nothing was asked yet") == 2
    assert "taken back: Two." in done.stdout
    said = [m["content"] for m in json.loads(file.read_text())["messages"] if m["role"] == "user"]
    assert said == ["One.", "Three."]
    assert done.stdout.count("prefilled in") == 4
    assert "1 of 1 messages shown" in done.stdout


def test_json_is_one_line_an_answer(tmp_path: Path) -> None:
    """And one for /context; what else there is to say goes to stderr."""
    file = tmp_path / "chat.json"
    said = run(*OPTIONS, "--json", stdin=f"Hello.\nAgain.\n/context\n/save {file}\n/help\n")
    first, second, context = map(json.loads, said.stdout.splitlines())
    assert first["stop_reason"] in ("answer", "length")
    assert second["usage"]["cached_tokens"] > 0
    assert context["messages"] == 4
    assert f"4 messages in {file}" in said.stderr


def test_prompts_are_not_in_the_file() -> None:
    """Somebody types, and stdout is a file: each line of it is JSON, and the prompt is seen."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    code = "import sys; from longctx.cli import main; main(sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", code, *OPTIONS, "--json"], stdin=slave, stdout=PIPE, stderr=PIPE
    ) as child:
        os.write(master, b"Hello\\\nthere.\n/context\n\x04")
        said, prompts = child.communicate(timeout=300)
    os.close(master)
    os.close(slave)
    answer, context = map(json.loads, said.splitlines())
    assert answer["stop_reason"] in ("answer", "length")
    assert context["messages"] == 2
    assert prompts == b">   > > "


def test_tools_come_from_a_file(tmp_path: Path) -> None:
    """They stand in the prompt, with the one that reads results back."""
    file = tmp_path / "my_tools.py"
    file.write_text(TOOLS)
    done = run(*OPTIONS, "--tools", str(file), stdin="What is the code of room 7?\n/context\n")
    tools = next(line for line in done.stdout.splitlines() if line.startswith("tools"))
    assert int(tools.split()[1].replace(",", "")) > 100


def test_thoughts_go_to_stderr(tmp_path: Path) -> None:
    """Noise never ends its thoughts; told not to think, it answers. JSON has them as a field."""
    template = tmp_path / "thinks.jinja"
    template.write_text(THINKS)
    options = (*OPTIONS, "--chat-template", str(template))
    thought = json.loads(run(*options, "--json", stdin="Hello.\n").stdout)
    assert (thought["text"], bool(thought["reasoning"])) == ("", True)
    shown = run(*options, stdin="Hello.\n")
    words = " ".join(thought["reasoning"].split())[:20]
    assert words in " ".join(shown.stderr.split())
    assert words not in " ".join(shown.stdout.split())
    said = json.loads(run(*options, "--json", "--no-thinking", stdin="Hello.\n").stdout)
    assert (bool(said["text"]), said["reasoning"]) == (True, "")
    brief = (*options, "--thinking-budget", "3", "--max-tokens", "24")
    both = json.loads(run(*brief, "--json", stdin="Hello.\n").stdout)
    assert bool(both["text"]) is bool(both["reasoning"]) is True
    refused = run(*OPTIONS, "--thinking", stdin="Hello.\n")
    assert "no switch" in refused.stderr


def test_commands_that_are_none(tmp_path: Path) -> None:
    """The list of commands is shown, and the conversation goes on; a path is no command."""
    done = run(*OPTIONS, stdin="/save\n/dance\n/load nowhere.json\n/help\n/etc/hosts is a file\n")
    assert done.stderr.count("is no command") == 2
    assert "nowhere.json" in done.stderr
    assert done.stdout.count("/context") == 1
    assert done.stdout.count("prefilled in") == 1


def test_files_without_tools(tmp_path: Path) -> None:
    """A missing file, another type, one that fails and an empty one are errors, status 1."""
    fails, empty, text = (tmp_path / name for name in ("fails.py", "empty.py", "text.txt"))
    fails.write_text("1 / 0")
    empty.write_text("")
    text.write_text("x")
    for file, why in (
        (fails, "ZeroDivisionError"), (empty, "no tool"), (text, "ends in .py"),
        (tmp_path / "missing.py", "cannot be run"),
    ):  # fmt: skip
        done = run(*OPTIONS, "--tools", str(file), ok=False)
        assert done.returncode == 1
        assert "ToolError" in done.stderr
        assert why in " ".join(done.stderr.split())


def test_an_answer_is_sampled_as_conversations_are() -> None:
    """Without options; greedy is asked for, and loops then."""
    model = ("chat", MODEL, "--target-ctx", "1024", "--max-tokens", "40", "--json")
    question = "What is the shape of the array?\n"

    def said(*options: str) -> str:
        return str(json.loads(run(*model, *options, stdin=question).stdout)["text"])

    with LongContextLLM(MODEL, 1024, reserve_output=40) as llm:
        asked = [{"role": "user", "content": question.strip()}]
        greedy = llm.chat(asked).text
        drawn = llm.chat(asked, **{**llm.sampling_defaults, "seed": 5}).text
        hot = llm.chat(asked, **{**llm.sampling_defaults, "seed": 5, "temperature": 2.0}).text
    assert said("--temperature", "0") == greedy
    assert said("--seed", "5") == drawn
    assert said("--seed", "5", "--temperature", "2") == hot
    off = ("--dry-multiplier", "0", "--repeat-penalty", "1")
    assert said("--temperature", "3", "--top-k", "1", *off) == greedy
    assert len({greedy, drawn, hot}) > 1
    breakers = ("--dry-sequence-breaker", r"\n", "--dry-sequence-breaker", "none")
    assert said("--temperature", "0", "--dry-multiplier", "0", *breakers) == greedy


def test_help_says_how_it_samples() -> None:
    """The values, and each option."""
    for command in ("chat", "ask"):
        text = " ".join(run(command, "--help").stdout.replace("│", " ").split())
        for word in ("temperature 0.5", "min_p 0.1", "--top-k", "--dry-multiplier", "--mirostat",
                     "--dry-sequence-breaker"):  # fmt: skip
            assert word in text, word


def test_a_wrong_option_of_sampling_is_said() -> None:
    """Status 1, and the range."""
    done = run("chat", MODEL, "--min-p", "7", stdin="Hello\n")
    assert "min_p is 7.0; use a number from 0 to 1" in done.stderr


@thorough
def test_the_capital_of_france() -> None:
    """Without options of sampling the demo model stops; greedily it says "la France" for ever."""
    question = "What is the capital of France?\n"
    asked = ("chat", "--target-ctx", "2048", "--json", "--seed", "1")
    said = json.loads(run(*asked, stdin=question).stdout)
    assert said["stop_reason"] == "answer"
    assert len(said["text"].split()) > 3
    assert said["text"].count("la France") < 2
    greedy = (*asked, "--temperature", "0", "--max-tokens", "48")
    assert json.loads(run(*greedy, stdin=question).stdout)["text"].count("la France") > 5
