"""The plan: everything about a window that is decided before it is opened."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from longctx.devices import DeviceOptions
from longctx.errors import ContextOverflowError
from longctx.model_info import Adapter, ModelInfo, format_bytes, format_table
from longctx.planner.memory import KvType
from longctx.planner.memory_estimate import MemoryEstimate
from longctx.planner.placement import Placement
from longctx.planner.profile import Profile, ProfileParameters
from longctx.rope import Method, RopeConfig, SelfExtendConfig, rope_config
from longctx.rope.yarn import BETA_FAST, BETA_SLOW
from longctx.types import Frozen

Overflow: TypeAlias = Literal["error", "slide", "compress"]
Window: TypeAlias = Literal["elastic", "fixed"]
PlanMethod: TypeAlias = Method | Literal["self-extend"]


class ContextPlan(Frozen):
    """One window of one model. Lengths in tokens.

    ``scale`` is s, what ``method`` stretches the trained window by, and ``rope`` what llama.cpp is
    told; ``parameters`` is how the method is set, and ``profile`` the calibration that found it, if
    any. ``self_extend`` is None with every other method. ``reserve_output`` tokens must be free
    when an answer begins that names no ``max_tokens``; ``n_keep`` counts the first tokens that a
    window which slides or compresses keeps as attention sinks. ``adapters`` are applied to the
    weights. ``devices`` is what was asked of the machine's, and ``placement`` which layers they
    get. ``reasons`` says why each choice was made, ``warnings`` what may go wrong.
    """

    info: ModelInfo = Field(exclude=True, repr=False)
    n_ctx: int
    n_ctx_train: int
    scale: float
    method: PlanMethod
    rope: RopeConfig
    self_extend: SelfExtendConfig | None = None
    kv_type_k: KvType
    kv_type_v: KvType
    memory: MemoryEstimate
    reserve_output: int
    n_keep: int
    overflow: Overflow
    window: Window = "elastic"
    parameters: ProfileParameters = ProfileParameters()
    profile: Profile | None = None
    adapters: tuple[Adapter, ...] = ()
    devices: DeviceOptions = DeviceOptions()
    placement: Placement = Placement()
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    def rope_at(self, n_ctx: int) -> RopeConfig:
        """The RoPE of a smaller (or larger) window under the same method.

        Args:
            n_ctx: a window in tokens; s = n_ctx / n_ctx_train, and none up to the trained one.
        """
        if n_ctx == self.n_ctx:
            return self.rope
        return rope_for_window(self.info, n_ctx, self.method, self.parameters)

    def because(self, *reasons: str) -> ContextPlan:
        """The same plan with more reasons, of what was chosen before it."""
        return self.model_copy(update={"reasons": (*reasons, *self.reasons)})

    def warned(self, *warnings: str) -> ContextPlan:
        """The same plan with more warnings, of what is only known where it is used."""
        return self.model_copy(update={"warnings": (*self.warnings, *warnings)})

    @property
    def steps(self) -> tuple[int, ...]:
        """The windows that a text passes through as it grows, in tokens, smallest first.

        An elastic one begins at the trained window, doubles, and ends at ``n_ctx``; a fixed one is
        ``n_ctx`` from the first token.
        """
        steps = []
        if self.window == "elastic":
            step = self.n_ctx_train
            while step < self.n_ctx:
                steps.append(step)
                step *= 2
        return (*steps, self.n_ctx)

    @property
    def first_window(self) -> int:
        """The window in tokens that a session begins with."""
        return self.steps[0]

    @property
    def is_endless(self) -> bool:
        """Whether a full window makes room by itself, so that nothing is too long for it."""
        return self.overflow != "error"

    @property
    def compresses(self) -> bool:
        """Whether it does so by keeping the best of its oldest tokens, for each head its own."""
        return self.overflow == "compress"

    def room_behind(self, n_tokens: int) -> int:
        """Tokens that an answer behind so many can have; a window that slides or compresses has
        no end, and gives it as many as it holds."""
        return self.n_ctx if self.is_endless else self.n_ctx - n_tokens

    def check_fit(self, n_tokens: int) -> None:
        """Refuse a text that is too long, before any work.

        Raises:
            ContextOverflowError: it is more than ``n_ctx``.
        """
        if n_tokens > self.n_ctx:
            said = f"{n_tokens} tokens do not fit the window of {self.n_ctx}"
            raise self._overflow(said, n_tokens, "Shorten the text")

    def check_answer(
        self, n_prompt: int, max_tokens: int | None = None, *, n_added: int = 0
    ) -> None:
        """Refuse a prompt whose answer has no room, before any work.

        Args:
            n_prompt: tokens of the prompt.
            max_tokens: of the answer; where it names none, what is reserved must be free.
            n_added: of the prompt's, those that the model puts around a text, for the message.

        Raises:
            ContextOverflowError: together they are more than ``n_ctx``.
        """
        n_answer = max(1, self.reserve_output) if max_tokens is None else max_tokens
        needed = n_prompt + n_answer
        if needed <= self.n_ctx:
            return
        about = f" ({n_added} more than count() has: the model's BOS, see prompt_ids())"
        answer, advice = f"its answer may take {n_answer}", "lower max_tokens"
        if max_tokens is None:
            answer, advice = f"{n_answer} are reserved for its answer", "name a smaller max_tokens"
        raise self._overflow(
            f"the prompt is {n_prompt} tokens{about if n_added else ''} and {answer}, {needed} in "
            f"all, but the window is {self.n_ctx}",
            needed,
            f"Shorten the prompt, {advice}",
        )

    def _overflow(self, said: str, needed: int, advice: str) -> ContextOverflowError:
        return ContextOverflowError(
            f"{said}: {needed - self.n_ctx} too many. {advice}, or ask for a larger target_ctx. "
            "Nothing was cut.",
            needed=needed,
            available=self.n_ctx,
            n_ctx=self.n_ctx,
        )

    def __repr__(self) -> str:
        scaling = "none" if self.scale == 1 else f"{self.method}, s = {self.scale:.4g}"
        if self.self_extend is not None:
            far = self.self_extend
            scaling = f"self-extend, {far.group} tokens a position past {far.start:,} positions"
        base = f"base {self.rope.freq_base:,.0f}, frequency scale {self.rope.freq_scale:.4g}"
        rows: list[tuple[str, object]] = [
            ("window", f"{self.n_ctx:,} tokens (trained for {self.n_ctx_train:,})"),
            ("scaling", scaling),
            ("RoPE", base if self.info.rope_type != "none" else "none"),
            ("keys, values", f"{self.kv_type_k}, {self.kv_type_v}"),
            *(("adapter", adapter) for adapter in self.adapters),
            ("memory", self._memory_row()),
            *(
                (place.device, f"{place.n_layers} of {self.placement.n_layers} layers: {place}")
                for place in self.memory.places
            ),
            ("for the answer", f"{self.reserve_output:,} tokens"),
            *([("sampling", self.info.sampling_line)] if self.info.sampling else []),
            ("when full", self._overflow_row()),
            *(("reason", reason) for reason in self.reasons),
            *(("WARNING", warning) for warning in self.warnings),
        ]
        return format_table(f"Plan for {self.info.name}", rows)

    __str__ = __repr__

    def _memory_row(self) -> str:
        memory, limit = self.memory, format_bytes(self.memory.limit_bytes)
        if not memory.places:
            return f"{memory} of {limit}"
        return f"{memory}; {format_bytes(memory.host_bytes)} of {limit} in the host's memory"

    def _overflow_row(self) -> str:
        if self.overflow == "error":
            return "an error"
        does = "compresses its oldest text" if self.compresses else "slides"
        return f"{does}, keeping the first {self.n_keep} tokens"


def rope_for_window(
    info: ModelInfo,
    n_ctx: int,
    method: PlanMethod,
    parameters: ProfileParameters,
) -> RopeConfig:
    """Compute the RoPE of a window, on top of what the file already applies.

    Args:
        info: the model.
        n_ctx: the window in tokens; at or below the trained one nothing is scaled.
        method: the scaling method.
        parameters: how the method is set.
    """
    scaling = info.rope_scaling
    original_ctx = (scaling and scaling.original_ctx) or info.n_ctx_train
    if info.rope_type == "none":
        return RopeConfig(freq_base=info.rope_freq_base, original_ctx=original_ctx)
    # Self-Extend leaves the frequencies as trained; it moves positions.
    applied: Method = "none" if method == "self-extend" else method
    stretched = n_ctx > info.n_ctx_train and applied != "none"
    return rope_config(
        applied if stretched else "none",
        scale=n_ctx / info.n_ctx_train * parameters.scale_factor if stretched else 1.0,
        n_rot=info.n_rot,
        base=info.rope_freq_base,
        original_ctx=original_ctx,
        trained_freq_scale=info.trained_freq_scale,
        trained_attention_factor=(scaling and scaling.attn_factor) or 1.0,
        trained_yarn=scaling is not None and scaling.type == "yarn",
        frequency_factors=info.frequency_factors_at(n_ctx),
        beta_fast=parameters.beta_fast or (scaling and scaling.beta_fast) or BETA_FAST,
        beta_slow=parameters.beta_slow or (scaling and scaling.beta_slow) or BETA_SLOW,
        searched_factors=parameters.factors_at(n_ctx / info.n_ctx_train),
    )
