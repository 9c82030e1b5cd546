"""The responses that are being written, so that another request can end one."""

from __future__ import annotations

from longctx.server.answers import Answers
from longctx.server.errors import ApiError
from longctx.server.responses.documents import ResponseDocument
from longctx.server.responses.format import CANCELLED, ResponseFormat


class UnderWay:
    """Those that have begun and are not over."""

    def __init__(self) -> None:
        self._all: dict[str, tuple[ResponseFormat, Answers]] = {}

    def add(self, response_id: str, form: ResponseFormat, answers: Answers) -> None:
        """One has begun; it is gone from here by itself when it is over."""

        def over() -> None:
            self._all.pop(response_id, None)

        self._all[response_id] = (form, answers)
        answers.when_closed(over)

    def find(self, response_id: str) -> ResponseDocument | None:
        """One as far as it is written; None if it is not being written."""
        found = self._all.get(response_id)
        return None if found is None else found[0].unwritten("in_progress")

    def cancel(self, response_id: str) -> ResponseDocument | None:
        """End one; None if it is not being written."""
        if (found := self._all.pop(response_id, None)) is None:
            return None
        form, answers = found
        answers.end(ApiError(409, "another request cancelled this response", code=CANCELLED))
        return form.unwritten("cancelled")
