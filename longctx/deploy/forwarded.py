"""A request of HTTP on its way to a replica."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from longctx.deploy.place import Place

_KEPT = ("type", "http_version", "method", "scheme", "path", "raw_path", "query_string", "client")


@dataclass(frozen=True)
class Forwarded:
    """What can be sent to another process.

    Attributes:
        scope: ASGI's, the plain values of it.
        headers: as they came.
        body: all of it.
        place: where it should go.
    """

    scope: dict[str, Any]
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    place: Place

    @classmethod
    def of(cls, scope: Scope, body: bytes, place: Place) -> Forwarded:
        """A request, ready to be sent."""
        kept = {name: scope[name] for name in _KEPT if name in scope}
        return cls(kept, _plain(scope["headers"]), body, place)

    def to_scope(self) -> Scope:
        """ASGI's scope, as an application expects it."""
        return {**self.scope, "root_path": "", "headers": list(self.headers)}


def _plain(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((bytes(name), bytes(value)) for name, value in headers)
