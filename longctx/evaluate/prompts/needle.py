"""The needle in a haystack (Kamradt 2023): one sentence in prose, by length and depth.

Kamradt's sentence about San Francisco needs a judge. This one, from Arize's version of the test,
hides a number, which can be compared. Pure: text and numbers in, messages out.
"""

from __future__ import annotations

from longctx.types import Message

CITIES = ("Lisbon", "Nairobi", "Oslo", "Quito", "Hanoi", "Vienna", "Cairo", "Lima", "Riga", "Accra")
MIN_NUMBER, MAX_NUMBER = 1_000_000, 9_999_999
SYSTEM = (
    "You are a helpful AI bot that answers questions for a user. "
    "Keep your response short and direct"
)
_ENDS = (". ", ".\n", "? ", "! ")


def needle_of(city: str, number: int) -> str:
    """The sentence that is hidden."""
    return f"The special magic {city} number is: {number}."


def needle_prompt(prose: str, depth: float, city: str, number: int) -> tuple[Message, ...]:
    """Put the needle into prose and ask for it.

    Args:
        prose: the haystack.
        depth: 0 to 1; the needle stands behind the last sentence that ends before it.
        city: one of :data:`CITIES`.
        number: :data:`MIN_NUMBER` to :data:`MAX_NUMBER`.
    """
    at = _sentence_end(prose, round(depth * len(prose)))
    parts = (prose[:at].rstrip(" "), needle_of(city, number), prose[at:].lstrip(" "))
    context = " ".join(part for part in parts if part)
    question = (
        f"What is the special magic {city} number? "
        "Don't give information outside the document or repeat your findings"
    )
    return (
        Message(role="system", content=SYSTEM),
        Message(role="user", content=f"{context}\n\n{question}"),
    )


def _sentence_end(prose: str, place: int) -> int:
    """Where the last sentence that ends at or before ``place`` ends; both ends of the text stay."""
    if place >= len(prose):
        return len(prose)
    return max((i + 1 for i in (prose.rfind(end, 0, place) for end in _ENDS) if i >= 0), default=0)
