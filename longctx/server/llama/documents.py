"""What clients of llama-server get."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict


class Piece(TypedDict):
    """A token and its text; a part of a character is U+FFFD."""

    id: int
    piece: str


class Tokens(TypedDict):
    """Token ids, perhaps with their texts, their number, and the window they must fit."""

    count: int
    max_model_len: int
    tokens: list[int] | list[Piece]


class Health(TypedDict):
    """``jobs`` counts answers under way and waiting."""

    status: Literal["ok"]
    jobs: int


class Content(TypedDict):
    """The text of token ids."""

    content: str


class Prompt(TypedDict):
    """The text that a conversation comes to."""

    prompt: str


class Modalities(TypedDict):
    """What it reads beside text: nothing."""

    vision: Literal[False]
    audio: Literal[False]


class GenerationSettings(TypedDict):
    """Of an answer that is asked for without any: the window, and how conversations are sampled."""

    n_ctx: int
    params: dict[str, Any]


class Props(TypedDict):
    """The model and its window; ``model_path`` is its name, for no path is told."""

    model_alias: str
    model_path: str
    default_generation_settings: GenerationSettings
    total_slots: int
    chat_template: str
    modalities: Modalities
    build_info: str


class Slot(TypedDict):
    """Room for an answer. There is no fixed slot of the cache behind it: an answer takes the
    memory that it needs."""

    id: int
    n_ctx: int
    is_processing: bool


class Done(TypedDict):
    """What was asked is done."""

    success: Literal[True]
