"""The real llama-server at an exported plan, used through ``connect`` as a model here is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from longctx import ContextOverflowError, LongContextLLM, ToolError, export_plan, plan_context
from longctx._native import quantize
from longctx.agents import Agent, tool
from longctx.packaged_model import demo_model
from longctx.remote import RemoteLLM, connect
from tests.remote.test_documents_and_agents import ask
from tests.remote.test_our_server import QUESTION, WEATHER
from tests.support.llama_server import llama_server, running
from tests.support.thorough import thorough

TEMPLATE = Path(__file__).parents[1] / "support" / "hermes.jinja"
N_CTX = 16_384
CALL: Any = {"id": "1", "name": "weather", "arguments": {"city": "Rome"}}
CLOCK_BY_NAME: Any = {"type": "function", "function": {"name": "clock"}}
CALLED: list[Any] = [
    *QUESTION,
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "rain"},
]


@tool
def weather(city: str) -> str:
    """Say what the weather is like in a city."""
    return f"It is raining in {city}."


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model in f16, which is the same on every processor."""
    llama_server()
    path = tmp_path_factory.mktemp("f16") / "demo.gguf"
    quantize(demo_model(), path, "f16")
    return path


@pytest.fixture(scope="module")
def here(gguf: Path) -> Iterator[LongContextLLM]:
    """The model on a fixed window of twice what it was trained for, under YaRN."""
    plan = plan_context(
        gguf, N_CTX, method="yarn", window="fixed", memory_limit="8GiB", reserve_output=64
    )
    with LongContextLLM(gguf, plan=plan, chat_template=TEMPLATE, n_threads=1) as llm:
        yield llm


@pytest.fixture(scope="module")
def url(here: LongContextLLM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its plan, exported; the template beside, for the file's own has no place for tools."""
    command = export_plan(here.plan, "llama-server").command
    log = tmp_path_factory.mktemp("log") / "server"
    with running(f"{command} --chat-template-file {TEMPLATE}", log) as url:
        yield url


@pytest.fixture(scope="module")
def there(url: str) -> Iterator[RemoteLLM]:
    """A client of it."""
    with connect(url, reserve_output=64) as llm:
        yield llm


def last_task(url: str) -> Any:
    """What the server's one slot did last."""
    return httpx.get(f"{url}/slots", timeout=60).json()[0].get("id_task")


@pytest.mark.parametrize(
    ("messages", "tools"),
    [
        (QUESTION, None),
        (QUESTION, [WEATHER]),
        (CALLED, [WEATHER]),
        ([*QUESTION, {"role": "assistant", "content": "Paris. ümläut 你好"}, QUESTION[1]], None),
    ],
)
def test_counts_are_what_is_prefilled(
    here: LongContextLLM, there: RemoteLLM, messages: Any, tools: Any
) -> None:
    """By the server's own template and tokenizer, and by ours."""
    assert (there.target_ctx, there.counts_exactly) == (N_CTX, True)
    answer = there.chat(messages, tools=tools, max_tokens=1)
    assert there.count(messages, tools) == answer.usage.prompt_tokens == here.count(messages, tools)


@pytest.mark.parametrize(
    "text", ["", " x", "Hello, world.", "<|im_end|> is text", "ümläut 你好 🎉"]
)
def test_counts_of_text(here: LongContextLLM, there: RemoteLLM, text: str) -> None:
    """What looks like a control token is text."""
    assert there.count(text) == here.count(text)


def test_an_answer_streams_as_it_is_here(here: LongContextLLM, there: RemoteLLM) -> None:
    """Word by word; the same words, at the exported scale."""
    with there.stream_chat(QUESTION, max_tokens=16) as stream:
        pieces = [chunk.text for chunk in stream]
    assert sum(map(bool, pieces)) > 3
    assert "".join(pieces) == stream.result.text == here.chat(QUESTION, max_tokens=16).text


def test_hanging_up_frees_the_slot(url: str, there: RemoteLLM) -> None:
    """An answer that would take the window is given up; the next one is answered."""
    with there.stream_chat(QUESTION, max_tokens=4000, logit_bias={"<|im_end|>": -100}) as stream:
        next(iter(stream))
    assert there.chat(QUESTION, max_tokens=4).usage.completion_tokens == 4


@thorough
def test_documents(here: LongContextLLM, there: RemoteLLM) -> None:
    """The same answer, citations, counts and report as with the model in this process."""
    own, remote = ask(here, "retrieve"), ask(there, "retrieve")
    assert "seller" in remote.text
    assert (remote.text, remote.citations, remote.report) == (own.text, own.citations, own.report)
    assert remote.usage.prompt_tokens == own.usage.prompt_tokens


@thorough
def test_an_agent(there: RemoteLLM) -> None:
    """The server reads the call out of the answer, the tool runs, its result goes back."""
    agent = Agent(there, tools=[weather], max_steps=2)
    said = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bremen"}}\n</tool_call>'
    result = agent.run(f"Say exactly this: {said}", tool_choice="required", max_tokens=64)
    assert result.steps[0].tool_calls[0].arguments == {"city": "Bremen"}
    assert "raining in Bremen" in str(result.events)


@pytest.mark.parametrize(("n_words", "max_tokens"), [(17_000, 64), (1, N_CTX)])
def test_what_does_not_fit_is_refused_before_it_is_sent(
    url: str, there: RemoteLLM, n_words: int, max_tokens: int
) -> None:
    """The server has had no task since."""
    before = last_task(url)
    messages: Any = [{"role": "user", "content": "word " * n_words}]
    with pytest.raises(ContextOverflowError) as caught:
        there.chat(messages, max_tokens=max_tokens)
    assert caught.value.n_ctx == N_CTX
    assert caught.value.needed > N_CTX
    assert last_task(url) == before


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "clock"}}]
)
def test_words_in_place_of_a_call_are_an_error(there: RemoteLLM, choice: Any) -> None:
    """The real server lets them pass, without a word of its own."""
    clock: Any = {
        "type": "function",
        "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}},
    }
    asked: Any = [{"role": "user", "content": "What is the capital of France?"}]
    with pytest.raises(ToolError, match="does not hold answers to tool_choice"):
        there.chat(asked, tools=[WEATHER, clock], tool_choice=choice, max_tokens=24)


@thorough
def test_a_template_without_tools_is_an_error(here: LongContextLLM, tmp_path: Path) -> None:
    """The server would leave them out of the prompt without a word."""
    command = export_plan(here.plan, "llama-server").command
    with running(command, tmp_path / "log") as url, connect(url, reserve_output=16) as llm:
        with pytest.raises(ToolError, match="--chat-template-file"):
            llm.chat(QUESTION, tools=[WEATHER], max_tokens=4)
        assert llm.chat(QUESTION, max_tokens=4).text
