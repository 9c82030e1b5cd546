"""YAML front matter: what stands between two lines of ``---`` at the head of a text."""

from __future__ import annotations

import re

from longctx.errors import MissingExtraError

_FRONT = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_MAX_CHARS = 65_536


def split_front_matter(text: str) -> tuple[dict[str, str], str, tuple[str, ...]]:
    """Part a text from its front matter.

    Returns:
        The metadata (plain values as text, lists joined by commas), the text behind it, and a
        note where the front matter is there and cannot be read; then it stays in the text.

    Raises:
        MissingExtraError: there is some, and PyYAML is not installed.
    """
    match = _FRONT.match(text[:_MAX_CHARS])
    if match is None:
        return {}, text, ()
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            'to read YAML front matter run `pip install "longctx-sdk[rag]"` (it needs PyYAML)'
        ) from error
    try:
        values = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = str(error).partition("\n")[0]
        return {}, text, (f"its front matter is no valid YAML ({first}) and stands in the text",)
    if not isinstance(values, dict):
        return {}, text, ()  # two rules around a paragraph
    metadata = {}
    for key, value in values.items():
        # Nested values are left out: through aliases they can be larger than any memory.
        plain = [v for v in (value if isinstance(value, list) else [value]) if _is_plain(v)]
        if plain:
            metadata[str(key)] = ", ".join(map(str, plain))
    return metadata, text[match.end() :].lstrip("\n"), ()


def _is_plain(value: object) -> bool:
    return value is not None and not isinstance(value, dict | list | tuple | set | bytes)
