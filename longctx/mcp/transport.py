"""How a server is reached: a command's standard streams, or HTTP."""

from __future__ import annotations

import logging
import os
import shlex
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from longctx.errors import MissingExtraError, RequestError

if TYPE_CHECKING:
    import httpx2
    from mcp.client import Transport
    from mcp.client.stdio import StdioServerParameters

logger = logging.getLogger("longctx.mcp")
# The SDK logs what servers say wrong with a traceback; where nobody listens, it is not printed.
logging.getLogger("mcp").addHandler(logging.NullHandler())
_LAST_LINES = 5
_LONGEST_LINE = 500
_READ_WAIT_S = 5.0
_HTTP_WAIT_S = 30.0


@dataclass(frozen=True)
class Address:
    """A server, as a user names it.

    Attributes:
        text: a command line, or a URL.
        env: variables of the command, beside the few that every command gets (``PATH``, ``HOME``).
        cwd: its folder.
        headers: of every HTTP request.
    """

    text: str
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_url(self) -> bool:
        """Whether it is reached by HTTP."""
        return self.text.startswith(("http://", "https://"))

    @property
    def words(self) -> list[str]:
        """The command and its arguments.

        Raises:
            RequestError: there is none, or a quotation mark is not closed.
        """
        try:
            words = shlex.split(self.text, posix=os.name != "nt")
        except ValueError as error:
            raise RequestError(f"{self.text!r} is no command line ({error})") from error
        if not words:
            raise RequestError("an MCP server is a command, such as 'npx …', or a URL; this is ''")
        return words


class Complaints:
    """The last lines that a command wrote on its standard error; all of them go to the log."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._reader: threading.Thread | None = None

    def last(self) -> str:
        """The lines, of a command that has ended; of one that has not, those that came so far."""
        if self._reader is not None:
            self._reader.join(_READ_WAIT_S)
        return "\n".join(self._lines)

    def open(self) -> IO[str]:
        """A file to be written to; it is read until it is closed."""
        reading, writing = os.pipe()
        lines = os.fdopen(reading, "r", encoding="utf-8", errors="replace")
        self._reader = threading.Thread(target=self._read, args=(lines,), daemon=True)
        self._reader.start()
        return os.fdopen(writing, "w", encoding="utf-8")

    def _read(self, lines: IO[str]) -> None:
        with lines:
            while line := lines.readline(_LONGEST_LINE):
                if line.strip():
                    self._lines.append(line.strip())
                    logger.debug("a server says: %s", line.rstrip())


class Watched:
    """A stream of a server's messages that notices its end."""

    def __init__(self, stream: Any, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._ended = ended

    async def receive(self) -> Any:
        """The next message."""
        try:
            return await self._stream.receive()
        except BaseException:
            self._ended()
            raise

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    def __aiter__(self) -> Watched:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except BaseException:
            self._ended()
            raise

    async def __aenter__(self) -> Watched:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> bool | None:
        left: bool | None = await self._stream.__aexit__(*exc)
        return left

    @property
    def last_context(self) -> Any:
        """Of the sender, which the SDK asks for."""
        return getattr(self._stream, "last_context", None)


def open_transport(
    address: Address, complaints: Complaints, max_bytes: int, ended: Callable[[], None]
) -> Transport:
    """Reach a server.

    Args:
        address: of it.
        complaints: keeps what a command says on its standard error.
        max_bytes: of one message over HTTP.
        ended: called when nothing more comes.

    Raises:
        MissingExtraError: the package ``mcp`` is not installed.
        RequestError: the address is none.
    """
    try:
        import httpx2
        from mcp.client.stdio import StdioServerParameters
        from mcp.client.streamable_http import streamable_http_client
    except ImportError as error:
        raise MissingExtraError(
            "MCP servers need the package mcp; install longctx-sdk[mcp]"
        ) from error
    if address.is_url:
        # An answer may be waited for; each request has a limit of its own.
        timeout = httpx2.Timeout(_HTTP_WAIT_S, read=None)
        client = httpx2.AsyncClient(headers=dict(address.headers), timeout=timeout)
        transport = streamable_http_client(
            address.text, http_client=client, max_sse_event_size=max_bytes
        )
        return _watched(_with(client, transport), ended)
    command, *arguments = address.words
    parameters = StdioServerParameters(
        command=command,
        args=arguments,
        env=dict(address.env),
        cwd=address.cwd,
        encoding_error_handler="replace",
    )
    return _watched(_started(parameters, complaints), ended)


@asynccontextmanager
async def _with(
    client: httpx2.AsyncClient, transport: AbstractAsyncContextManager[Any]
) -> AsyncIterator[Any]:
    async with client, transport as streams:
        yield streams


@asynccontextmanager
async def _started(parameters: StdioServerParameters, complaints: Complaints) -> AsyncIterator[Any]:
    from mcp.client.stdio import stdio_client

    with complaints.open() as errlog:
        async with stdio_client(parameters, errlog=errlog) as streams:  # type: ignore[arg-type]  # it takes a file
            errlog.close()  # the command has its own: its end is the end
            yield streams


@asynccontextmanager
async def _watched(
    transport: AbstractAsyncContextManager[Any], ended: Callable[[], None]
) -> AsyncIterator[Any]:
    async with transport as (read, write):
        yield Watched(read, ended), write
