"""The passkey prompt, to the letter of Landmark Attention (Mohtashami and Jaggi 2023, app. C).

YaRN (Peng et al. 2023, section 4.3.2) uses the same. Pure: numbers in, a prompt out.
"""

from __future__ import annotations

TASK = (
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize "
    "them. I will quiz you about the important information there."
)
GARBAGE = (
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
)
QUESTION = "What is the pass key? The pass key is"
MAX_KEY = 50_000


def passkey_prompt(n_garbage: int, depth: float, key: int) -> str:
    """Hide a key in repeated sentences.

    Args:
        n_garbage: characters of garbage, before and behind the key together.
        depth: the share of it that stands before the key.
        key: 1 to :data:`MAX_KEY` in the papers.
    """
    before = round(depth * n_garbage)
    return "\n".join(
        (
            TASK,
            _garbage(before),
            f"The pass key is {key}. Remember it. {key} is the pass key.",
            _garbage(n_garbage - before),
            QUESTION,
        )
    )


def _garbage(n_characters: int) -> str:
    """The papers' own cut: so many characters, whatever they end in."""
    return (f"{GARBAGE} " * (n_characters // len(GARBAGE) + 1))[:n_characters]
