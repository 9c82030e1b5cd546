"""What each layer of a model remembers: keys and values, a sliding window of them, or a state."""

from __future__ import annotations

from typing import Literal, TypeAlias

from longctx.errors import ModelFileError
from longctx.model_info.architectures import (
    KV_LAYERS_FROM_START,
    RECURRENT,
    ROPE_ON_LAST_DIMENSIONS,
    ROPE_ON_SLIDING_LAYERS_ONLY,
    ROPE_TYPES,
    SLIDING,
)
from longctx.model_info.keys import ArchitectureKeys
from longctx.types import Frozen

LayerKind: TypeAlias = Literal["full", "sliding", "mla", "recurrent", "none"]


class Layer(Frozen):
    """One layer's memory.

    ``kind``: ``full`` attention over the whole window, ``sliding`` over the last tokens, ``mla``
    (one compressed row a token, no values), ``recurrent`` (a state of fixed size), ``none``
    (feed-forward only). ``key_length`` and ``value_length`` are elements a head; ``n_head_kv``
    counts heads. ``owns_kv`` is False where the layer reads an earlier layer's cache.
    ``state_elements`` is the recurrent state in float32. ``has_rope``: positions rotate its keys,
    the last dimensions of a head where ``rope_is_last``, else the first.
    """

    kind: LayerKind
    n_head_kv: int = 0
    key_length: int = 0
    value_length: int = 0
    state_elements: int = 0
    owns_kv: bool = True
    has_rope: bool = True
    rope_is_last: bool = False

    @property
    def key_elements(self) -> int:
        """Elements of one token's row in the K cache."""
        return self.n_head_kv * self.key_length if self.owns_kv else 0

    @property
    def value_elements(self) -> int:
        """Elements of one token's row in the V cache; MLA has none."""
        return self.n_head_kv * self.value_length if self.owns_kv and self.kind != "mla" else 0


def n_layers(keys: ArchitectureKeys) -> int:
    """Layers that run: the file's, less those that only draft (multi-token prediction)."""
    return keys.integer("block_count") - keys.integer("nextn_predict_layers", 0)


def sliding_window(keys: ArchitectureKeys, n_layer: int) -> int | None:
    """Tokens that a sliding layer sees; None where llama.cpp slides no layer of this model."""
    architecture = keys.architecture
    stated = keys.integer("attention.sliding_window", 0)
    if architecture in ("lfm2", "lfm2moe"):
        return stated or None
    pattern = SLIDING.get(architecture)
    if pattern is None or (architecture == "exaone4" and n_layer != 64):
        return None
    if pattern.fixed_window is not None:
        # Llama 4 without the key is chunked, with 0 it is not; the others need the key.
        slides = stated > 0 or (architecture == "llama4" and "attention.sliding_window" not in keys)
        return pattern.fixed_window if slides else None
    return stated or (pattern.window if "attention.sliding_window" not in keys else None)


def read_layers(keys: ArchitectureKeys, n_layer: int) -> tuple[Layer, ...]:
    """Describe every layer as llama.cpp will build it.

    Raises:
        ModelFileError: keys are missing, or say what llama.cpp would abort the process over.
    """
    n_embd = keys.integer("embedding_length")
    n_head = keys.per_layer("attention.head_count", n_layer, 0)
    n_head_kv = (
        keys.per_layer("attention.head_count_kv", n_layer)
        if "attention.head_count_kv" in keys
        else n_head
    )
    head_dim = n_embd // n_head[0] if n_head[0] else 0
    key_length = keys.integer("attention.key_length", head_dim)
    value_length = keys.integer("attention.value_length", head_dim)
    key_length_sliding = keys.integer("attention.key_length_swa", key_length)
    value_length_sliding = keys.integer("attention.value_length_swa", value_length)

    sliding = _sliding_layers(keys, n_layer)
    recurrent = _recurrent_layers(keys, n_layer, n_head_kv)
    rope = _rope_layers(keys, n_layer, sliding)
    state = _state_elements(keys, n_embd, n_head[0], key_length)
    owners = _kv_owners(keys, n_layer)
    is_mla = bool(
        keys.integer("attention.key_length_mla", 0)
        and keys.integer("attention.value_length_mla", 0)
    )

    layers = []
    for i in range(n_layer):
        both = keys.architecture == "falcon-h1"  # attention and a state side by side
        if recurrent[i] and not both:
            layers.append(Layer(kind="recurrent", state_elements=state, has_rope=False))
        elif n_head_kv[i] == 0 or _is_feed_forward(keys, i, n_layer):
            layers.append(Layer(kind="none", has_rope=False))
        else:
            layers.append(
                Layer(
                    kind="sliding" if sliding[i] else "mla" if is_mla else "full",
                    n_head_kv=n_head_kv[i],
                    key_length=key_length_sliding if sliding[i] else key_length,
                    value_length=value_length_sliding if sliding[i] else value_length,
                    state_elements=state if both else 0,
                    owns_kv=i < owners,
                    has_rope=rope[i],
                    rope_is_last=is_mla or keys.architecture in ROPE_ON_LAST_DIMENSIONS,
                )
            )
    return tuple(layers)


def _sliding_layers(keys: ArchitectureKeys, n_layer: int) -> tuple[bool, ...]:
    window = sliding_window(keys, n_layer)
    if window is None:
        return (False,) * n_layer
    if keys.architecture in ("lfm2", "lfm2moe"):  # every attention layer
        return (True,) * n_layer
    pattern = SLIDING[keys.architecture]
    key = "attention.sliding_window_pattern"
    if keys.is_array(key) or pattern.period is None:
        slides = tuple(value != 0 for value in keys.per_layer(key, n_layer))
    else:
        period = keys.integer(key, pattern.period)
        dense = 0 if pattern.dense_first else period - 1
        slides = tuple(period == 0 or i % period != dense for i in range(n_layer))
    if not any(slides):
        raise ModelFileError(
            f"{keys.header.path} names a sliding window of {window} tokens and no layer that "
            "slides, over which llama.cpp aborts; convert or download it again"
        )
    return slides


def _recurrent_layers(
    keys: ArchitectureKeys, n_layer: int, n_head_kv: tuple[int, ...]
) -> tuple[bool, ...]:
    architecture = keys.architecture
    if architecture in RECURRENT or architecture == "falcon-h1":
        return (True,) * n_layer
    if architecture in ("qwen3next", "qwen35", "qwen35moe", "qwen4exp", "minimax-01"):
        if keys.is_array("attention.recurrent_layers"):
            return tuple(bool(r) for r in keys.per_layer("attention.recurrent_layers", n_layer))
        interval = keys.integer("full_attention_interval", 8 if architecture == "minimax-01" else 4)
        return tuple((i + 1) % max(interval, 1) != 0 for i in range(n_layer))
    if architecture in ("nemotron_h", "nemotron_h_moe"):
        n_ff = keys.per_layer("feed_forward_length", n_layer, 0)
        return tuple(h == 0 and ff == 0 for h, ff in zip(n_head_kv, n_ff, strict=True))
    if architecture in (
        "jamba", "plamo2", "granitehybrid", "lfm2", "lfm2moe", "kimi-linear", "kimi-k3",
        "bailingmoe3", "glm5-next",
    ):  # fmt: skip
        return tuple(heads == 0 for heads in n_head_kv)
    return (False,) * n_layer


def _is_feed_forward(keys: ArchitectureKeys, i: int, n_layer: int) -> bool:
    """Nemotron-H: a layer is a state, an attention, or a feed-forward, never two of them."""
    return (
        keys.architecture in ("nemotron_h", "nemotron_h_moe")
        and keys.per_layer("feed_forward_length", n_layer, 0)[i] > 0
    )


def _rope_layers(
    keys: ArchitectureKeys, n_layer: int, sliding: tuple[bool, ...]
) -> tuple[bool, ...]:
    architecture = keys.architecture
    if ROPE_TYPES.get(architecture) == "none":
        return (False,) * n_layer
    if architecture == "smollm3":
        return tuple((i + 1) % 4 != 0 for i in range(n_layer))
    if architecture in ROPE_ON_SLIDING_LAYERS_ONLY and any(sliding):
        return sliding
    if architecture in ("granite", "granitemoe", "granitehybrid", "graniteswitch"):
        return (keys.flag("rope.scaling.finetuned", True),) * n_layer
    if architecture == "granite_swa":
        pattern = keys.per_layer("attention.rope_pattern", n_layer, 1)
        return tuple(value != 0 for value in pattern)
    return (True,) * n_layer


def _state_elements(keys: ArchitectureKeys, n_embd: int, n_head: int, key_length: int) -> int:
    """Float32 of one sequence's recurrent state a layer (llama.cpp's n_embd_r + n_embd_s)."""
    head_size = keys.integer("wkv.head_size", 0)
    if head_size:  # RWKV: token shift, then the matrix state
        return keys.integer("token_shift_count", 2) * n_embd + n_embd * head_size
    convolution = keys.integer("shortconv.l_cache", 0)
    if convolution:  # LFM2
        return n_embd * (convolution - 1)
    d_conv = keys.integer("ssm.conv_kernel", 0)
    kda = keys.integer("kda.head_dim", 0)
    if kda:  # Kimi's delta attention
        return 3 * max(d_conv - 1, 0) * n_head * kda + kda * kda * n_head
    if keys.architecture == "minimax-01":
        return key_length * key_length * n_head
    d_inner, d_state = keys.integer("ssm.inner_size", 0), keys.integer("ssm.state_size", 0)
    groups = keys.integer("ssm.group_count", 0)
    return max(d_conv - 1, 0) * (d_inner + 2 * groups * d_state) + d_state * d_inner


def _kv_owners(keys: ArchitectureKeys, n_layer: int) -> int:
    """How many layers, from the first, own keys and values."""
    if keys.architecture == "gemma4":
        return n_layer - keys.integer("attention.shared_kv_layers", 0)
    return KV_LAYERS_FROM_START.get(keys.architecture, n_layer)
