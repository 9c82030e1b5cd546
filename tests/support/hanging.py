"""A tool that does not come back until nobody waits for it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from longctx.agents import Tool, running_call, tool


@dataclass
class HangingTool:
    """A tool named ``hang``, and what has become of its call.

    Attributes:
        began: it was called.
        ended: it was told that nobody waits.
    """

    began: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def tool(self) -> Tool:
        """What the model may call."""

        @tool
        def hang() -> str:
            """Hang."""
            running = running_call()
            assert running is not None
            running.on_abandon(self.ended.set)
            self.began.set()
            self.ended.wait(30)
            return ""

        return hang
