"""What a GGUF says about its model, without loading a weight."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path

from pydantic import Field

from longctx.arguments import path as checked_path
from longctx.errors import ModelFileError, UnsupportedModelError
from longctx.files import hash_files
from longctx.model_info.architectures import MROPE_IF_SECTIONS, NOT_CAUSAL, ROPE_TYPES, RopeType
from longctx.model_info.gguf_header import GgufHeader, read_header
from longctx.model_info.keys import MAX_LAYERS, ArchitectureKeys
from longctx.model_info.layers import Layer, n_layers, read_layers, sliding_window
from longctx.model_info.norms import hash_norms
from longctx.model_info.rope_scaling import RopeScaling, read_rope_scaling
from longctx.model_info.sampling import read_sampling
from longctx.model_info.scaling_support import ScalingSupport, judge_scaling
from longctx.model_info.shards import read_shards
from longctx.model_info.tables import format_bytes, format_table
from longctx.model_info.turning import still_pairs, turning_obstacle
from longctx.model_info.weights import WeightsLayout
from longctx.types import Frozen


class ModelInfo(Frozen):
    """A model as its file describes it. Lengths in tokens, sizes in bytes.

    ``n_ctx_train`` is the window the file was trained for (an already scaled file: with its own
    scaling, see ``rope_scaling``). ``n_head``, ``n_head_kv``, ``head_dim``, ``n_ff`` are the
    largest over the layers, which ``layers`` lists. ``n_rot`` is the number of dimensions that
    rotate, ``rope_freq_base`` that of the layers that see the whole window; ``still_pairs`` are
    pairs of those dimensions that M-RoPE does not turn on text, and ``turning_obstacle`` says why
    cached keys cannot be moved, None where they can. ``n_inner`` is the
    width of the recurrent layers, 0 where there are none.
    ``frequency_factors`` (and the short and long ones of longrope) divide the frequencies,
    float[n_rot / 2]. ``weights_bytes`` counts tensors, ``weights_layout`` those of each layer,
    ``file_bytes`` all of the model's files.
    ``sampling`` has the options of an answer that the file's makers suggest (``temperature``,
    ``top_k``, …), empty where it names none.
    ``chat_template`` is the Jinja text, None where the file has none; ``tool_template`` that of
    conversations with tools, where the file has one of its own (Command R, Hermes).
    """

    path: Path
    architecture: str
    name: str
    n_ctx_train: int
    n_layer: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_rot: int
    n_embd: int
    n_ff: int
    n_expert_used: int
    n_ff_expert: int
    n_inner: int
    n_vocab: int
    rope_freq_base: float
    rope_type: RopeType
    rope_scaling: RopeScaling | None
    frequency_factors: tuple[float, ...] | None
    frequency_factors_short: tuple[float, ...] | None
    frequency_factors_long: tuple[float, ...] | None
    still_pairs: tuple[int, ...] = ()
    turning_obstacle: str | None = None
    sliding_window: int | None
    layers: tuple[Layer, ...]
    weights_type: str
    weights_bytes: int
    weights_layout: WeightsLayout = Field(exclude=True, repr=False)
    file_bytes: int
    files: tuple[Path, ...]
    scaling_support: ScalingSupport
    notes: tuple[str, ...]
    sampling: Mapping[str, float | int] = Field(default_factory=dict)
    chat_template: str | None = Field(default=None, exclude=True, repr=False)
    tool_template: str | None = Field(default=None, exclude=True, repr=False)

    @classmethod
    def from_gguf(cls, path: str | PathLike[str]) -> ModelInfo:
        """Read a file's header.

        Args:
            path: a GGUF, or the first file of a split one.

        Raises:
            ModelFileError: the file is missing, truncated, damaged or no GGUF.
            UnsupportedModelError: it is no causal text model, or of an unknown architecture.
            RequestError: ``path`` is no path.
        """
        return cls._of(read_shards(checked_path("the model", path)))

    @classmethod
    def from_head(cls, path: str | PathLike[str]) -> ModelInfo:
        """Read the beginning of a file whose weights are not there, as of a download.

        Sizes are those of its tensors, and of that file alone where the model is split.

        Raises:
            ModelFileError: there is no GGUF, or less of it than its header.
            UnsupportedModelError: it is no causal text model, or of an unknown architecture.
        """
        return cls._of((read_header(checked_path("the model", path), whole=False),))

    @classmethod
    def _of(cls, headers: tuple[GgufHeader, ...]) -> ModelInfo:
        return _describe(headers, ArchitectureKeys(headers[0], _architecture(headers[0])))

    @cached_property
    def sha256(self) -> str:
        """Hash of the model's files, read once when first asked for (about 1 s a GB)."""
        try:
            return hash_files(*self.files)
        except OSError as error:
            raise ModelFileError(f"{self.path} can no longer be read: {error}") from error

    @cached_property
    def norms_sha256(self) -> str:
        """Hash of the norms, which are the same in every quantisation of a model."""
        return hash_norms(self.files)

    @property
    def layer_kinds(self) -> tuple[str, ...]:
        """The kind of each layer: full, sliding, mla, recurrent or none."""
        return tuple(layer.kind for layer in self.layers)

    @property
    def layer_weights(self) -> int:
        """Weights of a layer that each token meets, about: of a mixture, of the experts chosen."""
        attention = 2 * self.n_embd * self.head_dim * (self.n_head + self.n_head_kv)
        n_ff = self.n_ff_expert * self.n_expert_used or self.n_ff
        return attention + 3 * self.n_embd * n_ff

    @property
    def forgets(self) -> bool:
        """Whether some layers keep less than the whole text: a sliding window, or a state."""
        return any(layer.kind == "sliding" or layer.state_elements for layer in self.layers)

    @property
    def trained_freq_scale(self) -> float:
        """The ``rope_freq_scale`` that the file was trained with: 1 / s, 1 where unscaled."""
        return 1 / self.rope_scaling.factor if self.rope_scaling else 1.0

    @property
    def sampling_line(self) -> str:
        """What the file suggests for sampling, in words; "" where it suggests nothing."""
        said = ", ".join(f"{name} {value:g}" for name, value in self.sampling.items())
        return said and f"the file suggests {said}"

    def frequency_factors_at(self, n_ctx: int) -> tuple[float, ...] | None:
        """The divisors that llama.cpp applies in a window of ``n_ctx``: float[n_rot / 2].

        Longrope has two vectors and takes the long one past the original window.
        """
        if self.frequency_factors is not None:
            return self.frequency_factors
        original = self.rope_scaling and self.rope_scaling.original_ctx
        is_long = n_ctx > (original or self.n_ctx_train)
        return self.frequency_factors_long if is_long else self.frequency_factors_short

    def __repr__(self) -> str:
        kinds = {kind: self.layer_kinds.count(kind) for kind in dict.fromkeys(self.layer_kinds)}
        rows: list[tuple[str, object]] = [
            ("architecture", self.architecture),
            ("trained window", f"{self.n_ctx_train:,} tokens"),
            ("layers", f"{self.n_layer} ({', '.join(f'{n} {k}' for k, n in kinds.items())})"),
            ("heads", f"{self.n_head}, {self.n_head_kv} for keys, {self.head_dim} dimensions each"),
            ("RoPE", self._rope_row()),
            (
                "sliding window",
                f"{self.sliding_window:,} tokens" if self.sliding_window else "none",
            ),
            ("weights", f"{format_bytes(self.weights_bytes)}, mostly {self.weights_type}"),
            ("vocabulary", f"{self.n_vocab:,} tokens"),
            ("scaling reaches", _REACH[self.scaling_support]),
            ("a larger window", self._growth_row()),
            ("a full window", self._slide_row()),
            *([("sampling", self.sampling_line)] if self.sampling else []),
            *(("note", note) for note in self.notes),
        ]
        return format_table(self.name, rows)

    __str__ = __repr__

    def _growth_row(self) -> str:
        if self.scaling_support == "none":
            return "is read as it is: there is nothing to scale"
        if self.turning_obstacle is not None:
            return f"costs a second prefill: {self.turning_obstacle}"
        return "keeps the cached keys, which are re-rotated"

    def _slide_row(self) -> str:
        if self.turning_obstacle is not None and not (self.forgets and self.rope_type == "none"):
            return f"slides by a second prefill: {self.turning_obstacle}"
        if self.forgets:
            return "slides where it is seen whole; the other layers go on as they are"
        return "slides, the keys that are kept re-rotated"

    def _rope_row(self) -> str:
        if self.rope_type == "none":
            return "none"
        scaled = f", already scaled: {self.rope_scaling}" if self.rope_scaling else ""
        return f"{self.rope_type}, base {self.rope_freq_base:,.0f}, {self.n_rot} dimensions{scaled}"


_REACH = {
    "full": "all layers that see the whole window",
    "global-layers": "the layers that see the whole window, not the sliding ones",
    "none": "no layer",
}


def _architecture(header: GgufHeader) -> str:
    architecture = header.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise ModelFileError(
            f"{header.path} names no general.architecture: it is a GGUF of something else than a "
            "model (a LoRA adapter, a control vector), or damaged"
        )
    if architecture in NOT_CAUSAL:
        raise UnsupportedModelError(
            f"{header.path.name} is {NOT_CAUSAL[architecture]} ({architecture}); longctx needs a "
            "model that writes text from left to right"
        )
    if architecture not in ROPE_TYPES:
        raise UnsupportedModelError(
            f"{header.path.name} has the architecture {architecture[:60]!r}, which this version "
            "does not know; a newer longctx may"
        )
    if header.metadata.get("general.type", "model") != "model":
        kind = str(header.metadata["general.type"])[:60]
        raise UnsupportedModelError(
            f"{header.path.name} holds no model but a {kind!r}; pass the model's own file"
        )
    return architecture


def _describe(headers: tuple[GgufHeader, ...], keys: ArchitectureKeys) -> ModelInfo:
    header, architecture = headers[0], keys.architecture
    n_block, n_layer = keys.integer("block_count"), n_layers(keys)
    n_ctx_train = keys.integer("context_length")
    if not 0 < n_layer <= n_block <= MAX_LAYERS or not 0 < n_ctx_train < 1 << 31:
        raise ModelFileError(
            f"{header.path} says {n_layer} of {n_block} layers and a window of {n_ctx_train} "
            f"tokens: it is damaged (1 to {MAX_LAYERS} layers are possible). Download it again"
        )
    n_embd = keys.integer("embedding_length")
    n_head = max(keys.per_layer("attention.head_count", n_layer, 0))
    layers = read_layers(keys, n_layer)
    attention = [layer for layer in layers if layer.n_head_kv]
    whole = next((layer for layer in attention if layer.kind != "sliding"), None)
    head_dim = (whole or attention[0]).key_length if attention else 0
    rope_type = _rope_type(keys)
    n_rot = _n_rot(keys, head_dim) if rope_type != "none" else 0
    window = sliding_window(keys, n_layer)
    support, notes = judge_scaling(architecture, layers, window)
    sampling, not_followed = read_sampling(header.metadata)
    return ModelInfo(
        path=header.path,
        architecture=architecture,
        name=str(header.metadata.get("general.name") or header.path.stem),
        n_ctx_train=n_ctx_train,
        n_layer=n_layer,
        n_head=n_head,
        n_head_kv=max((layer.n_head_kv for layer in layers), default=0),
        head_dim=head_dim,
        n_rot=n_rot,
        n_embd=n_embd,
        n_ff=max(keys.per_layer("feed_forward_length", n_layer, 0)),
        n_expert_used=max(keys.per_layer("expert_used_count", n_layer, 0)),
        n_ff_expert=max(keys.per_layer("expert_feed_forward_length", n_layer, 0)),
        n_inner=_n_inner(keys, layers, n_embd, n_head),
        n_vocab=header.array_lengths.get("tokenizer.ggml.tokens", keys.integer("vocab_size", 0)),
        rope_freq_base=_freq_base(keys),
        rope_type=rope_type,
        rope_scaling=read_rope_scaling(keys),
        frequency_factors=header.read_f32("rope_freqs.weight"),
        frequency_factors_short=header.read_f32("rope_factors_short.weight"),
        frequency_factors_long=header.read_f32("rope_factors_long.weight"),
        still_pairs=still_pairs(architecture, rope_type, _sections(keys), n_rot),
        turning_obstacle=turning_obstacle(architecture, rope_type),
        sliding_window=window,
        layers=layers,
        weights_type=_main_type(headers),
        weights_bytes=sum(t.n_bytes for shard in headers for t in shard.tensors.values()),
        weights_layout=WeightsLayout.of(headers, n_layer=n_layer, n_block=n_block),
        file_bytes=sum(shard.file_bytes for shard in headers),
        files=tuple(shard.path for shard in headers),
        scaling_support=support,
        notes=notes + _ignored_window(keys, window) + not_followed,
        sampling=sampling,
        chat_template=_chat_template(header, "tokenizer.chat_template"),
        tool_template=_chat_template(header, "tokenizer.chat_template.tool_use"),
    )


def _chat_template(header: GgufHeader, key: str) -> str | None:
    template = header.metadata.get(key)
    return template if isinstance(template, str) and template else None


def _n_inner(keys: ArchitectureKeys, layers: tuple[Layer, ...], n_embd: int, n_head: int) -> int:
    if not any(layer.state_elements for layer in layers):
        return 0
    delta_attention = n_head * keys.integer("kda.head_dim", 0)
    return keys.integer("ssm.inner_size", 0) or delta_attention or n_embd


def _rope_type(keys: ArchitectureKeys) -> RopeType:
    if keys.architecture in MROPE_IF_SECTIONS and "rope.dimension_sections" in keys:
        sections = keys.per_layer("rope.dimension_sections", 2)
        if all(sections):
            return "mrope"
    return ROPE_TYPES[keys.architecture]


def _sections(keys: ArchitectureKeys) -> tuple[int, ...]:
    key = "rope.dimension_sections"
    return keys.per_layer(key, min(4, keys.array_length(key))) if keys.is_array(key) else ()


def _n_rot(keys: ArchitectureKeys, head_dim: int) -> int:
    n_rot = keys.integer("rope.dimension_count", head_dim)
    if keys.architecture == "step35":  # its full-attention layers rotate half of what the file says
        n_rot //= 2
    if n_rot % 2 or n_rot > head_dim:
        raise ModelFileError(
            f"{keys.header.path} rotates {n_rot} of {head_dim} dimensions of a head, which is "
            "impossible: it is damaged. Download it again"
        )
    return n_rot


def _freq_base(keys: ArchitectureKeys) -> float:
    base = keys.number("rope.freq_base", 10_000.0)
    if base <= 1:
        raise ModelFileError(
            f"{keys.header.path} has a RoPE base of {base:g}, where 10,000 and more are usual: it "
            "is damaged. Download it again"
        )
    return base


def _ignored_window(keys: ArchitectureKeys, window: int | None) -> tuple[str, ...]:
    stated = keys.integer("attention.sliding_window", 0)
    if window is not None or not stated:
        return ()
    return (
        f"The file names a sliding window of {stated:,} tokens, which llama.cpp ignores for this "
        "architecture: every layer sees the whole window.",
    )


def _main_type(headers: tuple[GgufHeader, ...]) -> str:
    by_type: dict[str, int] = {}
    for shard in headers:
        for tensor in shard.tensors.values():
            by_type[tensor.type] = by_type.get(tensor.type, 0) + tensor.n_bytes
    return max(by_type, key=by_type.__getitem__, default="none")
