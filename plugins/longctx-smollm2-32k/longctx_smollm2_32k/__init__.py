"""A LoRA adapter that lets SmolLM2-135M-Instruct look things up in 32,768 tokens."""

from __future__ import annotations

from pathlib import Path

__all__ = ["adapter"]


def adapter() -> Path:
    """The adapter's file, for ``LongContextLLM(model, adapters=[adapter()])``.

    It belongs to SmolLM2-135M-Instruct in any quantisation, such as the demo model of
    ``longctx-sdk[demo]``, and to Self-Extend, which a plan with it runs.
    """
    return Path(__file__).with_name("smollm2-135m-instruct.32k.lora.gguf")
