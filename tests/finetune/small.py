"""The small model, text for it, and a training of a few steps."""

from __future__ import annotations

from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

MODEL = Path(__file__).parents[1] / "models" / "tiny-longctx.gguf"
PROSE = "\n\n".join(topics[name].strip() for name in sorted(topics)[:8])
FEW: dict[str, Any] = {
    "text": PROSE,
    "sequence_tokens": 64,
    "budget_s": None,
    "tokens": 4 * 256,
    "measure": False,
    "n_threads": 1,
}
"""Four steps, in a second or two."""
