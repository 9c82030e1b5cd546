"""Servers that cannot run here, by the answers that their sources and documentation show."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from longctx import (
    ContextOverflowError,
    LongContextLLM,
    RemoteError,
    RequestError,
    ToolError,
)
from longctx.remote import RemoteLLM
from longctx.remote.estimate import estimate_tokens
from longctx.remote.failures import failure
from tests.remote.pretended import HI, LLAMA_SERVER, delta, models, stream


def test_vllm_counts_by_its_own_route(served: Callable[..., RemoteLLM]) -> None:
    """Messages and tools as they are prefilled; plain text is called prompt."""
    asked: list[dict[str, Any]] = []

    def tokenize(body: dict[str, Any]) -> dict[str, Any]:
        asked.append(body)
        return {"count": 7, "max_model_len": 4096, "tokens": [1] * 7}

    llm = served({"/v1/models": models("vllm", max_model_len=4096), "/tokenize": tokenize})
    assert (llm.target_ctx, llm.counts_exactly) == (4096, True)
    tools: Any = [{"type": "function", "function": {"name": "f"}}]
    assert llm.count("text") == llm.count("text") == llm.count(HI, tools) == 7
    assert asked == [
        {"model": "org/model", "prompt": "text", "add_special_tokens": False},
        {"model": "org/model", "messages": HI, "tools": tools},
    ]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["a \ud83d", "\ude00 b"], "a 😀 b"),
        (["\ud83d", "", "\ude00"], "😀"),
        (["\ud83d\ude00"], "😀"),
        (["a \ud83d", "b"], "a \N{REPLACEMENT CHARACTER}b"),
        (["\ude00 b"], "\N{REPLACEMENT CHARACTER} b"),
        (["a \ud83d"], "a \N{REPLACEMENT CHARACTER}"),
    ],
)
@pytest.mark.parametrize("name", ["content", "reasoning_content"])
def test_servers_that_part_surrogate_pairs(
    served: Callable[..., RemoteLLM], pieces: list[str], expected: str, name: str
) -> None:
    """Each half in a chunk of its own: every piece is a text, and so is the whole, asked again."""
    chunks = [*(delta(**{name: piece}) for piece in pieces), delta("stop")]
    routes = {"/v1/models": models("vllm", max_model_len=4096), "/tokenize": {"count": 20}}
    llm = served({**routes, "/v1/chat/completions": stream(*chunks)})
    told = [chunk for chunk in llm.stream_chat(HI) if chunk.text or chunk.reasoning]
    assert "".join(chunk.text + chunk.reasoning for chunk in told) == expected
    for chunk in told:
        chunk.model_dump_json()
    answer = llm.chat(HI)
    assert answer.text + answer.reasoning == expected
    llm.chat([*HI, answer.message, *HI])


def test_a_pair_parted_in_a_call(served: Callable[..., RemoteLLM]) -> None:
    """Its pieces are texts, and its arguments what the model wrote."""
    function = {"name": "f", "arguments": '{"x": "\ud83d'}
    chunks = [
        delta(tool_calls=[{"index": 0, "id": "a", "function": function}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '\ude00"}'}}]),
        delta("tool_calls"),
    ]
    routes = {"/v1/models": models("vllm", max_model_len=4096), "/tokenize": {"count": 20}}
    llm = served({**routes, "/v1/chat/completions": stream(*chunks)})
    told = list(llm.stream_chat(HI))
    for chunk in told:
        chunk.model_dump_json()
    assert [call.arguments for call in told[-1].result.tool_calls] == [{"x": "😀"}]


def test_vllm_streams_calls_in_pieces(served: Callable[..., RemoteLLM]) -> None:
    """Arguments come letter by letter, in two calls; cached tokens where it tells them."""
    pieces = [
        delta(role="assistant", content=""),
        delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"x"'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        delta(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]),
        delta("stop"),
        {
            "choices": [],
            "usage": {
                "prompt_tokens": 20,
                "completion_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 16},
            },
        },
    ]
    routes = {"/v1/models": models("vllm", max_model_len=4096), "/tokenize": {"count": 20}}
    llm = served({**routes, "/v1/chat/completions": stream(*pieces)})
    answer = llm.chat(HI)
    assert [(c.id, c.name, c.arguments) for c in answer.tool_calls] == [
        ("a", "f", {"x": 1}),
        ("b", "g", {}),
    ]
    assert answer.finish_reason == "tool_calls"
    assert (answer.usage.cached_tokens, answer.usage.prefilled_tokens) == (16, 4)
    assert answer.window.n_ctx == 4096
    broken = delta("tool_calls", tool_calls=[{"index": 0, "function": {"arguments": "{x"}}])
    llm = served({**routes, "/v1/chat/completions": stream(broken)})
    with pytest.raises(ToolError, match="no JSON object"):
        llm.chat(HI)


def test_llama_server_counts_in_two_steps(served: Callable[..., RemoteLLM]) -> None:
    """The template is rendered there; its marks are tokens, those in plain text are not."""
    asked: list[dict[str, Any]] = []

    def tokenize(body: dict[str, Any]) -> dict[str, Any]:
        asked.append(body)
        return {"tokens": [1, 2, 3]}

    llm = served({**LLAMA_SERVER, "/tokenize": tokenize}, reserve_output=8)
    assert llm.target_ctx == 64
    assert llm.count("text") == llm.count(HI) == 3
    assert asked == [
        {"content": "text", "add_special": False, "parse_special": False},
        {"content": "<|im_start|>Hi", "add_special": True, "parse_special": True},
    ]


def test_a_prompt_is_counted_by_the_server_once(served: Callable[..., RemoteLLM]) -> None:
    """Budget, overflow check and a missing usage take one count, which is two requests here."""
    asked: list[dict[str, Any]] = []

    def tokenize(body: dict[str, Any]) -> dict[str, Any]:
        asked.append(body)
        return {"tokens": [1] * (3 if body["parse_special"] else 1)}

    answer = stream(delta(content="Hello"), delta("stop"))  # no usage
    routes = {**LLAMA_SERVER, "/tokenize": tokenize, "/v1/chat/completions": answer}
    llm = served(routes, reserve_output=8)
    prompt = llm.prompt(HI)
    assert llm.prompt(prompt) is prompt
    assert llm.count(prompt) == prompt.n_tokens == 3
    assert llm.chat(prompt).usage.prompt_tokens == 3
    assert [body["content"] for body in asked] == ["<|im_start|>Hi", "Hello"]
    asked.clear()
    assert llm.chat(HI).usage.prompt_tokens == 3
    assert [body["content"] for body in asked] == ["<|im_start|>Hi", "Hello"]
    tools: Any = [{"type": "function", "function": {"name": "f"}}]
    with pytest.raises(RequestError, match="counted with 0 tools"):
        llm.chat(prompt, tools=tools)


def test_llama_server_cuts_answers_so_they_are_counted_first(
    served: Callable[..., RemoteLLM],
) -> None:
    """Refused before it is asked; its progress and cached tokens are read."""
    seen: list[Any] = []
    bodies: list[dict[str, Any]] = []

    def chat(body: dict[str, Any]) -> httpx.Response:
        bodies.append(body)
        return stream(
            {**delta(), "prompt_progress": {"total": 40, "cache": 8, "processed": 24}},
            delta(content="Hello"),
            delta("length"),
            {
                "choices": [],
                "usage": {"prompt_tokens": 40, "completion_tokens": 5},
                "timings": {"cache_n": 8, "prompt_n": 32},
            },
        )

    routes = {**LLAMA_SERVER, "/tokenize": {"tokens": [1] * 40}, "/v1/chat/completions": chat}
    llm = served(routes, reserve_output=8)
    answer = llm.chat(HI, on_progress=seen.append)
    assert (answer.text, answer.finish_reason) == ("Hello", "length")
    assert (answer.usage.cached_tokens, answer.usage.prefilled_tokens) == (8, 32)
    told = [(p.cached_tokens, p.done_tokens, p.total_tokens) for p in seen]
    assert told == [(8, 16, 32)]
    assert bodies[0]["return_progress"] is True
    with pytest.raises(ContextOverflowError, match="Nothing was cut") as caught:
        llm.chat(HI, max_tokens=25)
    assert (caught.value.needed, caught.value.n_ctx, len(bodies)) == (65, 64, 1)


def test_a_server_that_tells_nothing(
    served: Callable[..., RemoteLLM], caplog: pytest.LogCaptureFixture
) -> None:
    """Its window must be given; counts are estimates, and it is said that they are."""
    routes = {"/v1/models": models("somebody"), "/v1/chat/completions": stream(
        delta(content="Yes."), delta("stop"))}  # fmt: skip
    with pytest.raises(RemoteError, match="target_ctx="):
        served(routes)
    llm = served(routes, target_ctx=4096)
    assert not llm.counts_exactly
    assert "estimated" in repr(llm)
    assert "counts are estimates" in caplog.text
    usage = llm.chat(HI).usage
    assert usage.prompt_tokens == llm.count(HI)
    assert usage.completion_tokens == llm.count("Yes.")
    # Behind a proxy that hides what it is, the routes can be named.
    exact = served({**routes, "/tokenize": {"count": 5}}, target_ctx=4096, counting="vllm")
    assert exact.count(HI) == 5
    with pytest.raises(RemoteError, match="Check base_url"):
        served(routes, target_ctx=4096, counting="vllm").count(HI)


def test_an_estimate_is_not_too_low(demo_gguf: Path) -> None:
    """On prose, code, numbers, other scripts and conversations, by the demo model's tokenizer."""
    from longctx.evaluate import python_reference

    source = Path(estimate_tokens.__code__.co_filename).read_text(encoding="utf-8")
    texts = [
        python_reference()[:20_000],
        source,
        "3.14159 26535 89793 23846 " * 20,
        "你好世界。长文本很难。" * 20,
        "Привет, мир! Как дела?" * 20,
        "🎉🚀👩‍👩‍👧" * 20,
        "a  b\t\tc\n\n\n    d",
        "THE QUICK BROWN FOX " * 20,
        "camelCaseIdentifiers and snake_case_names, aGVsbG8gd29ybGQgYW5k",
        '{"key": [1, 2, {"nested": null}]}',
        "",
    ]
    with LongContextLLM(demo_gguf, 1024, reserve_output=1) as llm:
        for text in texts:
            assert estimate_tokens(text) >= llm.count(text), text[:40]
        assert estimate_tokens(texts[0]) < 2 * llm.count(texts[0])


@pytest.mark.parametrize(
    ("status", "error", "numbers"),
    [
        (
            400,
            {"message": "Too long. Nothing was cut.", "code": "context_length_exceeded",
             "needed": 90, "available": 64, "n_ctx": 64},
            (90, 64),
        ),
        (
            400,
            {"code": 400, "message": "the request exceeds the available context size",
             "type": "exceed_context_size_error", "n_prompt_tokens": 70, "n_ctx": 64},
            (80, 64),
        ),
        (
            400,
            {"message": "This model's maximum context length is 64 tokens. However, you "
             "requested 76 tokens (66 in the messages, 10 in the completion).",
             "type": "BadRequestError", "code": 400},
            (76, 64),
        ),
        (
            400,
            {"message": "'max_tokens' or 'max_completion_tokens' is too large: 10. This model's "
             "maximum context length is 64 tokens and your request has 60 input tokens (10 > 64 "
             "- 60).", "code": 400},
            (70, 64),
        ),
    ],
)  # fmt: skip
def test_overflow_in_every_dialect(
    status: int, error: dict[str, Any], numbers: tuple[int, int]
) -> None:
    """Ours, llama-server's and vLLM's, nested or not, are one error with its numbers."""
    for body in ({"error": error}, error):
        found = failure(status, json.dumps(body), {}, "http://x", max_tokens=10)
        assert isinstance(found, ContextOverflowError)
        assert (found.needed, found.n_ctx) == numbers


def test_other_answers_are_remote_errors() -> None:
    """Also those that are no JSON; a date to retry after is a second."""
    for text in ("<html>Bad gateway</html>", "", "[]", '{"error": "overloaded"}', "null"):
        found = failure(502, text, {}, "http://x")
        assert isinstance(found, RemoteError)
        assert (found.status, found.retry_after_s) == (502, None)
    late = failure(503, "", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, "http://x")
    assert isinstance(late, RemoteError)
    assert late.retry_after_s == 1.0


def test_an_answer_that_breaks_off_is_an_error(served: Callable[..., RemoteLLM]) -> None:
    """An error event, a stream without an end, and one that is no JSON."""
    for text, said in (
        (stream(delta(content="Yes"), {"error": {"message": "out of memory"}}), "out of memory"),
        (stream(delta(content="Yes")), "in the middle"),
        (lambda body: stream() if body["stream"] else {"choices": []}, "in the middle"),
        (stream(delta(content="Yes"), "data: {"), "no JSON object"),
    ):
        routes = {"/v1/models": models("somebody"), "/v1/chat/completions": text}
        llm = served(routes, target_ctx=4096)
        with pytest.raises(RemoteError, match=said):
            llm.chat(HI)


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": "none"},
        {"choices": [7]},
        {"choices": [{"delta": []}, 1]},
        {"choices": [{"delta": {"tool_calls": [3]}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": "first"}]}}]},
        {"choices": [{"delta": {"content": {"type": "text"}}}]},
        {"choices": [], "usage": {"prompt_tokens": "many"}},
        {"prompt_progress": {"total": None}, "choices": {"a": 1}},
    ],
)
def test_chunks_that_are_none(served: Callable[..., RemoteLLM], chunk: dict[str, Any]) -> None:
    """Whatever a server sends, the error is one of ours."""
    routes = {"/v1/models": models("somebody"), "/v1/chat/completions": stream(chunk)}
    with pytest.raises(RemoteError):
        served(routes, target_ctx=4096).chat(HI, on_progress=lambda _: None)


def test_one_of_several_models_must_be_named(served: Callable[..., RemoteLLM]) -> None:
    """The names are in the message."""
    two = {"data": [{"id": "one"}, {"id": "two"}]}
    with pytest.raises(RemoteError, match="'one', 'two'; pass one as model="):
        served({"/v1/models": two}, target_ctx=512)
    assert served({"/v1/models": two}, model="two", target_ctx=2048).model == "two"
    with pytest.raises(RemoteError, match="none"):
        served({"/v1/models": {"data": None}}, target_ctx=512)


SAMPLED: dict[str, Any] = {
    "temperature": 0.7, "top_k": 40, "top_p": 0.9, "min_p": 0.05, "presence_penalty": 1,
    "frequency_penalty": 0.5, "repeat_penalty": 1.1, "logit_bias": {5: 1, "6": -100}, "seed": 3,
}  # fmt: skip
DRY: dict[str, Any] = {
    "dry_multiplier": 0.8, "xtc_probability": 0.1, "mirostat": 2,
    "dry_sequence_breakers": [".", "\n"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("owner", "renamed", "also"),
    [
        ("somebody", {}, {**DRY, "stop_on_repetition": False}),
        ("longctx", {}, {**DRY, "stop_on_repetition": False}),
        ("llamacpp", {}, DRY),
        ("vllm", {"repeat_penalty": "repetition_penalty"}, {}),
    ],
)
def test_options_of_sampling_have_the_servers_names(
    served: Callable[..., RemoteLLM], owner: str, renamed: dict[str, str], also: dict[str, Any]
) -> None:
    """All arrive; one that the server would ignore is refused, and None is not sent."""
    bodies: list[dict[str, Any]] = []

    def chat(body: dict[str, Any]) -> httpx.Response:
        bodies.append(body)
        return stream(delta(content="Yes."), delta("stop"))

    routes = {
        **LLAMA_SERVER, "/tokenize": {"tokens": [1], "count": 1},
        "/v1/models": models(owner, max_model_len=64), "/v1/chat/completions": chat,
    }  # fmt: skip
    llm = served(routes, reserve_output=8)
    llm.chat(HI, **{**SAMPLED, **also, "typical_p": None})
    expected = {**SAMPLED, **also, "logit_bias": {"5": 1, "6": -100}}
    for name, value in expected.items():
        assert bodies[0][renamed.get(name, name)] == value, name
    assert not {"typical_p", *renamed} & bodies[0].keys()
    lacking = {**DRY, "typical_p": 0.5, "stop_on_repetition": True}.keys() - also.keys()
    for name in lacking if owner in ("vllm", "llamacpp") else ():
        if name != "typical_p" or owner == "vllm":
            with pytest.raises(RequestError, match=f"has no {name}"):
                llm.chat(HI, **{name: {**DRY, "typical_p": 0.5, "stop_on_repetition": True}[name]})
    assert len(bodies) == 1
