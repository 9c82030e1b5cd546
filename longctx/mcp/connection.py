"""A connection to a server, for callers in threads: opened again where it broke."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from longctx.closing import Closing
from longctx.errors import BackendError, LongCtxError, RemoteError, ToolError
from longctx.mcp.asked import Answers
from longctx.mcp.changes import LISTS, Changes
from longctx.mcp.remote import plain
from longctx.mcp.transport import Address, Complaints, open_transport
from longctx.types import first_problem

if TYPE_CHECKING:
    from anyio.abc import TaskStatus
    from anyio.from_thread import BlockingPortal
    from mcp import Client

T = TypeVar("T")
_CLOSE_WAIT_S = 10.0
_PING_WAIT_S = 2.0
_LISTEN_WAIT_S = 10.0
_LONGEST_ERROR = 500
# What servers over HTTP say of a session that they no longer know: nothing was done then.
_UNKNOWN_SESSION = "Session terminated"

_open: weakref.WeakSet[Connection] = weakref.WeakSet()


@dataclass
class _Session:
    """One that was opened; ``held`` is the task that keeps it, ``leave`` ends it."""

    ended: bool = False
    client: Any = None
    leave: Callable[[], None] | None = None
    held: Future[None] | None = None

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = True

    @property
    def goes_on(self) -> bool:
        """Whether it can be asked."""
        return not self.ended and self.held is not None and not self.held.done()


class Connection(Closing):
    """Requests from any thread, over one session of the official client.

    Args:
        address: of the server.
        name: of the server, for messages.
        timeout_s: of one request, for messages: who asks keeps to it.
        connect_timeout_s: of opening it.
        max_bytes: of one message over HTTP.
        changes: is told when the server's lists change, or may have; None does not follow them.
        answers: what the server may ask; None is nothing.

    Raises:
        RemoteError: it cannot be opened.
        MissingExtraError: the package ``mcp`` is not installed.
    """

    def __init__(
        self,
        address: Address,
        name: str,
        *,
        timeout_s: float,
        connect_timeout_s: float,
        max_bytes: int,
        changes: Changes | None = None,
        answers: Answers | None = None,
    ) -> None:
        self._address = address
        self._name = name
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._max_bytes = max_bytes
        self._changes = changes
        self._answers = answers
        self._complaints = Complaints()
        self._lock = threading.RLock()
        self._closed = False
        self._late = False
        self._session = _Session(ended=True)
        self._portal: BlockingPortal | None = None
        self._thread = ExitStack()
        try:
            self._connected()
        except BaseException:
            self.close()
            raise
        _open.add(self)

    @property
    def is_up(self) -> bool:
        """Whether the session goes on; if not, the next request opens another."""
        return self._session.goes_on

    def request(
        self,
        ask: Callable[[Client], Awaitable[T]],
        on_begin: Callable[[Callable[[], object]], object] | None = None,
    ) -> T:
        """Ask the server something, and wait for it.

        Args:
            ask: what; called in the event loop.
            on_begin: given what cancels the request, from any thread.

        Raises:
            RemoteError: the server cannot be reached, or broke off; the next request opens it
                again.
            ToolError: it refused, took too long, was cancelled, or said what is no answer.
        """
        try:
            return self._once(ask, on_begin)
        except _UnknownSessionError:
            self._session.end()
            return self._once(ask, on_begin)

    def close(self) -> None:
        """End the session, and the command that was started for it. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._leave()
            self._portal = None
        _open.discard(self)
        self._thread.close()

    # Inside

    def _once(
        self,
        ask: Callable[[Client], Awaitable[T]],
        on_begin: Callable[[Callable[[], object]], object] | None,
    ) -> T:
        session, portal = self._answering()
        future: Future[T] = portal.start_task_soon(ask, session.client)
        if on_begin is not None:
            on_begin(future.cancel)
        try:
            return future.result()
        except CancelledError:
            if not session.goes_on:
                raise self._broken() from None
            raise ToolError(f"the call of {self._name} was cancelled") from None
        except Exception as error:
            raise self._told(error, session) from error
        except BaseException:  # Ctrl-C here
            future.cancel()
            raise

    def _told(self, error: Exception, session: _Session) -> LongCtxError:
        """What went wrong, in our words."""
        from mcp import MCPError
        from mcp.types import REQUEST_TIMEOUT
        from pydantic import ValidationError

        if isinstance(error, LongCtxError):
            return error
        if not session.goes_on:  # servers use the code of a closed connection, too
            return self._broken()
        if isinstance(error, ValidationError):
            wrong = _short(first_problem(error, "it"))
            return ToolError(f"{self._name} sent what is no answer ({wrong})")
        is_late = isinstance(error, MCPError) and error.code == REQUEST_TIMEOUT
        if is_late or isinstance(error, TimeoutError):
            self._late = True
            return ToolError(f"{self._name} did not answer within {self._timeout_s:g} s")
        if not isinstance(error, MCPError):
            return ToolError(f"the request to {self._name} failed ({_short(error)})")
        if error.message == _UNKNOWN_SESSION:
            return _UnknownSessionError(f"{self._name} does not know this session")
        return ToolError(f"{self._name} refused: {_short(error.message)}")

    def _broken(self) -> RemoteError:
        said = self._complaints.last()
        return RemoteError(
            f"{self._name} broke off, so it is not known what this call did; the next one opens "
            f"it again{_said(said)}"
        )

    def _answering(self) -> tuple[_Session, BlockingPortal]:
        """The session; a command that was late, and answers nothing else either, is begun anew."""
        session, portal = self._connected()
        if self._late and not self._address.is_url:
            self._late = False
            with suppress(Exception, CancelledError):
                if not portal.call(_is_alive, session.client):
                    session.end()
        return self._connected()

    def _connected(self) -> tuple[_Session, BlockingPortal]:
        with self._lock:
            if self._closed:
                raise BackendError(f"{self._name} was closed; open it again with mcp(…)")
            if self._portal is None:
                from anyio.from_thread import start_blocking_portal

                # An event loop of its own: a server that floods it is in nobody else's way.
                self._portal = self._thread.enter_context(start_blocking_portal())
            if not self._session.goes_on:
                self._leave()
                self._session = self._enter(self._portal)
            return self._session, self._portal

    def _enter(self, portal: BlockingPortal) -> _Session:
        session = _Session()
        self._complaints = Complaints()
        transport = open_transport(self._address, self._complaints, self._max_bytes, session.end)
        try:
            held, (client, leave) = portal.start_task(self._hold, transport, name=self._name)
        except (Exception, CancelledError) as error:
            why = _short(_cause(error))
            raise RemoteError(
                f"the MCP server {self._address.text!r} cannot be opened ({why}); "
                f"check the command or the address{_said(self._complaints.last())}"
            ) from error
        session.client, session.leave, session.held = client, leave, held
        if self._changes is not None:
            self._changes.note(*LISTS)  # one that was begun anew may be another
        return session

    async def _hold(self, transport: Any, *, task_status: TaskStatus[Any]) -> None:
        """Keep a session open, in one task, as the SDK wants it."""
        import anyio
        from mcp import Client

        leave = anyio.Event()
        limit = anyio.current_time() + self._connect_timeout_s
        changes = self._changes
        client = Client(
            transport,
            # The handshake's too: a command may have to be downloaded before it answers.
            read_timeout_seconds=self._connect_timeout_s,
            message_handler=None if changes is None else changes.hear,
            **({} if self._answers is None else self._answers.callbacks),
        )
        with anyio.CancelScope(deadline=limit) as opening:
            async with client, anyio.create_task_group() as listening:
                opening.deadline = float("inf")
                if changes is not None:
                    # What changes before the server tells it is told to nobody.
                    with anyio.move_on_after(_LISTEN_WAIT_S):
                        listens = anyio.Event()
                        listening.start_soon(changes.listen, client, listens.set)
                        await listens.wait()
                task_status.started((client, leave.set))
                await leave.wait()
                listening.cancel_scope.cancel()
        if opening.cancelled_caught:
            raise TimeoutError(f"it did not answer within {self._connect_timeout_s:g} s")

    def _leave(self) -> None:
        session = self._session
        session.end()
        if session.leave is None or session.held is None or self._portal is None:
            return
        with suppress(Exception, CancelledError):
            self._portal.call(session.leave)
            session.held.result(_CLOSE_WAIT_S)


async def _is_alive(client: Any) -> bool:
    """Whether a server answers anything, be it that it knows no ping."""
    import anyio
    from mcp import MCPError
    from mcp.types import REQUEST_TIMEOUT

    with anyio.move_on_after(_PING_WAIT_S):
        try:
            await client.session.send_ping()
        except MCPError as error:
            return error.code != REQUEST_TIMEOUT
        return True
    return False


class _UnknownSessionError(ToolError):
    """The server has forgotten the session, and did nothing."""


def _cause(error: BaseException) -> BaseException:
    """The first of those that a group of tasks failed with."""
    while (inner := getattr(error, "exceptions", None)) is not None:
        error = inner[0]
    return error


def _short(error: object) -> str:
    text = str(error) or type(error).__name__
    return " ".join(plain(text, _LONGEST_ERROR).split())


def _said(complaints: str) -> str:
    return f". It said: {plain(complaints, _LONGEST_ERROR)}" if complaints else ""


@atexit.register
def _close_all() -> None:
    """Commands that were started end with the program."""
    for connection in list(_open):
        with suppress(Exception):
            connection.close()
