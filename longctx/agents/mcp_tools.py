"""The tools of an MCP server, for an agent to call."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any

from typing_extensions import Unpack

from longctx import arguments
from longctx.agents.running import RunningCall, running_call
from longctx.agents.tools import Tool
from longctx.errors import RequestError, ToolError
from longctx.mcp import Ask, Followed, McpServer, McpSettings, RemoteTool, ServerQuestion
from longctx.options import check_names


class McpTool(Tool):
    """A tool of a server, by the schema that the server gave it."""

    def __init__(self, remote: RemoteTool, call: Callable[[Mapping[str, Any]], str]) -> None:
        self.name = remote.name
        self.description = remote.description
        self.parameters = remote.parameters
        self.timeout_s = None
        self.confirm = False
        self._call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it with arguments by name."""
        if args:
            raise ToolError(f"{self.name} takes arguments by name only")
        return self.call(kwargs)

    def call(self, arguments: Mapping[str, Any]) -> str:
        """Have the server call it; the server checks the arguments.

        Raises:
            ToolError: they are none, or the tool failed, took too long or said too much.
            RemoteError: the server broke off.
        """
        self.check(arguments)
        return self._call(arguments)

    def check(self, arguments: Mapping[str, Any]) -> None:
        """See that they are arguments; whether they fit, the server says.

        Raises:
            ToolError: they are no dict.
        """
        if not isinstance(arguments, Mapping):
            raise ToolError(f"arguments of {self.name} are a dict, not {arguments!r}")


class McpTools(McpServer):
    """An MCP server whose tools an agent may call; made by :func:`mcp`.

    Where it has resources, the agent has the tools ``list_resources`` and ``read_resource``, too.
    What the server changes of its tools, an agent sees at its next turn.

    Args:
        command_or_url: as all others, of :class:`longctx.mcp.McpServer`.
        confirm: calls that somebody must allow: all of them, none, those of tools that do not say
            that they only read (``"changes"``), or those of tools by these names; then those of
            tools that appear later, too.
        ask: what answers the server's questions to the user; True puts them to who reads the
            agent's stream (:class:`~longctx.agents.ServerAsks`), False has nobody asked.
        settings: ditto.
    """

    def __init__(
        self,
        command_or_url: str,
        *,
        confirm: bool | str | Collection[str] = False,
        ask: bool | Ask = False,
        **settings: Unpack[McpSettings],
    ) -> None:
        self._confirm = _checked_confirm(confirm)
        check_names(settings, frozenset(McpSettings.__annotations__), "of mcp()")
        self._under_way: list[RunningCall] = []
        super().__init__(command_or_url, ask=self._answering(ask), **settings)
        self._callable = Followed(
            self._make_tools, lambda: (self.changed("tools"), self.changed("resources"))
        )
        self._known: frozenset[str] | None = None
        try:
            # What cannot be listed is said here, and so is a name that no tool has: what was
            # misspelt would be called unasked.
            self._known = self._checked_names()
        except BaseException:
            self.close()
            raise

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What an agent may call now, under the server's own names."""
        return self._callable.value

    def _make_tools(self) -> tuple[Tool, ...]:
        tools: list[Tool] = []
        for remote in self.remote_tools:
            tools.append(self._tool(remote))
            tools[-1].confirm = self._asks(remote.changes_things, remote.name, remote.remote_name)
        if self.has_resources:
            for tool in (_list_resources(self), _read_resource(self)):
                tool.confirm = self._asks(False, tool.name)
                tools.append(tool)
        return tuple(tools)

    def _asks(self, changes: bool, *names: str) -> bool:
        """Whether somebody must allow calls of a tool that goes by these names."""
        if isinstance(self._confirm, bool):
            return self._confirm
        if isinstance(self._confirm, str):
            return changes
        is_new = self._known is not None and self._known.isdisjoint(names)
        return is_new or not self._confirm.isdisjoint(names)

    def _checked_names(self) -> frozenset[str]:
        """Names that can be told of now.

        Raises:
            RequestError: ``confirm`` has others.
        """
        tools = [tool.name for tool in self.tools]
        known = frozenset([*tools, *(one.remote_name for one in self.remote_tools)])
        if isinstance(self._confirm, frozenset) and (unknown := sorted(self._confirm - known)):
            raise RequestError(
                f"confirm names {', '.join(map(repr, unknown))}, and {self.name} has no such "
                f"tool; there are {', '.join(tools) or 'none'}"
            )
        return known

    def _tool(self, remote: RemoteTool) -> McpTool:
        def call(arguments: Mapping[str, Any]) -> str:
            running = running_call()
            if running is None:
                return self.call(remote.remote_name, arguments)
            self._under_way.append(running)
            try:
                return self.call(
                    remote.remote_name,
                    arguments,
                    on_progress=running.progress,
                    on_begin=running.on_abandon,
                    caller=running,
                )
            finally:
                self._under_way.remove(running)

        return McpTool(remote, call)

    def _answering(self, ask: bool | Ask) -> Ask | None:
        if isinstance(ask, bool):
            return self._ask_who_reads if ask else None
        if not callable(ask):
            raise RequestError(f"ask is {ask!r}; use True, False or a function of a ServerQuestion")
        return ask

    def _ask_who_reads(self, question: ServerQuestion, caller: object) -> Mapping[str, Any] | None:
        """Ask where the call came from. Before 2026 servers did not say in which call they ask:
        with several under way it might be somebody else's, and nobody is asked."""
        if not isinstance(caller, RunningCall):
            if len(self._under_way) != 1:
                return None
            (caller,) = self._under_way
        return caller.ask(question)


def mcp(
    command_or_url: str,
    *,
    confirm: bool | str | Collection[str] = False,
    ask: bool | Ask = False,
    **settings: Unpack[McpSettings],
) -> McpTools:
    """Open an MCP server for an agent: ``Agent(llm, tools=[mcp("npx …"), mcp("http://…")])``.

    It ends with the program, with ``close()``, or at the end of a ``with`` block.

    Args:
        command_or_url: a command that is started, or the URL of a server that runs.
        confirm: calls that somebody must allow: all of them, none, those of tools that do not say
            that they only read (``"changes"``), or those of tools by these names.
        ask: whom the server may ask something in the middle of a call: True is who reads the
            agent's stream (:class:`~longctx.agents.ServerAsks`), False nobody; or a function of a
            :class:`longctx.mcp.ServerQuestion` and the call.
        settings: of :class:`longctx.mcp.McpServer`: ``name``, ``env``, ``cwd``, ``headers``,
            ``timeout_s``, ``connect_timeout_s``, ``max_result_bytes``, ``follow``, ``roots``,
            ``sampling``.

    Raises:
        RemoteError: it cannot be opened.
        RequestError: an argument is wrong.
        MissingExtraError: the package ``mcp`` (extra ``mcp``) is not installed.
    """
    return McpTools(command_or_url, confirm=confirm, ask=ask, **settings)


def _checked_confirm(confirm: object) -> bool | str | frozenset[str]:
    if isinstance(confirm, bool):
        return confirm
    if confirm == "changes":
        return "changes"
    if isinstance(confirm, Collection) and not isinstance(confirm, str | bytes | Mapping):
        names = list(confirm)
        if all(isinstance(name, str) for name in names):
            return frozenset(names)
    raise RequestError(f"confirm is {confirm!r}; use True, False, 'changes' or names")


def _list_resources(server: McpServer) -> Tool:
    def list_resources() -> str:
        """List the documents that can be read with read_resource."""
        found = server.resources()
        lines = [
            f"{one.uri} {one.name}{': ' if one.description else ''}{one.description}"[:300]
            for one in found
        ]
        return "\n".join(lines) or "there are none"

    return _of_source(Tool(list_resources), server)


def _read_resource(server: McpServer) -> Tool:
    def read_resource(uri: str) -> str:
        """Read a document that list_resources names."""
        data = server.read(arguments.words("uri", uri))
        server.check_size(len(data))
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise ToolError(f"{uri} holds {len(data):,} bytes that are no text") from None

    return _of_source(Tool(read_resource), server)


def _of_source(tool: Tool, server: McpServer) -> Tool:
    mine = copy.copy(tool)
    mine.description = f"{tool.description} They are of {server.name}."
    return mine
