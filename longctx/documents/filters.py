"""Which documents a question is put to, by what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from longctx.documents.document import Document
from longctx.errors import RequestError

Where: TypeAlias = Mapping[str, Any] | Callable[[Document], bool]
"""Names with the values that a document must have there, or a function that picks documents."""

_FIELDS = frozenset({"doc_id", "source", "media_type", "title", "encoding"})


def picks(where: Where) -> Callable[[Document], bool]:
    """A function that picks documents.

    Args:
        where: all of its names must fit. A name is one of a document's metadata, else one of its
            fields; a list of values is a choice; a document that has several values fits by any.

    Raises:
        RequestError: it is neither a mapping nor a function.

    Examples:
        >>> letter = Document(doc_id="a", text="Hello", metadata={"year": 2024, "tags": ["x", "y"]})
        >>> picks({"year": [2023, 2024], "tags": "x", "media_type": "text/plain"})(letter)
        True
    """
    if isinstance(where, Mapping):
        return lambda document: all(
            _fits(_value(document, name), wanted) for name, wanted in where.items()
        )
    if callable(where):
        return where
    raise RequestError(
        f"where is a {type(where).__name__}; pass names with their values, as "
        "{'year': 2024}, or a function that takes a Document and says whether it is meant"
    )


def _value(document: Document, name: str) -> Any:
    if name in document.metadata:
        return document.metadata[name]
    return getattr(document, name) if name in _FIELDS else None


def _fits(value: Any, wanted: Any) -> bool:
    return any(one == choice for one in _several(value) for choice in _several(wanted))


def _several(value: Any) -> Collection[Any]:
    return value if isinstance(value, list | tuple | set | frozenset) else (value,)
