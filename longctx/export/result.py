"""What an export is."""

from __future__ import annotations

from typing import Literal, TypeAlias

from longctx.planner import KvType
from longctx.rope import Method
from longctx.types import Frozen

Engine: TypeAlias = Literal["llama-server", "ollama", "koboldcpp", "vllm", "transformers"]


class Export(Frozen):
    """A plan for one engine.

    ``text`` is the heart of it: flags, a Modelfile or a configuration. ``command`` is what to
    type in a shell, in the folder where ``files`` (name to content) lie. ``n_ctx`` tokens,
    ``method``, ``scale`` and the types of keys and values are what the engine will run, which
    may be less than what was planned: ``cannot`` says each thing that is lost, and what to do.
    """

    engine: Engine
    n_ctx: int
    method: Method
    scale: float
    kv_type: KvType | None
    text: str
    command: str
    files: dict[str, str]
    cannot: tuple[str, ...]

    def __str__(self) -> str:
        files = [f"# {name}\n{content.rstrip()}" for name, content in self.files.items()]
        lost = "\n".join(f"- {line}" for line in self.cannot)
        parts = [*files, f"# in a shell\n{self.command}"]
        return "\n\n".join(parts) + (f"\n\nNot expressed:\n{lost}" if lost else "")
