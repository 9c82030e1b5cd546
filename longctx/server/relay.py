"""A model on another server, served as one here is: with counts, and refusals instead of cuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any, cast

from typing_extensions import Unpack

from longctx.closing import Closing
from longctx.errors import RequestError
from longctx.options import AnswerOptions, ChatOptions, SamplingOptions
from longctx.remote import RemoteLLM
from longctx.remote.prompt import RemotePrompt
from longctx.sampling import conversation_sampling
from longctx.stream import Stream
from longctx.types import Messages, ToolSchema


@dataclass(frozen=True)
class RelayedFacts:
    """What is known of it here: its name. How it is drawn where nobody says so, its server knows,
    and does not tell."""

    name: str
    sampling: Mapping[str, float | int] = field(default_factory=dict)


@dataclass(frozen=True)
class RelayedWindow:
    """Its window as it is served there; how it came to be is not told."""

    n_ctx: int
    overflow: str
    reserve_output: int
    method: str = "none"
    scale: float = 1.0
    window: str = "fixed"

    @property
    def n_ctx_train(self) -> int:
        """All of it, for all that is known."""
        return self.n_ctx


class RelayedModel(Closing):
    """What the routes need, by a :class:`longctx.RemoteLLM`.

    Args:
        remote: the model on its server; it is closed with this.
    """

    def __init__(self, remote: RemoteLLM) -> None:
        self._remote = remote
        # llama-server calls a model by the path of its file, which is nobody's business.
        is_path = remote.model.startswith("/") or "\\" in remote.model
        self.info = RelayedFacts(PureWindowsPath(remote.model).stem if is_path else remote.model)
        self.plan = RelayedWindow(remote.target_ctx, remote.overflow, remote.reserve_output)

    @classmethod
    def connect(cls, base_url: str, model: str | None = None, **options: Any) -> RelayedModel:
        """Open it by the arguments of :class:`longctx.RemoteLLM`."""
        return cls(RemoteLLM(base_url, model, **options))

    def close(self) -> None:
        """End the connections. Idempotent."""
        self._remote.close()

    def __str__(self) -> str:
        return str(self._remote)

    @property
    def target_ctx(self) -> int:
        """Tokens of the window."""
        return self.plan.n_ctx

    @property
    def overflow(self) -> str:
        """What happens when it is full."""
        return self.plan.overflow

    @property
    def sampling_defaults(self) -> SamplingOptions:
        """How conversations are sampled."""
        return cast("SamplingOptions", conversation_sampling({}))

    @property
    def chat_template(self) -> str:
        """It stays where the model is."""
        return ""

    def has_thinking_switch(self, thinking: bool | str = True) -> bool:
        """Whether its server passes over a switch that the template lacks, as all but ours do."""
        return self._remote.passes_over_switches and thinking is not None

    def prompt(
        self,
        messages: Messages,
        tools: Sequence[ToolSchema] | None = None,
        *,
        thinking: bool | str | None = None,
        template_options: Mapping[str, Any] | None = None,
    ) -> RemotePrompt:
        """Count a conversation, by its server."""
        return self._remote.prompt(
            messages, tools, thinking=thinking, template_options=template_options
        )

    def tokenize(self, text: str) -> list[int]:
        """Token ids, by its server."""
        return self._remote.tokenize(text)

    def prompt_ids(self, _text: str) -> list[int]:
        """What an answer to a text would read is its server's to know.

        Raises:
            RequestError: always.
        """
        raise RequestError(
            "the server behind this one does not tell which token a text begins with; leave "
            "add_special out"
        )

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids, by its server."""
        return self._remote.detokenize(ids)

    def stream_chat(self, messages: Messages, **options: Unpack[ChatOptions]) -> Stream:
        """Answer a conversation."""
        return self._remote.stream_chat(messages, **options)

    def stream(self, prompt: str | Sequence[int], **options: Unpack[AnswerOptions]) -> Stream:
        """Continue a text."""
        return self._remote.stream(prompt, **options)
