"""How a file's makers would have it sampled: its keys ``general.sampling.…``, by our names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from longctx.errors import RequestError
from longctx.sampling import RANGES, SAMPLING, checked

_PREFIX = "general.sampling."
# Source: gguf-py/gguf/constants.py of llama.cpp, class General.
_OPTIONS = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "xtc_probability": "xtc_probability",
    "xtc_threshold": "xtc_threshold",
    "penalty_last_n": "repeat_last_n",
    "penalty_repeat": "repeat_penalty",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta",
}


def read_sampling(metadata: Mapping[str, Any]) -> tuple[dict[str, float | int], tuple[str, ...]]:
    """What the file says of sampling, and notes of what of it is not followed.

    A wrong value there makes no model unusable: it is left out, and a note says so.

    Args:
        metadata: of the file.

    Returns:
        Options of an answer, in the order of :data:`longctx.sampling.SAMPLING`, and the notes.
    """
    found: dict[str, float | int] = {}
    notes = []
    for key in sorted(key for key in metadata if key.startswith(_PREFIX)):
        name, value = _OPTIONS.get(key.removeprefix(_PREFIX)), metadata[key]
        if name is None:
            notes.append(f"The file's {key} is not followed.")
            continue
        try:
            number = checked(name, _plain(value, is_whole=RANGES[name].is_whole))
        except RequestError as error:
            notes.append(f"The file's {key} is not followed: {error}.")
        else:
            found[name] = number
    return {name: found[name] for name in SAMPLING if name in found}, tuple(notes)


def _plain(value: Any, *, is_whole: bool) -> Any:
    """A number as it was meant: 0.6 is 0.60000002 in float32, and -1 of top-k is all."""
    if is_whole:
        return 0 if isinstance(value, int) and value < 0 else value
    return float(f"{value:.6g}") if isinstance(value, float) else value
