"""What an open model says of itself, without asking its thread."""

from __future__ import annotations

from typing import cast

from longctx.engine import Engine
from longctx.local.loading import LoadedModel
from longctx.options import SamplingOptions
from longctx.sampling import conversation_sampling


class Opened:
    """How a model was opened, and what its file and template suggest.

    Nothing here decodes or waits, so any thread may ask while the model works.

    Attributes:
        info: what the file says about itself.
        plan: how it was opened, with what is warned of.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._prompts = model.prompts
        self.info, self.plan = model.info, model.plan

    def __repr__(self) -> str:
        state = self.plan.window if self.is_open else "closed"
        return (
            f"LongContextLLM({self.info.name!r}, target_ctx={self.plan.n_ctx}, "
            f"method={self.plan.method!r}, {state})"
        )

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed."""
        return self._model.thread.is_open

    @property
    def engine(self) -> Engine:
        """What it runs on, for those who look inside; its methods belong to the model's thread."""
        return self._model.engine

    @property
    def target_ctx(self) -> int:
        """Largest window in tokens."""
        return self.plan.n_ctx

    @property
    def reserve_output(self) -> int:
        """Tokens that must be free when an answer begins that names no ``max_tokens``."""
        return self.plan.reserve_output

    @property
    def sampling_defaults(self) -> SamplingOptions:
        """How conversations are sampled: as the model's file suggests, else as
        :data:`longctx.sampling.CONVERSATION`. Calls are greedy unless they ask for it:
        ``llm.chat(messages, **llm.sampling_defaults)``.
        """
        return cast("SamplingOptions", conversation_sampling(self.info.sampling))

    @property
    def chat_template(self) -> str:
        """The Jinja text that conversations are rendered with."""
        return self._prompts.template_source

    @property
    def can_think(self) -> bool:
        """Whether answers may begin with thoughts, by the chat template."""
        return self._prompts.can_think

    def has_thinking_switch(self, thinking: bool | str = True) -> bool:
        """Whether the chat template has a switch for it, so that ``thinking=`` may be passed.

        Args:
            thinking: True or False, or how much (``"low"``), which is another switch.
        """
        return self._prompts.has_thinking_switch(thinking)

    @property
    def overflow(self) -> str:
        """What a full window does: ``"error"``, ``"slide"`` or ``"compress"``."""
        return self.plan.overflow
