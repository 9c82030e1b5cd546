"""Teach a model its longer window: from GGUF to an adapter in GGUF, measured before and after.

::

    text, practice → sequences → placement (which positions) → torch, LoRA → adapter, card, profile

Everything that needs torch is imported when :func:`extend` runs (extra ``finetune``).
"""

from longctx.finetune.extend import extend
from longctx.finetune.report import FinetuneProgress, FinetuneResult, Measured

__all__ = ["FinetuneProgress", "FinetuneResult", "Measured", "extend"]
