"""Several models behind one server, by real clients over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic import Anthropic
from openai import InternalServerError, NotFoundError, OpenAI

from longctx import LongContextLLM
from longctx.planner import plan_context
from longctx.remote import RemoteLLM
from longctx.server import ModelPool, ModelSource, service
from longctx.server.model_source import Prepared
from tests.conftest import TinyGguf
from tests.server.endless import ENDLESS, SHORT, EndlessLLM
from tests.server.live_server import LiveServer, serving

HI: Any = [{"role": "user", "content": "Hello there."}]
OPENING: dict[str, Any] = {"target_ctx": 1024, "reserve_output": 16, "n_threads": 1}


def _file(name: str, path: Path, **changes: Any) -> ModelSource:
    return ModelSource.of_file(name, str(path), **{**OPENING, **changes})


@pytest.fixture
def two(tiny_gguf: TinyGguf) -> list[ModelSource]:
    """Two models that answer otherwise."""
    return [_file("one", tiny_gguf()), _file("other", tiny_gguf(seed=7))]


@pytest.fixture
def live(two: list[ModelSource]) -> Iterator[LiveServer]:
    """Both, of which one at a time is open."""
    with ModelPool(two, max_open=1) as pool, serving(pool) as live:
        yield live


def _states(live: LiveServer) -> dict[str, str]:
    listed = httpx.get(f"{live.url}/v1/models", timeout=60).json()["data"]
    return {model["id"]: model["status"]["value"] for model in listed}


def _ask(live: LiveServer, model: str, **more: Any) -> str:
    answer = live.openai().chat.completions.create(model=model, messages=HI, max_tokens=8, **more)
    assert answer.model == model
    return str(answer.choices[0].message.content)


def _by_responses(live: LiveServer, model: str) -> str:
    return live.openai().responses.create(model=model, input="Hi.", max_output_tokens=3).model


def _by_messages(live: LiveServer, model: str) -> str:
    client = Anthropic(base_url=live.url, api_key="none", max_retries=0)
    return client.messages.create(model=model, messages=HI, max_tokens=3).model


def _by_text(live: LiveServer, model: str) -> str:
    return live.openai().completions.create(model=model, prompt="Hi.", max_tokens=3).model


def _by_template(live: LiveServer, model: str) -> str:
    body = {"model": model, "messages": HI}
    told = httpx.post(f"{live.url}/apply-template", json=body, timeout=60).json()
    assert "Hello there." in told["prompt"]
    return model


def _by_props(live: LiveServer, model: str) -> str:
    asked = {"model": model}
    return str(httpx.get(f"{live.url}/props", params=asked, timeout=60).json()["model_alias"])


def _by_file(live: LiveServer, model: str) -> str:
    asked = {"model": model, "name": "a.txt"}
    told = httpx.post(f"{live.url}/page/files", params=asked, content=b"Hello.", timeout=60).json()
    assert told["n_tokens"] > 0
    return model


def _by_remote(live: LiveServer, model: str) -> str:
    with RemoteLLM(live.url, model, reserve_output=16) as llm:
        assert llm.count(HI) == len(llm.prompt(HI).ids)
        return llm.model


BY_PROTOCOL: list[Callable[[LiveServer, str], str]] = [
    _by_responses, _by_messages, _by_text, _by_template, _by_props, _by_file, _by_remote,
]  # fmt: skip


def test_the_request_says_which(live: LiveServer, two: list[ModelSource]) -> None:
    """By every protocol; one is opened at its first request, and the other makes way."""
    assert _states(live) == {"one": "unloaded", "other": "unloaded"}
    expected = {source.name: _answer_of(source) for source in two}
    assert expected["one"] != expected["other"]
    for _ in range(2):
        for name in expected:
            assert _ask(live, name) == expected[name]
            assert _states(live) == dict.fromkeys(expected, "unloaded") | {name: "loaded"}
    for i, by_protocol in enumerate(BY_PROTOCOL):
        name = ("one", "other")[i % 2]
        assert by_protocol(live, name) == name
        assert _states(live)[name] == "loaded"


def _answer_of(source: ModelSource) -> str:
    with source.prepare(2**30).open() as llm, llm.stream_chat(HI, max_tokens=8) as stream:
        return stream.result.text


def test_a_name_that_is_not_here(two: list[ModelSource]) -> None:
    """The first answers, with a warning; or nobody does. Both are named."""
    with ModelPool(two) as pool, serving(pool) as live:
        asked = {"model": "gpt-9", "messages": HI, "max_tokens": 1}
        reply = httpx.post(f"{live.url}/v1/chat/completions", json=asked, timeout=60)
        assert reply.json()["model"] == "one"
        assert "'gpt-9'" in reply.headers["longctx-warning"]
        assert _states(live) == {"one": "loaded", "other": "unloaded"}
    with (
        ModelPool(two) as pool,
        serving(pool, strict_model=True) as live,
        pytest.raises(NotFoundError, match="'one' and 'other'"),
    ):
        _ask(live, "gpt-9")


def test_the_least_recently_used_makes_way_when_memory_is_short(tiny_gguf: TinyGguf) -> None:
    """Room for two of three."""
    paths = {name: tiny_gguf(seed=seed) for name, seed in (("a", 1), ("b", 2), ("c", 3))}
    sources = [_file(name, path) for name, path in paths.items()]
    need = plan_context(paths["a"], 1024, reserve_output=16).memory.total_bytes
    with ModelPool(sources, memory_limit=int(2.5 * need)) as pool, serving(pool) as live:
        opened = []
        for name in ("a", "b", "a", "c", "b"):
            _ask(live, name)
            states = _states(live)
            opened.append({each for each in states if states[each] == "loaded"})
        assert opened == [{"a"}, {"a", "b"}, {"a", "b"}, {"a", "c"}, {"b", "c"}]


def test_one_that_cannot_be_opened(tmp_path: Path, tiny_gguf: TinyGguf) -> None:
    """A 503 that says why; the others go on, and it is tried again. Where files lie is told to the
    operator alone."""
    path, told = tmp_path / "late.gguf", list[str]()
    sources = [_file("here", tiny_gguf()), _file("late", path)]
    sources.append(_file("large", tiny_gguf(), target_ctx=1024, kv_type="nonsense"))
    with ModelPool(sources, announce=told.append) as pool, serving(pool) as live:
        for name, why in (("late", "late.gguf"), ("large", "nonsense")):
            with pytest.raises(InternalServerError, match=why) as caught:
                _ask(live, name)
            assert caught.value.status_code == 503
            assert caught.value.code == "model_unavailable"
            assert _states(live)[name] == "failed"
        with pytest.raises(InternalServerError, match="cannot be opened"):
            _ask(live, "late", n=2)
        assert any(str(path) in line for line in told)
        asked = {"model": "late", "messages": HI}
        for reply in (
            httpx.post(f"{live.url}/v1/chat/completions", json=asked, timeout=60),
            httpx.get(f"{live.url}/v1/models", timeout=60),
        ):
            assert "late.gguf" in reply.text
            assert str(tmp_path) not in reply.text
        assert _ask(live, "here")
        path.write_bytes(tiny_gguf().read_bytes())
        assert _ask(live, "late") == _ask(live, "here")
        assert _states(live) == {"here": "loaded", "late": "loaded", "large": "failed"}


def _endless(name: str, path: Path) -> ModelSource:
    def opened() -> Any:
        return EndlessLLM(LongContextLLM(path, **OPENING))

    return ModelSource(name, lambda _: Prepared(1, opened), 1024)


def test_none_is_closed_while_it_answers(tiny_gguf: TinyGguf) -> None:
    """Who asks for another waits; new requests of the one that must leave wait behind them."""
    sources = [_endless("one", tiny_gguf()), _endless("other", tiny_gguf(seed=7))]
    with ModelPool(sources, max_open=1) as pool, serving(pool) as live:
        asked = {"model": "one", "messages": ENDLESS, "stream": True}
        with ThreadPoolExecutor(2) as threads, live.http() as http:

            def short(model: str) -> str:
                create = live.openai().chat.completions.create
                return create(model=model, messages=SHORT, max_tokens=2).model

            with http.stream("POST", "/v1/chat/completions", json=asked) as reply:
                lines = reply.iter_lines()
                assert next(lines)
                other = threads.submit(short, "other")
                live.wait_for_jobs(2)
                later = threads.submit(short, "one")
                live.wait_for_jobs(3)
                assert _states(live) == {"one": "loaded", "other": "loading"}
            assert other.result(60) == "other"
            assert later.result(60) == "one"
        assert _states(live) == {"one": "loaded", "other": "unloaded"}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_an_opening_that_fails_ends_a_stream_in_its_protocol(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status was sent: it is an event, as of any answer that breaks off."""
    monkeypatch.setattr(service, "OPENED_WITHIN_S", 0.0)
    asked: dict[str, Any] = {"stream": True, "model": "gone"}
    asked |= {"input": "Hi."} if "responses" in path else {"messages": HI, "max_tokens": 5}
    with ModelPool([_file("gone", tmp_path / "gone.gguf")]) as pool, serving(pool) as live:
        reply = httpx.post(f"{live.url}{path}", json=asked, timeout=60)
        assert reply.status_code == 200
        assert "cannot be opened" in reply.text.splitlines()[-2]


def test_a_closed_model_says_what_is_known(live: LiveServer) -> None:
    """The window that is asked for, before it was ever open; the plan ever after."""
    client: OpenAI = live.openai()

    def details() -> dict[str, Any]:
        found = client.models.retrieve("one").model_extra
        assert found is not None
        assert found["max_model_len"] == 1024
        return dict(found["longctx"])

    assert "method" not in details()
    _ask(live, "one")
    _ask(live, "other")
    assert details()["method"] == "none"


def test_a_model_is_opened_and_closed_by_name(live: LiveServer, tiny_llm: LongContextLLM) -> None:
    """As llama-server's router does it; one that is not there, or not open, is said to be so."""

    def told(what: str, model: str, at: LiveServer = live) -> httpx.Response:
        return httpx.post(f"{at.url}/models/{what}", json={"model": model}, timeout=60)

    for name in ("other", "other", "one"):
        assert told("load", name).json() == {"success": True}
    assert _states(live) == {"one": "loaded", "other": "unloaded"}
    assert told("unload", "one").json() == {"success": True}
    assert _states(live) == {"one": "unloaded", "other": "unloaded"}
    assert told("unload", "one").status_code == 400
    assert [told(what, "third").status_code for what in ("load", "unload")] == [404, 404]
    with serving(tiny_llm, model_id="tiny") as alone:
        assert told("load", "tiny", alone).json() == {"success": True}
        assert told("unload", "tiny", alone).status_code == 400
        assert alone.openai().models.retrieve("tiny").id == "tiny"


def test_no_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the model, given from here or from anywhere, of its other parts and its adapters; nor
    where downloads are kept. Names that are no paths stay."""
    (tmp_path / "models").mkdir()
    link = tmp_path / "link.gguf"
    link.symlink_to(tmp_path / "models" / "real.gguf")
    monkeypatch.chdir(tmp_path)
    relative = ModelSource.of_file("m", "models/real.gguf", adapters=[(f"{tmp_path}/x.gguf", 1.0)])
    absolute = [tmp_path / "models" / "part-2.gguf", tmp_path / "x.gguf", Path.home() / ".cache/y"]
    said = relative.without_paths(", ".join(map(str, ["models/real.gguf", *absolute])))
    assert said == "real.gguf, part-2.gguf, x.gguf, ~/.cache/y"
    assert str(tmp_path) not in ModelSource.of_file("m", str(link)).without_paths(
        str(link.resolve())
    )
    same = "a model of http://x/y, such as hf:owner/other, at s/2"
    named = ModelSource.of_file("m", "hf:owner/repo", chat_template="{% if a/b %}")
    assert named.without_paths(same) == same


def test_counters_tell_models_apart(live: LiveServer) -> None:
    """Each has its own."""
    _ask(live, "one")
    _ask(live, "other")
    counted = httpx.get(f"{live.url}/metrics", timeout=60).text
    for name in ("one", "other"):
        assert f'longctx_tokens_total{{kind="generated",model="{name}"}} 8.0' in counted
