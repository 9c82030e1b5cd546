"""The responses that are kept: bounded in number and bytes, and gone when the server is."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from longctx.server.errors import ApiError
from longctx.server.responses.documents import ResponseDocument
from longctx.types import Message


@dataclass(frozen=True)
class Kept:
    """A response, and what another can go on with.

    Attributes:
        document: the answer.
        items: of its own input.
        turns: the whole conversation with the answer, its instructions left out.
        n_bytes: of all of it. Turns that several responses share count with each, so that the
            bound holds whichever of them go.
    """

    document: ResponseDocument
    items: tuple[Mapping[str, Any], ...]
    turns: tuple[Message, ...]
    n_bytes: int


class ResponseStore:
    """Keeps the responses that were used last.

    Args:
        max_count: of responses.
        max_bytes: of all together.
    """

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._n_bytes = 0

    def keep(
        self,
        document: ResponseDocument,
        items: Sequence[Mapping[str, Any]],
        turns: Sequence[Message],
    ) -> None:
        """Keep a response; the least recently used make way. One that is larger than all that may
        be kept is not."""
        texts = [json.dumps(document), json.dumps(items), *(t.model_dump_json() for t in turns)]
        kept = Kept(document, tuple(items), tuple(turns), sum(map(len, texts)))
        if kept.n_bytes > self._max_bytes:
            return
        self._kept[document["id"]] = kept
        self._n_bytes += kept.n_bytes
        while len(self._kept) > self._max_count or self._n_bytes > self._max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._n_bytes -= oldest.n_bytes

    def find(self, response_id: str) -> Kept:
        """The response of that id, which is now the one that was used last.

        Raises:
            ApiError: 404.
        """
        if response_id not in self._kept:
            raise ApiError(
                404,
                f"there is no response {response_id!r:.100} here: it was never made, or with "
                f"store: false, or deleted, or has made way (the last {self._max_count} are kept, "
                f"in {self._max_bytes:,} bytes, until the server ends); send the conversation "
                "itself",
                code="response_not_found",
                param="previous_response_id",
            )
        self._kept.move_to_end(response_id)
        return self._kept[response_id]

    def drop(self, response_id: str) -> None:
        """Keep it no more.

        Raises:
            ApiError: 404.
        """
        self._n_bytes -= self.find(response_id).n_bytes
        del self._kept[response_id]

    def item(self, item_id: str) -> Mapping[str, Any]:
        """An item of a response that is kept, of its input or its output.

        Raises:
            ApiError: 404.
        """
        for kept in reversed(self._kept.values()):
            for item in (*kept.document["output"], *kept.items):
                if item["id"] == item_id:
                    return dict(item)
        raise ApiError(
            404,
            f"there is no item {item_id!r:.100} in the responses that are kept here; send the item "
            "itself",
            code="item_not_found",
            param="input",
        )
