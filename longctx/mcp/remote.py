"""What a server offers, cleaned: names that are names, text that is text, schemas that hold."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from longctx.errors import LongCtxError
from longctx.grammar import json_grammar
from longctx.grammar.holdable import holdable
from longctx.grammar.meaning import Meant, meant
from longctx.types import Frozen

MAX_DESCRIPTION = 4_000
MAX_SCHEMA = 64_000
_NAME = re.compile(r"[A-Za-z0-9_.\-/:]{1,128}")
_NO_LETTER = re.compile(r"[^A-Za-z0-9_-]+")
# C0 and C1 but tab and line feed, which a terminal obeys; what turns the order of letters around,
# and tags, which nobody sees.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)


class RemoteTool(Frozen):
    """A tool of a server: ``name`` as models call it, ``remote_name`` as the server does.

    ``notes`` say what of its schema was taken otherwise than as it stands.
    """

    name: str
    remote_name: str
    description: str
    parameters: dict[str, Any]
    changes_things: bool = True
    notes: tuple[str, ...] = ()


class RemoteResource(Frozen):
    """A document of a server; sizes are in bytes, None where it does not say."""

    uri: str
    name: str
    description: str = ""
    media_type: str | None = None
    n_bytes: int | None = None


class RemotePrompt(Frozen):
    """A prompt of a server, and the arguments that it takes; the first ones must be given."""

    name: str
    description: str = ""
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


class Refused(Frozen):
    """What a server offers and is not taken, and why; the name as Python would write it."""

    name: str
    reason: str


class UnfitError(Exception):
    """Something of a server's cannot be taken."""


def plain(text: str, limit: int | None = None) -> str:
    """A server's text as text: control characters, and surrogates alone, are replaced."""
    clean = _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))
    clean = clean.encode("utf-8", "replace").decode()
    return clean if limit is None or len(clean) <= limit else clean[: limit - 2] + " …"


def shown_name(name: Any) -> str:
    """A name that is refused, short enough for a message."""
    return ascii(name)[:80]


def remote_tool(found: Any) -> RemoteTool:
    """Take a tool.

    Args:
        found: as the SDK read it.

    Raises:
        UnfitError: its name or its schema is none, or it cannot be called as others are.
    """
    if found.execution is not None and found.execution.task_support == "required":
        raise UnfitError("it can only be called as a task, which is not supported")
    read = _as_meant(found.input_schema)
    parameters = plain_tree(read.schema)
    parameters.setdefault("properties", {})
    description = " ".join(plain(found.description or found.title or "").split())
    hints = found.annotations
    return RemoteTool(
        name=usable_name(found.name),
        remote_name=found.name,
        description=plain(description, MAX_DESCRIPTION) or f"The tool {found.name}.",
        parameters=parameters,
        changes_things=not (hints is not None and hints.read_only_hint),
        notes=read.notes,
    )


def usable_name(name: str) -> str:
    """A name as a model may write it.

    Raises:
        UnfitError: it has blanks, line ends or other characters that names have not.
    """
    if not _NAME.fullmatch(name):
        raise UnfitError("its name has other characters than letters, digits and _ - . / :")
    return _NO_LETTER.sub("_", name)[:64]


def _as_meant(schema: Any) -> Meant:
    """A tool's schema, as it was meant.

    Raises:
        UnfitError: it is none, or nothing of it can hold a call.
    """
    if not isinstance(schema, Mapping):
        raise UnfitError("its schema is not that of an object")
    try:
        size = len(json.dumps(schema))
    except (ValueError, RecursionError) as error:
        raise UnfitError(f"its schema is no JSON ({error})") from error
    if size > MAX_SCHEMA:
        raise UnfitError(f"its schema has {size:,} characters, more than {MAX_SCHEMA:,}")
    for key in _keys(schema):
        if _CONTROL.search(key) or "\n" in key or not key.isprintable():
            raise UnfitError(f"its schema has the key {shown_name(key)}")
    try:
        found = meant(schema)
        if not isinstance(found.schema, Mapping) or found.schema.get("type", "object") != "object":
            raise UnfitError("its schema is not that of an object")
        json_grammar(holdable({**found.schema, "type": "object"}).schema)
    except LongCtxError as error:
        raise UnfitError(f"no call can be held to its schema ({plain(str(error), 300)})") from error
    return Meant(found.schema, tuple(plain(note, 300) for note in found.notes))


def _keys(node: Any) -> Iterable[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield str(key)
            yield from _keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from _keys(value)


def plain_tree(node: Any) -> Any:
    """A schema whose texts are text."""
    if isinstance(node, str):
        return plain(node)
    if isinstance(node, list):
        return [plain_tree(value) for value in node]
    if not isinstance(node, Mapping):
        return node
    # As of our own tools: generated titles cost tokens and say nothing.
    return {
        key: plain_tree(value)
        for key, value in node.items()
        if not (key in ("title", "$schema") and isinstance(value, str))
    }


def remote_resource(found: Any) -> RemoteResource:
    """Take a resource.

    Raises:
        UnfitError: its address has control characters.
    """
    if _CONTROL.search(found.uri) or not found.uri.isprintable():
        raise UnfitError("its address has control characters")
    return RemoteResource(
        uri=found.uri,
        name=" ".join(plain(found.title or found.name, 200).split()),
        description=plain(found.description or "", MAX_DESCRIPTION),
        media_type=found.mime_type,
        n_bytes=found.size,
    )


def remote_prompt(found: Any) -> RemotePrompt:
    """Take a prompt.

    Raises:
        UnfitError: its name, or that of an argument, is none.
    """
    usable_name(found.name)
    arguments = found.arguments or []
    for argument in arguments:
        usable_name(argument.name)
    return RemotePrompt(
        name=found.name,
        description=plain(found.description or "", MAX_DESCRIPTION),
        required=tuple(one.name for one in arguments if one.required),
        optional=tuple(one.name for one in arguments if not one.required),
    )


def words_of(content: Any) -> str:
    """What a model is told of one piece of a result; what is no text is only named."""
    if content.type == "text":
        return plain(content.text)
    if content.type == "resource_link":
        return f"[resource {plain(content.uri, 500)}: {plain(content.name, 200)}]"
    if content.type == "resource":
        inner = content.resource
        if (text := getattr(inner, "text", None)) is not None:
            return plain(text)
        return f"[resource {plain(inner.uri, 500)}, {_bytes_of(inner.blob):,} bytes, not shown]"
    kind = plain(getattr(content, "mime_type", None) or "unknown", 80)
    return f"[{content.type}, {kind}, {_bytes_of(getattr(content, 'data', '')):,} bytes, not shown]"


def result_text(result: Any) -> str:
    """What a model is told of a tool's result: its text, or, without any, its JSON."""
    if not result.content and result.structured_content is not None:
        return plain(json.dumps(result.structured_content, ensure_ascii=False))
    return "\n".join(words_of(content) for content in result.content)


def data_of(contents: Any) -> bytes:
    """The bytes of a resource.

    Raises:
        UnfitError: they are not in base64.
    """
    if (text := getattr(contents, "text", None)) is not None:
        return plain(text).encode()
    try:
        return base64.b64decode(contents.blob, validate=True)
    except binascii.Error as error:
        raise UnfitError(f"its bytes are not in base64 ({error})") from error


def _bytes_of(encoded: str) -> int:
    return len(encoded) * 3 // 4
