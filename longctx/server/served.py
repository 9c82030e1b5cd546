"""What is served: a model here, or one on another server."""

from __future__ import annotations

from typing import TypeAlias

from longctx.chat import EncodedPrompt
from longctx.llm import LongContextLLM
from longctx.remote.prompt import RemotePrompt
from longctx.server.relay import RelayedModel

ServedModel: TypeAlias = LongContextLLM | RelayedModel
ServedPrompt: TypeAlias = EncodedPrompt | RemotePrompt
