"""A server of the Model Context Protocol, as somebody sees it who calls it from threads."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from math import inf
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from typing_extensions import TypedDict

from longctx import arguments
from longctx.closing import Closing
from longctx.errors import LongCtxError, RequestError, ToolError
from longctx.mcp.asked import IN_CALL, Answers, Ask, checked_roots
from longctx.mcp.call_times import CallTimes, in_time
from longctx.mcp.changes import Changes, Followed, ServerList
from longctx.mcp.connection import Connection
from longctx.mcp.remote import (
    Refused,
    RemotePrompt,
    RemoteResource,
    RemoteTool,
    UnfitError,
    data_of,
    plain,
    remote_prompt,
    remote_resource,
    remote_tool,
    result_text,
    shown_name,
    words_of,
)
from longctx.mcp.transport import Address
from longctx.protocols import ChatModel
from longctx.types import Message

if TYPE_CHECKING:
    from mcp import Client

logger = logging.getLogger("longctx.mcp")
R = TypeVar("R", RemoteTool, RemoteResource, RemotePrompt)
OnProgress = Callable[[float, float | None, str], None]

MAX_TOOLS = 128
MAX_RESOURCES = 10_000
_MAX_PAGES = 100
_RUNNERS = ("npx", "uvx", "uv", "python", "python3", "node", "docker", "run", "-m", "-y")


class McpSettings(TypedDict, total=False):
    """The arguments of :class:`McpServer` by these names."""

    name: str | None
    env: Mapping[str, str] | None
    cwd: str | None
    headers: Mapping[str, str] | None
    timeout_s: float
    connect_timeout_s: float
    max_result_bytes: int
    follow: bool
    roots: Sequence[str | Path]
    sampling: ChatModel | None


class McpServer(Closing):
    """A server, reached by a command's standard streams or by HTTP; opened again where it broke.

    Lists are read again when the server says that they changed, and not otherwise.

    Args:
        command_or_url: ``"npx -y @scope/server folder"``, or ``"http://localhost:8000/mcp"``.
        name: what it is called here; None is made of the command or the URL.
        env: variables for the command, beside ``PATH``, ``HOME`` and the like.
        cwd: the command's folder.
        headers: of every HTTP request, such as ``{"Authorization": "Bearer …"}``.
        timeout_s: of one request; it is cancelled then. While the server waits for an answer of
            ours, no time passes.
        connect_timeout_s: of opening it; ``npx`` may download first.
        max_result_bytes: a result that is longer is an error.
        follow: see what changes of its lists; False keeps its tools as they were when they were
            first read.
        roots: folders that the server is told of when it asks where it may work.
        sampling: a model that writes texts for the server when it asks for one, of 1,024 tokens
            at most; None writes none.
        ask: answers what the server asks the user in the middle of a call, and may wait; None has
            nobody asked.

    Raises:
        RemoteError: it cannot be opened.
        RequestError: an argument is wrong.
        MissingExtraError: the package ``mcp`` (extra ``mcp``) is not installed.
    """

    def __init__(
        self,
        command_or_url: str,
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
        connect_timeout_s: float = 60.0,
        max_result_bytes: int = 1 << 20,
        follow: bool = True,
        roots: Sequence[str | Path] = (),
        sampling: ChatModel | None = None,
        ask: Ask | None = None,
    ) -> None:
        text = arguments.words("an MCP server", command_or_url).strip()
        self.address = Address(
            text,
            env=_texts_by_name("env", env),
            cwd=None if cwd is None else str(arguments.path("cwd", cwd)),
            headers=_checked_headers(headers),
        )
        self.name = _checked_name(name) if name is not None else _name_of(self.address)
        self.timeout_s = arguments.seconds("timeout_s", timeout_s)
        self._times = CallTimes()
        self.max_result_bytes = arguments.whole("max_result_bytes", max_result_bytes, least=1)
        follow = arguments.flag("follow", follow)
        self._refused: dict[ServerList, tuple[Refused, ...]] = {}
        self._changes = Changes()
        self._tools = Followed(self._read_tools, lambda: self._changes.count("tools"))
        self._offers = Followed(self._has_any, lambda: self._changes.count("resources"))
        self._connection = Connection(
            self.address,
            self.name,
            timeout_s=self.timeout_s,
            connect_timeout_s=arguments.seconds("connect_timeout_s", connect_timeout_s),
            max_bytes=2 * self.max_result_bytes,  # JSON has more than its text
            changes=self._changes if follow else None,
            answers=Answers(self.name, checked_roots(roots), sampling, ask, self._times),
        )

    @property
    def is_up(self) -> bool:
        """Whether the session goes on; where it broke, the next request opens another."""
        return self._connection.is_up

    @property
    def refused(self) -> tuple[Refused, ...]:
        """What the server offers and is not taken, and why."""
        return tuple(one for refused in list(self._refused.values()) for one in refused)

    def changed(self, of: ServerList) -> int:
        """How often one of its lists changed so far: ``"tools"``, ``"resources"``, ``"prompts"``.
        It counts on where the connection was opened anew, too."""
        return self._changes.count(of)

    # Tools

    @property
    def remote_tools(self) -> tuple[RemoteTool, ...]:
        """Its tools that can be taken, as of now; the others are in ``refused``."""
        return self._tools.value

    def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        on_progress: OnProgress | None = None,
        on_begin: Callable[[Callable[[], object]], object] | None = None,
        caller: object = None,
    ) -> str:
        """Call a tool and put its result in words.

        Args:
            name: as the server has it.
            arguments: as its schema wants them; the server checks them.
            on_progress: told what the server tells: done, total and words. It is called in
                another thread.
            on_begin: given what cancels the call, from any thread.
            caller: given to ``ask`` with what the server asks in this call.

        Raises:
            ToolError: the tool failed, took too long, was cancelled, or said too much.
            RemoteError: the server broke off; the next call opens it again.
        """

        async def told(progress: float, total: float | None, message: str | None) -> None:
            if on_progress is not None:
                on_progress(progress, total, plain(message or "", 200))

        async def ask(client: Client) -> Any:
            IN_CALL.set(caller)
            with self._times.within(self.timeout_s):
                return await client.call_tool(
                    name, dict(arguments), read_timeout_seconds=inf, progress_callback=told
                )

        result = self._connection.request(ask, on_begin)
        text = result_text(result)
        self.check_size(len(text.encode()))
        if result.is_error:
            raise ToolError(text or f"{self.name} failed without a word")
        return text

    def check_size(self, n_bytes: int) -> None:
        """Refuse what is too long to be shown to a model.

        Raises:
            ToolError: it is longer than ``max_result_bytes``.
        """
        if n_bytes > self.max_result_bytes:
            raise ToolError(
                f"{self.name} returned {n_bytes:,} bytes, more than the "
                f"{self.max_result_bytes:,} that are taken; ask it for less"
            )

    # Resources

    @property
    def has_resources(self) -> bool:
        """Whether it says that it has something to read."""
        try:
            return self._offers.value
        except LongCtxError as error:
            self._refuse("resources", "resources", str(error))
            return False

    def resources(self) -> tuple[RemoteResource, ...]:
        """What it has to read, as of now.

        Raises:
            RemoteError: it broke off.
            ToolError: it answers with what is no answer, or not in time.
        """
        found = self._list(
            "resources", lambda c, cursor: c.list_resources(cursor=cursor), MAX_RESOURCES
        )
        return self._taken("resources", found, remote_resource)

    def read(self, uri: str) -> bytes:
        """The bytes of a resource; text is UTF-8. :func:`longctx.documents.load_resources`
        makes documents of them.

        Raises:
            RemoteError: it broke off.
            ToolError: there is none, or it is no such thing.
        """
        result = self._connection.request(
            lambda client: in_time(self.timeout_s, client.read_resource(uri))
        )
        try:
            return b"\n".join(map(data_of, result.contents))
        except UnfitError as error:
            raise ToolError(f"{self.name}, {uri}: {error}") from error

    # Prompts

    def prompts(self) -> tuple[RemotePrompt, ...]:
        """Its prompts, as of now; errors as :meth:`resources`."""
        found = self._list("prompts", lambda c, cursor: c.list_prompts(cursor=cursor), MAX_TOOLS)
        return self._taken("prompts", found, remote_prompt)

    def prompt(self, name: str, /, **values: str) -> tuple[Message, ...]:
        """A prompt, filled in: what to say, in whose role.

        Raises:
            RemoteError: it broke off.
            ToolError: there is none, or an argument is missing.
        """
        result = self._connection.request(
            lambda client: in_time(self.timeout_s, client.get_prompt(name, dict(values)))
        )
        return tuple(Message(role=m.role, content=words_of(m.content)) for m in result.messages)

    def close(self) -> None:
        """End the session, and the command that was started for it. Idempotent."""
        self._connection.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.address.text!r})"

    # Inside

    def _read_tools(self) -> tuple[RemoteTool, ...]:
        found = self._list("tools", lambda c, cursor: c.list_tools(cursor=cursor), MAX_TOOLS)
        return self._taken("tools", found, remote_tool)

    def _has_any(self) -> bool:
        return bool(self.resources())

    def _list(
        self, what: ServerList, page: Callable[[Any, str | None], Awaitable[Any]], most: int
    ) -> list[Any]:
        """All pages of a list, as far as they are believed."""

        async def ask(client: Client) -> list[Any]:
            if getattr(client.server_capabilities, what) is None:
                return []
            found: list[Any] = []
            cursor: str | None = None
            for _ in range(_MAX_PAGES):
                result = await in_time(self.timeout_s, page(client, cursor))
                found += getattr(result, what)
                cursor = result.next_cursor
                if cursor is None or len(found) > most:
                    break
            return found

        found = self._connection.request(ask)
        self._refused[what] = ()
        if len(found) > most:
            self._refuse(what, "the others", f"it has more than {most:,} {what}")
        return found[:most]

    def _taken(self, what: ServerList, found: list[Any], take: Callable[[Any], R]) -> tuple[R, ...]:
        taken: dict[str, R] = {}
        for one in found:
            try:
                mine = take(one)
            except UnfitError as error:
                self._refuse(what, getattr(one, "name", one), str(error))
                continue
            key = mine.uri if isinstance(mine, RemoteResource) else mine.name
            if key in taken:
                self._refuse(what, key, "it has another of this name")
            else:
                taken[key] = mine
                for note in mine.notes if isinstance(mine, RemoteTool) else ():
                    _say_once(f"{mine.name} of {self.name}, {note}")
        return tuple(taken.values())

    def _refuse(self, what: ServerList, name: object, reason: str) -> None:
        refused = Refused(name=shown_name(name), reason=reason)
        others = self._refused.get(what, ())
        if refused not in others:
            self._refused[what] = (*others, refused)
            logger.warning("%s of %s is left out: %s", refused.name, self.name, reason)


@lru_cache(maxsize=1_000)
def _say_once(text: str) -> None:
    logger.warning("%s", text)


def _texts_by_name(what: str, given: Mapping[str, str] | None) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise RequestError(f"{what} is {given!r:.80}; pass a dict of texts")
    for name, value in given.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            # Not the value: it may be a password.
            raise RequestError(
                f"{what} has {name!r:.80} of {type(value).__name__}; names and values are texts"
            )
    return dict(given)


def _checked_headers(given: Mapping[str, str] | None) -> dict[str, str]:
    headers = _texts_by_name("headers", given)
    for name, value in headers.items():
        if not (name and (name + value).isascii() and (name + value).isprintable()):
            raise RequestError(
                f"headers has {name!r}, which HTTP does not take: names and values are letters, "
                "digits and signs of ASCII in one line"
            )
    return headers


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", arguments.words("name", name)):
        raise RequestError(f"name is {name!r}; use 1 to 32 letters, digits, _ or -")
    return name


def _name_of(address: Address) -> str:
    """``npx -y @modelcontextprotocol/server-git`` is ``git``; ``https://mcp.example.com/x`` is
    ``example``."""
    if address.is_url:
        host = urlsplit(address.text).hostname or "server"
        parts = host.split(".")
        if ":" in host or parts[-1].isdigit():
            return "server"  # numbers say nothing
        parts = [p for p in parts if p not in ("www", "mcp", "api")] or ["server"]
        word = parts[-2] if len(parts) > 1 else parts[0]
    else:
        words = [PurePath(word).name for word in address.words]
        named = [word for word in words if word not in _RUNNERS and not word.startswith("-")]
        word = (named or words)[0].partition("@")[0]
    word = re.sub(r"\.(py|js|exe)$", "", word)
    word = re.sub(r"[^A-Za-z0-9]+", "_", word).strip("_")
    word = re.sub(r"^(mcp_)?(server_)?|(_mcp)?(_server)?(_mcp)?$", "", word) or word
    return word[:32] or "server"
