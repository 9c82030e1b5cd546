"""Two replicas of the small model on Ray Serve, asked over HTTP; `make test-ray` installs Ray."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic import Anthropic
from openai import APIError, NotFoundError, OpenAI
from prometheus_client.parser import text_string_to_metric_families

from longctx.errors import RequestError

pytest.importorskip("ray", reason="the extra ray is not installed")

from longctx.deploy.ray_serve import application
from longctx.server.ids import instance_of
from tests.deploy.cluster import AT_ONCE, MAX_WAITING, Cluster, running

ALL = 2 * AT_ONCE


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """For all of these tests, in a folder with a short name: its sockets lie there."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    try:
        with running(folder) as found:
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def client(cluster: Cluster) -> OpenAI:
    """The official client, once nothing is left of what was asked before."""
    cluster.wait_for(lambda health: health["replicas"] == 2 and health["jobs"] == 0)
    return cluster.openai()


def _question(i: int) -> str:
    return f"Conversation {i} is about room {i * 37}. " + "It has a door and a window. " * 8


def _turns(client: OpenAI, i: int, *more: dict[str, Any]) -> tuple[str, int, int]:
    """The answer of a chat, the tokens of its prompt, and how many of them were cached."""
    turns: Any = [{"role": "user", "content": _question(i)}, *more]
    answer = client.chat.completions.create(model="tiny", messages=turns, max_tokens=12)
    usage = answer.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    text = answer.choices[0].message.content or ""
    return text, usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens or 0


def _tokens(cluster: Cluster) -> dict[str, float]:
    """What each replica has generated."""
    text = httpx.get(f"{cluster.url}/metrics", timeout=60).text
    return {
        sample.labels["replica"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "longctx_tokens_total" and sample.labels["kind"] == "generated"
    }


def test_conversations_find_their_caches(cluster: Cluster, client: OpenAI) -> None:
    """All of them, eight at once, turn after turn; and both replicas work."""
    before = _tokens(cluster)

    def talk(i: int) -> list[tuple[int, int]]:
        more: list[dict[str, Any]] = []
        counts = []
        for turn in range(3):
            text, n_prompt, n_cached = _turns(client, i, *more)
            counts.append((n_prompt, n_cached))
            more += [
                {"role": "assistant", "content": text},
                {"role": "user", "content": f"And then, {turn}?"},
            ]
        return counts

    with ThreadPoolExecutor(8) as pool:
        talks = list(pool.map(talk, range(24)))
    for counts in talks:
        for (n_before, _), (_, n_cached) in pairwise(counts):
            assert n_cached >= n_before - 8, counts  # the template's last tokens are written anew
    after = _tokens(cluster)
    assert len(after) == 2
    assert all(n > before.get(name, 0) for name, n in after.items())


def test_a_conversation_is_the_same_in_every_protocol(cluster: Cluster, client: OpenAI) -> None:
    """What was asked in one finds its cache when it is asked in another."""
    for i in range(100, 106):
        text, n_prompt, _ = _turns(client, i)
        turns: list[Any] = [
            {"role": "user", "content": _question(i)},
            {"role": "assistant", "content": text},
            {"role": "user", "content": "Go on."},
        ]
        with Anthropic(base_url=cluster.url, api_key="none", max_retries=0) as claude:
            told = claude.messages.create(model="tiny", messages=turns, max_tokens=4)
        assert (told.usage.cache_read_input_tokens or 0) >= n_prompt - 8
        response = client.responses.create(model="tiny", input=turns, max_output_tokens=4)
        assert response.usage is not None
        assert response.usage.input_tokens_details.cached_tokens >= n_prompt - 8


def test_responses_are_found_where_they_are_kept(client: OpenAI) -> None:
    """By their ids and by those of their items, whoever keeps them."""
    kept = [
        client.responses.create(model="tiny", input=_question(i), max_output_tokens=4)
        for i in range(200, 220)  # either replica is as likely for each
    ]
    assert len({instance_of(each.id) for each in kept}) == 2
    for each in kept:
        assert client.responses.retrieve(each.id).output_text == each.output_text
        after = client.responses.create(
            model="tiny", previous_response_id=each.id, input="Go on.", max_output_tokens=4
        )
        assert instance_of(after.id) == instance_of(each.id)
        items: Any = [{"type": "item_reference", "id": each.output[0].id}]
        again = client.responses.create(model="tiny", input=items, max_output_tokens=4)
        assert instance_of(again.id) == instance_of(each.id)


def test_one_who_hangs_up_costs_no_more(cluster: Cluster, client: OpenAI) -> None:
    """The answer ends on its replica, too."""
    with client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": _question(1)}], stream=True,
        max_tokens=1800, stop=["\x00"],
    ) as stream:  # fmt: skip
        next(stream)
    cluster.wait_for(lambda health: health["jobs"] == 0)


@pytest.mark.usefixtures("client")
def test_requests_wait_for_a_place_and_no_more_than_may(cluster: Cluster) -> None:
    """While every place is taken; the others are told to come again."""
    url, is_enough = f"{cluster.url}/v1/completions", threading.Event()
    endless = {"max_tokens": 7500, "stop_on_repetition": False, "stream": True,
               "logit_bias": {"<|im_end|>": -100, "<|endoftext|>": -100}}  # fmt: skip

    def hold(i: int) -> None:
        asked = {"prompt": _question(i), **endless}
        with httpx.stream("POST", url, json=asked, timeout=60) as reply:
            lines = reply.iter_lines()  # which hangs up when nobody has it any more
            next(lines)
            is_enough.wait(60)

    def ask(i: int) -> tuple[int, bool]:
        asked = {"prompt": _question(i), "max_tokens": 4}
        reply = httpx.post(url, json=asked, timeout=60)
        if reply.status_code == 429:
            is_enough.set()
        return reply.status_code, "retry-after" in reply.headers

    n = MAX_WAITING + 8
    with ThreadPoolExecutor(ALL) as holding, ThreadPoolExecutor(n) as asking:
        for i in range(ALL):
            holding.submit(hold, i)
        cluster.wait_for(lambda health: health["jobs"] == ALL)
        assert set(asking.map(ask, range(n))) == {(200, False), (429, True)}
        is_enough.set()


def test_a_replica_that_is_killed_costs_its_answers_alone(cluster: Cluster, client: OpenAI) -> None:
    """Answers of the other are whole, every conversation goes on, and another replica starts."""
    n = 6
    begun = threading.Barrier(n + 1)
    homes: dict[int, str] = {}
    said = dict.fromkeys(range(n), "")

    def answer(i: int) -> bool:
        """Whether it came to its end."""
        stream = client.responses.create(
            model="tiny", input=_question(300 + i), max_output_tokens=600, stream=True
        )
        is_whole = False
        try:
            for event in stream:
                if event.type == "response.created":
                    homes[i] = instance_of(event.response.id)
                    begun.wait(60)
                if event.type == "response.output_text.delta":
                    said[i] += event.delta
                is_whole = event.type in ("response.completed", "response.incomplete")
        except (APIError, httpx.HTTPError):
            assert not is_whole
        return is_whole

    with ThreadPoolExecutor(n) as pool:
        answers = [pool.submit(answer, i) for i in range(n)]
        begun.wait(60)
        assert len(set(homes.values())) == 2
        lost = homes[0]
        cluster.kill(lost)
        whole = [each.result() for each in answers]
    assert whole == [homes[i] != lost for i in range(n)]
    for i in range(n):
        more = [{"role": "assistant", "content": said[i]}, {"role": "user", "content": "Go on."}]
        _, _, n_cached = _turns(client, 300 + i, *more)
        assert n_cached > 100 or homes[i] == lost  # of the question's some 125 tokens
    cluster.wait_for(lambda health: health["replicas"] == 2)
    with pytest.raises(NotFoundError):
        client.responses.retrieve(f"resp_{lost}_0")


def test_an_update_rolls_without_a_failed_request(cluster: Cluster, client: OpenAI) -> None:
    """New replicas answer at its end, and meanwhile those that there are."""
    is_done = threading.Event()

    def keep_asking(i: int) -> int:
        n = 0
        while not is_done.is_set():
            turns = [{"role": "user", "content": _question(400 + i)}]
            asked = {"messages": turns, "max_tokens": 60}  # of whichever model there is
            answer = httpx.post(f"{cluster.url}/v1/chat/completions", json=asked, timeout=60)
            assert answer.status_code == 200, answer.text
            n += 1
            time.sleep(0.05)
        return n

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(keep_asking, i) for i in range(4)]
        try:
            before = set(_tokens(cluster))
            cluster.deploy(model_id="tiny-2")
            cluster.wait_for(lambda health: health["replicas"] == 2)
        finally:
            is_done.set()
        assert all(each.result() > 1 for each in asking)
    assert [model.id for model in client.models.list()] == ["tiny-2"]
    assert not before & set(_tokens(cluster))


def test_a_burst_takes_no_more_than_its_places(cluster: Cluster, client: OpenAI) -> None:
    """However many come at once: no replica writes more than it may, and all say how they do."""
    over, asked = threading.Event(), 0
    seen: list[dict[str, Any]] = []

    def watch() -> None:
        while not over.is_set():
            seen.append(cluster.health())

    def ask(i: int) -> int:
        turn = {"prompt": _question(i), "max_tokens": 16, "stop_on_repetition": False}
        reply = httpx.post(f"{cluster.url}/v1/completions", json=turn, timeout=60)
        return reply.status_code

    with ThreadPoolExecutor(1) as watching, ThreadPoolExecutor(ALL + MAX_WAITING) as asking:
        watching.submit(watch)
        for _ in range(4):
            statuses = list(asking.map(ask, range(ALL + MAX_WAITING)))
            asked += statuses.count(200)
        over.set()
    assert asked >= 4 * ALL
    assert {health["replicas"] for health in seen} == {2}
    assert max(health["jobs"] for health in seen) <= ALL


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"replicas": 0}, "replicas is 0"),
        ({"replicas": (3, 2)}, r"replicas is \(3, 2\)"),
        ({"at_once": 0}, "at_once is 0"),
        ({"max_waiting": -1}, "max_waiting is -1"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    """Before anything is started."""
    with pytest.raises(RequestError, match=said):
        application(**options)
