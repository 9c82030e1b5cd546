"""Several models behind one server: each is opened when it is asked for, and the least recently
used make way.

Requests hold a lease on their model while they are answered, and no model is closed under one. All
openings and closings stand in one line, so that memory is counted once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from longctx.closing import Closing
from longctx.errors import BackendError, RequestError
from longctx.model_info import format_bytes
from longctx.planner.memory_limit import resolve_memory_limit
from longctx.server.errors import ApiError, as_api_error
from longctx.server.lease import Lease, ModelEntry
from longctx.server.model_source import ModelSource, Prepared, check_sources
from longctx.server.served import ServedModel

logger = logging.getLogger("longctx.server")


class ModelPool(Closing):
    """The models of a server, used in one event loop.

    Args:
        sources: the models; the first answers who names none.
        memory_limit: what those that are open may take together: bytes, a text such as
            ``"6GiB"``, or None for what is free now, less a margin.
        max_open: how many may be open; None leaves it to the memory.
        announce: called with a line when one is opened, is closed, or cannot be opened.

    Raises:
        RequestError: two have one name, or ``max_open`` is no number from 1.
        PlanError: the limit is no size.
    """

    def __init__(
        self,
        sources: Sequence[ModelSource],
        *,
        memory_limit: int | str | None = None,
        max_open: int | None = None,
        announce: Callable[[str], None] = logger.info,
    ) -> None:
        check_sources(sources)
        if max_open is not None and max_open < 1:
            raise RequestError(f"max_open is {max_open}; at least one model must be open to answer")
        self._entries = {source.name: ModelEntry(source) for source in sources}
        self._limit = resolve_memory_limit(memory_limit)[0]
        self._max_open = max_open
        self._announce = announce
        self._line: deque[ModelEntry] = deque()
        self._opener: asyncio.Task[None] | None = None
        self._given_back = asyncio.Event()
        # Models are opened in threads, and one that comes too late is closed there.
        self._lock = threading.Lock()
        self._is_closed = False

    @classmethod
    def holding(cls, llm: ServedModel, name: str) -> ModelPool:
        """A model that is open already, and stays its caller's to close."""
        pool = cls([ModelSource(name, lambda _: Prepared(0, lambda: llm), llm.target_ctx)])
        pool.entry(name).opened(llm, 0, is_owned=False)
        return pool

    @property
    def names(self) -> list[str]:
        """Of all, the default first."""
        return list(self._entries)

    @property
    def entries(self) -> list[ModelEntry]:
        """How each does."""
        return list(self._entries.values())

    def entry(self, name: str) -> ModelEntry:
        """How one of :attr:`names` does."""
        return self._entries[name]

    def lease(self, name: str) -> Lease:
        """Ask for one of :attr:`names`; :meth:`Lease.ready` waits for it, and whoever asked gives
        it back (:meth:`Lease.release`)."""
        entry = self._entries[name]
        lease = Lease(entry, self._given_back.set)
        if entry.is_lendable:
            lease.grant()
        else:
            entry.waiting.append(lease)
            self._queue(entry)
        return lease

    async def unload(self, name: str) -> bool:
        """Close a model that nobody uses; False where somebody does, or it is not open, or it is
        its caller's to close."""
        entry = self._entries[name]
        if entry.llm is None or entry.n_users or entry.is_leaving or not entry.is_owned:
            return False
        await self._close(entry)
        return True

    async def stop(self) -> None:
        """Open no more; who waits is told so."""
        if self._opener is not None:
            self._opener.cancel()
            await asyncio.gather(self._opener, return_exceptions=True)
        for entry in self._entries.values():
            entry.fail(_stopping())

    def close(self) -> None:
        """Close what this has opened. Idempotent."""
        with self._lock:
            self._is_closed = True
        for entry in self._entries.values():
            if entry.is_owned and entry.llm is not None:
                entry.llm.close()
                entry.llm = None

    def _queue(self, entry: ModelEntry) -> None:
        if entry not in self._line:
            self._line.append(entry)
        if self._opener is None or self._opener.done():
            self._opener = asyncio.ensure_future(self._open_all())

    async def _open_all(self) -> None:
        while self._line:
            entry = self._line.popleft()
            if entry.llm is None and entry.is_awaited:
                await self._open(entry)
            # Those that were asked to leave, and had not to.
            for other in self._entries.values():
                other.is_leaving = False
                other.grant_all()

    async def _open(self, entry: ModelEntry) -> None:
        entry.is_loading = True
        try:
            prepared = await asyncio.to_thread(entry.source.prepare, self._limit)
            await self._make_room(prepared.n_bytes)
            await asyncio.to_thread(self._open_now, entry, prepared)
        except Exception as error:
            told = _cannot_open(entry.source.name, error)
            entry.error = told.message
            self._announce(told.message)
            entry.fail(told)
        finally:
            entry.is_loading = False

    def _open_now(self, entry: ModelEntry, prepared: Prepared) -> None:
        self._announce(f"opening {entry.source.name}: {format_bytes(prepared.n_bytes)}")
        llm = prepared.open()
        with self._lock:
            if not self._is_closed:
                entry.opened(llm, prepared.n_bytes, is_owned=True)
                return
        llm.close()
        raise BackendError("the server has stopped")

    async def _make_room(self, n_bytes: int) -> None:
        """Close the least recently used until so much is free, those that answer when they are
        done: they get no new requests meanwhile, or others would wait for ever."""
        while not self._has_room(n_bytes):
            leaving = min(self._open_entries(), key=lambda entry: (entry.n_users > 0, entry.used))
            leaving.is_leaving = True
            if leaving.n_users:
                self._given_back.clear()
                await self._given_back.wait()
            else:
                await self._close(leaving)

    def _has_room(self, n_bytes: int) -> bool:
        opened = self._open_entries()
        if self._max_open is not None and len(opened) >= self._max_open:
            return False
        # Alone it fits: it was planned for all there is.
        return not opened or n_bytes + sum(entry.n_bytes for entry in opened) <= self._limit

    def _open_entries(self) -> list[ModelEntry]:
        return [entry for entry in self._entries.values() if entry.llm is not None]

    async def _close(self, entry: ModelEntry) -> None:
        llm, entry.llm, entry.is_leaving = entry.llm, None, False
        self._announce(f"closing {entry.source.name}")
        if llm is not None:
            await asyncio.to_thread(llm.close)
        if entry.is_awaited:
            self._queue(entry)


def _cannot_open(name: str, error: Exception) -> ApiError:
    """The operator's to mend, and no fault of the request."""
    message = f"the model {name!r:.100} cannot be opened: {as_api_error(error).message}"
    return ApiError(503, message, code="model_unavailable", param="model")


def _stopping() -> ApiError:
    return ApiError(503, "the server stops; ask again when it runs", code="shutting_down")
