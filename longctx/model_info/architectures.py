"""What llama.cpp knows about an architecture and no file says.

Tables after llama.cpp's own (``llama_model_rope_type``, each model's ``load_arch_hparams``,
``llm_arch_is_recurrent``), as of the release that pyproject.toml asks for. A test compares the
RoPE types with llama.cpp's on every architecture that we can generate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

RopeType: TypeAlias = Literal["norm", "neox", "none", "mrope"]

_NONE = """
gpt2 gptj mpt refact bloom mamba mamba2 jamba jais rwkv6 rwkv6qwen2 rwkv7 arwkv7
nemotron_h nemotron_h_moe kimi-linear kimi-k3 glm5-next
"""
_NORM = """
llama llama4 deci baichuan starcoder internlm2 minicpm xverse command-r cohere2 cohere2moe olmo
arctic deepseek deepseek2 deepseek2-ocr deepseek32 deepseek4 muse-glimmer plm chatglm granite
granitemoe granitehybrid graniteswitch granite_swa chameleon bailingmoe smollm3 arcee ernie4_5
ernie4_5-moe mistral3 mistral4 maincoder glm-dsa dots3note nanbeige bailingmoe3 hy_v4 glm4
"""
_NEOX = """
falcon falcon-h1 grok dbrx stablelm bitnet qwen qwen2 qwen2moe qwen3 qwen3moe olmo2 olmoe phi2
phi3 phimoe plamo plamo2 plamo3 gemma gemma2 gemma3 gemma3n gemma4 starcoder2 openelm gptneox
codeshell orion nemotron exaone exaone4 exaone-moe minicpm3 bailingmoe2 dots1 hunyuan-moe jais2
gpt-oss hunyuan-dense hy_v3 lfm2 lfm2moe smallthinker seed_oss grovemoe apertus minimax-01
minimax-m2 minimax-m3 cogvlm pangu-embedded afmoe laguna qwen3next mimo2 step35 spark2_5 talkie
mellum maple hrm_text glm4moe hunyuan_vl
"""
_MROPE = "qwen2vl paddleocr qwen3vl qwen3vlmoe qwen35 qwen35moe qwen4exp"

ROPE_TYPES: dict[str, RopeType] = {
    **dict.fromkeys(_NONE.split(), "none"),
    **dict.fromkeys(_NORM.split(), "norm"),
    **dict.fromkeys(_NEOX.split(), "neox"),
    **dict.fromkeys(_MROPE.split(), "mrope"),
}
"""Pairs that rotate together: norm (2i, 2i+1), neox (i, i+d/2), mrope (neox, three positions)."""

INTERLEAVED_MROPE = frozenset({"qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen4exp"})
"""M-RoPE whose pairs of time, height and width alternate (IM-RoPE)."""

MROPE_IF_SECTIONS = frozenset({"glm4", "glm4moe", "hunyuan_vl", "bailingmoe3"})
"""These use M-RoPE when the file names ``rope.dimension_sections``."""

_EMBEDDING = """
bert modern-bert nomic-bert nomic-bert-moe neo-bert jina-bert-v2 jina-bert-v3 eurobert
gemma-embedding llama-embed t5encoder
"""
NOT_CAUSAL = {
    **dict.fromkeys(
        _EMBEDDING.split(),
        "an embedding model: it reads a text whole and writes none",
    ),
    **dict.fromkeys(
        ("dream", "llada", "llada-moe", "rnd1"), "a diffusion model: it keeps no KV cache"
    ),
    "t5": "an encoder-decoder model",
    "clip": "a vision encoder (an mmproj file): pass the language model's file",
    **dict.fromkeys(
        ("wavtokenizer-dec", "qwen3tts", "pockettts"), "a speech model, not a text model"
    ),
    **dict.fromkeys(
        ("eagle3", "dflash", "gemma4-assistant"), "a draft model, which works beside another"
    ),
}
"""Architectures without a causal text window, and why."""

RECURRENT = frozenset(("mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"))
"""No attention layer at all."""

INDEXED = frozenset(
    (
        "deepseek32",
        "deepseek4",
        "glm-dsa",
        "glm5-next",
        "dots3note",
        "hy_v4",
        "minimax-m3",
        "qwen4exp",
    )
)
"""Sparse attention: llama.cpp keeps a second cache for the indexer, which we do not count."""


@dataclass(frozen=True)
class SlidingPattern:
    """Which layers slide where the file does not list them.

    Every ``period``-th layer sees the whole window, the last of each period (the first with
    ``dense_first``); None where the file must list them. ``window`` in tokens is used when the
    file has none, ``fixed_window`` whatever it says.
    """

    period: int | None
    dense_first: bool = False
    window: int | None = None
    fixed_window: int | None = None


SLIDING = {
    "afmoe": SlidingPattern(4),
    "cohere2": SlidingPattern(4),
    "cohere2moe": SlidingPattern(4, dense_first=True),
    "exaone-moe": SlidingPattern(4, window=128),
    "exaone4": SlidingPattern(4, window=4096),  # the 64-layer model only
    "gemma2": SlidingPattern(2, window=4096),
    "gemma3": SlidingPattern(6),
    "gemma3n": SlidingPattern(5),
    "gemma4": SlidingPattern(None),
    "gpt-oss": SlidingPattern(2),
    "granite_swa": SlidingPattern(None),
    "laguna": SlidingPattern(4, dense_first=True),
    "llama4": SlidingPattern(4, fixed_window=8192),  # chunks, not a window
    "maple": SlidingPattern(None),
    "mellum": SlidingPattern(4),
    "mimo2": SlidingPattern(None),
    "muse-glimmer": SlidingPattern(4),
    "olmo2": SlidingPattern(4),
    "plamo3": SlidingPattern(8),
    "smallthinker": SlidingPattern(4, dense_first=True, fixed_window=4096),
    "spark2_5": SlidingPattern(None),
    "step35": SlidingPattern(None),
}

ROPE_ON_SLIDING_LAYERS_ONLY = frozenset(
    (
        "cohere2",
        "cohere2moe",
        "exaone4",
        "exaone-moe",
        "afmoe",
        "smallthinker",
        "llama4",
        "muse-glimmer",
        "maple",
    )
)
"""Layers that see the whole window carry no RoPE (NoPE), where the model has sliding ones."""

SLIDING_LAYERS_FOLLOW_OUR_BASE = frozenset(("olmo2", "mellum", "lfm2", "granite_swa"))
"""Sliding layers that rotate with the context's ``rope_freq_base``; all others keep their own."""

ROPE_ON_LAST_DIMENSIONS = frozenset(("deepseek2", "minicpm3", "plm", "mistral4"))
"""Heads end with the dimensions that are rotated, as the rows of MLA do; all others begin so."""

KV_LAYERS_FROM_START = {"gemma3n": 20}
"""Only the first layers own keys and values; the later ones read theirs."""
