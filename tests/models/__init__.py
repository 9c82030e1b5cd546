"""Models in the repository; README.md says how each was made."""

from __future__ import annotations

from pathlib import Path

TINY = Path(__file__).parent / "tiny-longctx.gguf"
"""A trained model of 1.5 million weights that writes words; opens in milliseconds."""
