"""What llama-cpp-python and llama-server do where a window ends, beside longctx.

The tests' small model, trained on 512 tokens, with a window of 2,048 wanted, each as its
documentation says to ask for it (`n_ctx=2048`, `-c 2048 -np 1`, `target_ctx=2048`);
llama-server also with the file's window overridden, and by the line that `longctx export` prints:

- a pass key at the beginning of a chat of some 1,600 tokens, asked for at its end, greedily;
- a chat longer than the window;
- a chat with room for some tokens less than the answer that is asked for;
- what `<|im_end|>` in a user's message becomes;
- two conversations of some 400 tokens in turn: tokens prefilled in the third and fourth call.

    python benchmarks/elsewhere.py      # half a minute on one core
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from llama_cpp import Llama
from machine import save

from longctx import LongContextLLM, LongCtxError, export_plan, plan_context
from longctx.evaluate import python_reference

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "tests" / "models" / "tiny-longctx.gguf"
WINDOW, ANSWER = 2048, 16
KEYS = 10
MARK = "<|im_end|>"

sys.path.insert(0, str(ROOT))
from tests.support.llama_server import llama_server, running  # noqa: E402  # the root is no package

Messages = list[dict[str, str]]
Ask = Callable[[Messages, int], tuple[str, dict[str, Any]]]
"""Messages and most tokens of the answer; its text, and prompt, cached tokens, why it ended."""


@contextmanager
def ours() -> Iterator[Ask]:
    with LongContextLLM(MODEL, WINDOW, reserve_output=ANSWER, n_threads=1) as llm:

        def ask(messages: Messages, most: int) -> tuple[str, dict[str, Any]]:
            answer = llm.chat(messages, max_tokens=most)
            usage = answer.usage
            return answer.text, {
                "prompt": usage.prompt_tokens,
                "prefilled": usage.prefilled_tokens,
                "finish": answer.finish_reason,
            }

        yield ask


@contextmanager
def llama_cpp_python() -> Iterator[Ask]:
    llm = Llama(str(MODEL), n_ctx=WINDOW, n_threads=1, n_threads_batch=1, verbose=False)
    evaluated: list[int] = []
    eval_tokens = llm.eval

    def counting(tokens: list[int]) -> None:
        evaluated.append(len(tokens))
        eval_tokens(tokens)

    llm.eval = counting  # it does not tell what was prefilled

    def ask(messages: Messages, most: int) -> tuple[str, dict[str, Any]]:
        evaluated.clear()
        found = llm.create_chat_completion(messages, max_tokens=most, temperature=0)
        choice = found["choices"][0]
        return choice["message"]["content"] or "", {
            "prompt": found["usage"]["prompt_tokens"],
            "prefilled": evaluated[0],
            "finish": choice["finish_reason"],
        }

    yield ask
    llm.close()


def server(*options: str) -> AbstractContextManager[Ask]:
    return served(" ".join(["llama-server", "-m", str(MODEL), "-c", str(WINDOW), *options]))


def exported() -> AbstractContextManager[Ask]:
    """As `longctx export --method yarn --to llama-server` says."""
    plan = plan_context(MODEL, WINDOW, method="yarn", window="fixed", reserve_output=ANSWER)
    return served(export_plan(plan, "llama-server").command)


@contextmanager
def served(command: str) -> Iterator[Ask]:
    with TemporaryDirectory() as folder, running(command, Path(folder, "log")) as url:

        def ask(messages: Messages, most: int) -> tuple[str, dict[str, Any]]:
            body = {"messages": messages, "max_tokens": most, "temperature": 0}
            reply = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).json()
            if "error" in reply:
                raise RuntimeError(reply["error"]["message"])
            choice, timings = reply["choices"][0], reply["timings"]
            return choice["message"]["content"] or "", {
                "prompt": reply["usage"]["prompt_tokens"],
                "prefilled": timings["prompt_n"],
                "finish": choice["finish_reason"],
            }

        yield ask


def chat(text: str) -> Messages:
    return [{"role": "user", "content": text}]


def said(ask: Ask, messages: Messages, most: int) -> str:
    """The answer and how it ended, or the error, in one line."""
    try:
        text, told = ask(messages, most)
    except (LongCtxError, RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return f"answers, {told['finish']}: {text[:60]!r}"


def pass_keys(ask: Ask, prose: str) -> tuple[int, str]:
    """How many of the keys are found, and what was said the last time."""
    found, said_last = 0, ""
    for number in range(KEYS):
        key = str(10_007 + 7919 * number)
        begin = 3000 * number
        text = f"The pass key is {key}. Remember it. {key} is the pass key.\n\n"
        text += prose[begin : begin + 3900] + "\n\nWhat is the pass key?"
        said_last = said(ask, chat(text), ANSWER)
        found += key in re.sub(r"\s", "", said_last)
    return found, said_last


def measure(ask: Ask, prose: str) -> dict[str, Any]:
    found, last = pass_keys(ask, prose)
    few = ask(chat("a " * 10), 1)[1]["prompt"]
    marked = ask(chat("a " * 10 + MARK * 10), 1)[1]["prompt"]
    talks = [chat(prose[at : at + 1000]) for at in (0, 20_000)]
    alternating = [ask(talk, 1)[1]["prefilled"] for talk in talks * 2]
    return {
        "pass keys found": f"{found} of {KEYS}",
        "last answer": last,
        "longer than the window": said(ask, chat(prose[:9000]), ANSWER),
        "too little room for the answer": said(ask, chat("word " * 680), 1200),
        f"tokens of {MARK} in a message": (marked - few) / 10,
        "prefilled, two conversations in turn": alternating,
    }


def main() -> None:
    prose = python_reference()
    tried = {
        "longctx": ours,
        f"llama-cpp-python {version('llama-cpp-python')}": llama_cpp_python,
        "llama-server -c 2048 -np 1": lambda: server("-np", "1"),
        "llama-server, the file's window overridden": lambda: server(
            "-np", "1", "--override-kv", f"llama.context_length=int:{WINDOW}"
        ),
        "llama-server, as exported with YaRN": exported,
    }
    figures: dict[str, Any] = {}
    told = subprocess.run([llama_server(), "--version"], capture_output=True, text=True, check=True)
    print((told.stdout + told.stderr).strip().splitlines()[0])
    for name, opened in tried.items():
        with opened() as ask:
            figures[name] = measure(ask, prose)
        print(f"== {name}", *(f"{key}: {value}" for key, value in figures[name].items()), sep="\n")
    print("raw figures:", save("elsewhere", figures))


if __name__ == "__main__":
    main()
