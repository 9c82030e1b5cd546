"""What asks for an order of texts."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from longctx.server.requests import Closed, Request, Text

_MOST = 2048


def _text_or_object(value: Any) -> str:
    """Which of both a document is, so that what is wrong is said of that one alone."""
    return "text" if isinstance(value, str) else "object"


class TextDocument(Closed):
    """A text in an object, as Jina's and Cohere's clients may send it."""

    text: Text


_Document: TypeAlias = Annotated[
    Annotated[Text, Tag("text")] | Annotated[TextDocument, Tag("object")],
    Discriminator(_text_or_object),
]


class RerankRequest(Request):
    """``POST /v1/rerank``: ``documents`` of Jina, Cohere and llama-server, or ``texts`` of
    text-embeddings-inference."""

    query: Text
    documents: Annotated[list[_Document], Field(min_length=1, max_length=_MOST)] | None = None
    texts: Annotated[list[Text], Field(min_length=1, max_length=_MOST)] | None = None
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool | None = None
    return_text: bool | None = None
    truncate: bool | None = None
    user: Any = None

    @model_validator(mode="after")
    def _one_of_both(self) -> RerankRequest:
        if (self.documents is None) == (self.texts is None):
            raise ValueError("give either documents or texts")
        if self.truncate:
            raise ValueError("truncate would cut texts, and nothing is cut here; leave it out")
        return self

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of what it says and has no effect here."""
        return ("user",) if self.user is not None else ()

    @property
    def all_texts(self) -> list[str]:
        """What is put in order."""
        documents = self.documents if self.texts is None else self.texts
        return [each if isinstance(each, str) else each.text for each in documents or ()]

    @property
    def returns_texts(self) -> bool:
        """Whether the answer repeats them."""
        return bool(self.return_documents or self.return_text)
