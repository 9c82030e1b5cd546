"""What a pool holds to, whatever is asked of it, with models that note what is done to them."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from typing import Any, cast

import pytest

from longctx.errors import LongCtxError, RequestError
from longctx.server import ModelPool, ModelSource
from longctx.server.errors import ApiError
from longctx.server.model_source import Prepared
from longctx.server.served import ServedModel


class _Noted:
    """A model that takes memory, and fails when it is used or closed at the wrong time."""

    plan = None
    sampling_defaults: Any = None

    def __init__(self, world: _World, n_bytes: int) -> None:
        self._world, self._n_bytes = world, n_bytes
        world.taken += n_bytes
        world.n_open += 1
        world.most_open = max(world.most_open, world.n_open)
        world.most_taken = max(world.most_taken, world.taken)
        self.n_users = 0
        self.is_closed = False

    def close(self) -> None:
        assert not self.n_users, "closed while it answers"
        assert not self.is_closed
        self.is_closed = True
        time.sleep(0.002)  # as memory is given back
        self._world.taken -= self._n_bytes
        self._world.n_open -= 1


class _World:
    """Memory that the models share."""

    def __init__(self) -> None:
        self.taken = self.most_taken = self.n_open = self.most_open = 0
        self.openings: Counter[str] = Counter()

    def source(self, name: str, n_bytes: int, fails: float, chance: random.Random) -> ModelSource:
        def opened() -> ServedModel:
            self.openings[name] += 1
            if chance.random() < fails:
                raise LongCtxError("it will not")
            return cast(ServedModel, _Noted(self, n_bytes))

        def prepare(limit: int) -> Prepared:
            if n_bytes > limit:
                raise LongCtxError("it never fits")
            return Prepared(n_bytes, opened)

        return ModelSource(name, prepare)


@pytest.mark.parametrize("seed", range(20))
def test_memory_and_users_are_respected(seed: int) -> None:
    """Sixty requests, some of which leave before they get anything: all others are answered, also
    where somebody closes models by hand meanwhile."""
    chance = random.Random(seed)
    world, limit, most = _World(), chance.randint(4, 12), chance.choice([None, 1, 2])
    sizes = {f"m{i}": chance.randint(1, 5) for i in range(4)} | {"huge": 100}
    fails = chance.choice([0.0, 0.3])
    sources = [world.source(name, n, fails, chance) for name, n in sizes.items()]
    told: Counter[str] = Counter()

    async def ask(pool: ModelPool) -> None:
        name = chance.choice(list(sizes))
        await asyncio.sleep(chance.random() / 50)
        lease = pool.lease(name)
        try:
            ready = asyncio.wait_for(lease.ready(), 0.002 if chance.random() < 0.2 else 20)
            model = cast(_Noted, await ready)
            model.n_users += 1
            await asyncio.sleep(chance.random() / 100)
            assert not model.is_closed
            await lease.run(lambda llm: None)
            model.n_users -= 1
            told["answered"] += 1
        except asyncio.TimeoutError:
            told["left"] += 1
        except ApiError as error:
            told[f"{error.code}, as {'never' if 'it never fits' in error.message else name}"] += 1
        finally:
            lease.release()
            lease.release()

    async def unload(pool: ModelPool) -> None:
        for _ in range(20):
            await asyncio.sleep(chance.random() / 100)
            await pool.unload(chance.choice(list(sizes)))

    async def all_of_it() -> None:
        pool = ModelPool(sources, memory_limit=max(limit, 5), max_open=most)
        unloads = chance.choice([0, 30])
        await asyncio.gather(
            *(ask(pool) for _ in range(60)), *(unload(pool) for _ in range(unloads))
        )
        assert not any(entry.n_users or entry.waiting for entry in pool.entries)
        await pool.stop()
        pool.close()
        pool.close()

    asyncio.run(all_of_it())
    assert told.total() == 60
    assert told["answered"]
    assert "model_unavailable, as huge" not in told
    assert fails or told.keys() <= {"answered", "left", "model_unavailable, as never"}
    assert world.most_taken <= max(limit, 5)
    assert most is None or world.most_open <= most
    assert world.taken == world.n_open == 0


def test_one_that_is_open_too_late_is_closed() -> None:
    """The server has stopped while its file was read."""
    world = _World()

    def opened() -> ServedModel:
        pool.close()
        return cast(ServedModel, _Noted(world, 1))

    pool = ModelPool([ModelSource("a", lambda _: Prepared(1, opened))], memory_limit=10)

    async def stopped() -> None:
        with pytest.raises(ApiError, match="has stopped"):
            await pool.lease("a").ready()

    asyncio.run(stopped())
    assert (world.most_open, world.n_open) == (1, 0)


def _held(source: ModelSource, go: threading.Event) -> ModelSource:
    """It, as a download that has not come yet."""

    def prepare(limit: int) -> Prepared:
        assert go.wait(60)
        return source.prepare(limit)

    return ModelSource(source.name, prepare)


def test_a_download_holds_up_nobody() -> None:
    """Others are opened and closed meanwhile; it takes its room when it is there."""
    world, go, chance = _World(), threading.Event(), random.Random(0)
    sources = [world.source(name, 1, 0, chance) for name in ("late", "a", "b")]
    sources[0] = _held(sources[0], go)

    async def asked() -> None:
        with ModelPool(sources, memory_limit=9, max_open=1) as pool:
            late = pool.lease("late")
            for name in ("a", "b", "a"):
                lease = pool.lease(name)
                await asyncio.wait_for(lease.ready(), 60)
                lease.release()
            assert await pool.unload("a")
            go.set()
            await asyncio.wait_for(late.ready(), 60)
            late.release()

    asyncio.run(asked())
    assert world.openings == {"late": 1, "a": 2, "b": 1}
    assert world.most_open == 1


def test_nothing_is_opened_for_nobody() -> None:
    """Who leaves while a model is prepared, or waits for room, closes nothing of the others."""
    world, go, chance = _World(), threading.Event(), random.Random(0)
    sources = [world.source(name, 1, 0, chance) for name in ("late", "a", "b")]
    sources[0] = _held(sources[0], go)

    async def asked() -> None:
        with ModelPool(sources, memory_limit=9, max_open=1) as pool:
            late, busy = pool.lease("late"), pool.lease("a")
            await busy.ready()
            late.release()
            go.set()
            other = pool.lease("b")
            while pool.entry("a").is_lendable:  # until it is asked to make way
                await asyncio.sleep(0.001)
            again = pool.lease("a")
            assert pool.n_waiting == 2
            other.release()
            await asyncio.wait_for(again.ready(), 60)
            again.release()
            busy.release()
            while any(entry.is_loading for entry in pool.entries):
                await asyncio.sleep(0.001)
            assert pool.entry("a").state == "loaded"

    asyncio.run(asked())
    assert world.openings == {"a": 1}


def test_what_is_no_pool() -> None:
    """No model, one name for two, no place for any."""
    source = ModelSource("a", lambda _: Prepared(1, lambda: cast(ServedModel, None)))
    with pytest.raises(RequestError, match="no model to serve"):
        ModelPool([])
    with pytest.raises(RequestError, match="two models are called 'a'"):
        ModelPool([source, source])
    with pytest.raises(RequestError, match="max_open is 0"):
        ModelPool([source], max_open=0)
