"""Several models behind one server: each is opened when it is asked for, and the least recently
used make way.

Requests hold a lease on their model while they are answered, and no model is closed under one.
Models are prepared (found, downloaded, planned) side by side; all that takes or frees memory stands
in one line, so that it is counted once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from longctx.closing import Closing
from longctx.errors import BackendError, RequestError
from longctx.model_info import format_bytes
from longctx.planner.memory_limit import resolve_memory_limit
from longctx.server.errors import ApiError, as_api_error, stopping
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
        self._line = asyncio.Lock()  # which lets go in the order in which it was asked
        self._openings: set[asyncio.Task[None]] = set()
        # Of its own: a download takes long, and answers begin in the threads of the event loop.
        self._preparing = ThreadPoolExecutor(len(sources), thread_name_prefix="longctx-prepare")
        self._given_back = asyncio.Event()
        self._is_stopping = False
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

    @property
    def n_waiting(self) -> int:
        """Requests that wait until their model is open."""
        return sum(len(entry.waiting) for entry in self._entries.values())

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
        elif self._is_stopping:
            lease.fail(stopping())
        else:
            entry.waiting.append(lease)
            self._seek(entry)
        return lease

    async def unload(self, name: str) -> bool:
        """Close a model that nobody uses; False where somebody does, or it is not open, or it is
        its caller's to close."""
        entry = self._entries[name]
        if not _can_be_closed(entry):  # before the line, where others may have to be waited for
            return False
        async with self._line:
            if not _can_be_closed(entry):
                return False
            await self._close(entry)
        return True

    def end_waiting(self) -> None:
        """Tell all who wait for a model, or come to, that they get none (503)."""
        self._is_stopping = True
        for entry in self._entries.values():
            entry.fail(stopping())

    async def stop(self) -> None:
        """Open no more; who waits is told so."""
        self.end_waiting()
        for opening in self._openings:
            opening.cancel()
        await asyncio.gather(*self._openings, return_exceptions=True)

    def close(self) -> None:
        """Close what this has opened. Idempotent."""
        with self._lock:
            self._is_closed = True
        for entry in self._entries.values():
            if entry.is_owned and entry.llm is not None:
                entry.llm.close()
                entry.llm = None
        self._preparing.shutdown(wait=False)

    def _seek(self, entry: ModelEntry) -> None:
        """Have it opened, unless it is; one that must leave is asked for when it has left."""
        if entry.llm is None and not entry.is_loading:
            entry.is_loading = True
            opening = asyncio.ensure_future(self._open(entry))
            self._openings.add(opening)
            opening.add_done_callback(self._openings.discard)

    async def _open(self, entry: ModelEntry) -> None:
        try:
            prepared = await self._prepared(entry)
            async with self._line:
                try:
                    await self._make_room(entry, prepared.n_bytes)
                    if entry.waiting:
                        await asyncio.to_thread(self._open_now, entry, prepared)
                finally:
                    self._lend_again()
        except Exception as error:
            self._failed(entry, error)
        finally:
            entry.is_loading = False

    async def _prepared(self, entry: ModelEntry) -> Prepared:
        if self._is_closed:
            raise BackendError("the server has stopped")
        prepare = entry.source.prepare
        return await asyncio.get_running_loop().run_in_executor(
            self._preparing, prepare, self._limit
        )

    def _open_now(self, entry: ModelEntry, prepared: Prepared) -> None:
        self._announce(f"opening {entry.source.name}: {format_bytes(prepared.n_bytes)}")
        llm = prepared.open()
        with self._lock:
            if not self._is_closed:
                entry.opened(llm, prepared.n_bytes, is_owned=True)
                return
        llm.close()
        raise BackendError("the server has stopped")

    async def _make_room(self, entry: ModelEntry, n_bytes: int) -> None:
        """Close the least recently used until so much is free, those that answer when they are
        done: they get no new requests meanwhile, or others would wait for ever. Where nobody waits
        for the room any more, they stay."""
        while entry.waiting and not self._has_room(n_bytes):
            leaving = min(self._open_entries(), key=lambda entry: (entry.n_users > 0, entry.used))
            leaving.is_leaving = True
            if leaving.n_users:
                self._given_back.clear()
                await self._given_back.wait()
            else:
                await self._close(leaving)

    def _lend_again(self) -> None:
        """What is open, also what was asked to leave and had not to."""
        for entry in self._entries.values():
            entry.is_leaving = False
            entry.grant_all()

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
        if entry.waiting:  # who came while it had to leave
            self._seek(entry)
        if llm is not None:
            await asyncio.to_thread(llm.close)

    def _failed(self, entry: ModelEntry, error: Exception) -> None:
        """The operator's to mend, and no fault of the request."""
        source, why = entry.source, as_api_error(error).message
        beginning = f"the model {source.name!r:.100} cannot be opened: "
        self._announce(beginning + why)
        entry.error = beginning + source.without_paths(why)
        entry.fail(ApiError(503, entry.error, code="model_unavailable", param="model"))


def _can_be_closed(entry: ModelEntry) -> bool:
    return entry.llm is not None and not entry.n_users and entry.is_owned
