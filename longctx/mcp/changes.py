"""That a server's lists changed, as it says: since 2026-07-28 only to those who listen."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from longctx.errors import LongCtxError

if TYPE_CHECKING:
    from mcp import Client

logger = logging.getLogger("longctx.mcp")
T = TypeVar("T")
ServerList: TypeAlias = Literal["tools", "resources", "prompts"]
LISTS: tuple[ServerList, ...] = ("tools", "resources", "prompts")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0


class Changes:
    """How often a server said that one of its lists is another.

    It is a count, so that each of those that follow a list sees by itself whether it is behind;
    and a server that says so without end makes it large, and nothing more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(LISTS, 0)

    def note(self, *lists: ServerList) -> None:
        """They changed, or may have; from any thread."""
        with self._lock:
            for one in lists:
                self._counts[one] += 1

    def count(self, of: ServerList) -> int:
        """Of one list."""
        return self._counts[of]

    async def hear(self, message: Any) -> None:
        """Take what a server says unasked."""
        from mcp import types

        if isinstance(message, types.ToolListChangedNotification):
            self.note("tools")
        elif isinstance(message, types.ResourceListChangedNotification):
            self.note("resources")
        elif isinstance(message, types.PromptListChangedNotification):
            self.note("prompts")

    async def listen(self, client: Client, begun: Callable[[], object]) -> None:
        """Have a server tell, as long as this runs; :meth:`hear` is told. One that tells unasked,
        or never, is not asked.

        Args:
            client: of the server.
            begun: called once it tells, or is known not to.
        """
        try:
            await self._listen(client, begun)
        finally:
            begun()

    async def _listen(self, client: Client, begun: Callable[[], object]) -> None:
        import anyio
        from mcp.client.subscriptions import SubscriptionLost

        tools, resources, prompts = (_tells(client, one) for one in LISTS)
        wait = _FIRST_WAIT_S
        while tools or resources or prompts:
            try:
                async with client.listen(
                    tools_list_changed=tools,
                    resources_list_changed=resources,
                    prompts_list_changed=prompts,
                ) as subscription:
                    begun()
                    async for _ in subscription:
                        pass
            except (SubscriptionLost, TimeoutError):
                pass
            except Exception as error:  # the server's: it is not followed, and can be asked
                logger.debug("a server is not listened to: %s", error)
                return
            await anyio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_S)
            self.note(*LISTS)  # what was said meanwhile is not said again


class Followed(Generic[T]):
    """Something of a server's that is read again once it changed.

    What cannot be read again stays as it was until it changes once more.

    Args:
        read: reads it.
        version: is another once it changed.
    """

    def __init__(self, read: Callable[[], T], version: Callable[[], object]) -> None:
        self._read, self._version = read, version
        self._lock = threading.RLock()
        self._held: list[T] = []
        self._of: object = None

    @property
    def value(self) -> T:
        """As of now.

        Raises:
            LongCtxError: it was never read, and cannot be.
        """
        with self._lock:
            version = self._version()  # before reading: what changes meanwhile is read again
            if not self._held or self._of != version:
                try:
                    self._held = [self._read()]
                except LongCtxError:
                    if not self._held:
                        raise
                self._of = version
            return self._held[0]


def _tells(client: Client, one: ServerList) -> bool:
    """Whether the server says that it tells when this list changes."""
    capability = getattr(client.server_capabilities, one)
    return bool(capability is not None and capability.list_changed)
