"""A model on a server that speaks OpenAI's API: ours, llama-server, vLLM, others.

:class:`RemoteLLM` satisfies :class:`longctx.protocols.ChatModel`, so documents and agents run
on a cluster as they do here.
"""

from longctx.remote.remote_llm import RemoteLLM, connect

__all__ = ["RemoteLLM", "connect"]
