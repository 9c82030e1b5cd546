"""``POST /completion``: a text continued, as llama-server's own clients ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field
from typing_extensions import NotRequired, TypedDict

from longctx.server.answer_format import comment, frame
from longctx.server.errors import ApiError
from longctx.server.fields import Route
from longctx.server.openai.documents import TokenLikelihood
from longctx.server.openai.errors import error_document
from longctx.server.openai.logprobs import likelihood
from longctx.server.openai.requests import Ids, TextRequest, TopLogprobs
from longctx.server.report import Report, report
from longctx.server.requests import Strict, Text, given
from longctx.server.service import Service, answers
from longctx.server.timings import (
    NativeTimings,
    TimingsSoFar,
    from_the_start,
    native_timings,
    prompt_progress,
)
from longctx.types import Chunk, Completion, Progress, SampledToken, TokenLogprob


class _PromptText(Strict):
    """A prompt as an object, whose media are refused, not dropped."""

    model_config = ConfigDict(extra="forbid")

    prompt_string: Text


_Prompt = Text | Ids | _PromptText


class NativeRequest(TextRequest):
    """The fields of ``/v1/completions``, for one answer to each prompt, and ``n_probs``."""

    prompt: _Prompt | Annotated[list[_Prompt], Field(min_length=1, max_length=128)]
    n: Literal[1] | None = None
    n_probs: TopLogprobs | None = None
    post_sampling_probs: Literal[False] | None = None
    return_tokens: bool | None = None

    @property
    def tells_logprobs(self) -> bool:
        """Whether the likelihoods of tokens were asked for."""
        return bool(self.n_probs)

    @property
    def tells_tokens(self) -> bool:
        """Whether the ids are told: where they were asked for, and in streams."""
        return bool(self.return_tokens or self.stream)

    @property
    def is_list(self) -> bool:
        """Whether there are several prompts, and so a list of answers."""
        return isinstance(self.prompt, list) and not isinstance(self.prompt[0], int)

    @property
    def prompts(self) -> list[str | list[int]]:
        """The texts, or the token ids."""
        if not isinstance(self.prompt, list):
            return [_plain(self.prompt)]
        ids = [part for part in self.prompt if isinstance(part, int)]
        return [ids] if ids else [_plain(part) for part in self.prompt if not isinstance(part, int)]

    def options(self) -> dict[str, Any]:
        """What ``stream`` takes; the ids of tokens are told with their probabilities alone."""
        n_probs = self.n_probs or (0 if self.tells_tokens else None)
        return super().options() | given(top_logprobs=n_probs)

    def ignored(self, route: Route) -> tuple[str, ...]:
        """``return_tokens`` has its effect here."""
        return tuple(name for name in super().ignored(route) if name != "return_tokens")


def _plain(prompt: str | list[int] | _PromptText) -> str | list[int]:
    return prompt.prompt_string if isinstance(prompt, _PromptText) else prompt


class LikelyToken(TokenLikelihood):
    """A token by its id, too."""

    id: int


class WrittenToken(LikelyToken):
    """A token of the answer, and the most likely ones in its place."""

    top_logprobs: list[LikelyToken]


class _Tokens(TypedDict):
    tokens: list[int]
    completion_probabilities: NotRequired[list[WrittenToken]]


class Continued(_Tokens):
    """An answer, or the end of its stream."""

    index: int
    content: str
    stop: Literal[True]
    model: str
    tokens_evaluated: int
    tokens_predicted: int
    tokens_cached: int
    truncated: bool
    has_new_line: bool
    stop_type: Literal["eos", "limit", "word"]
    stopping_word: str
    timings: NativeTimings
    longctx: Report


class NativeFormat:
    """Answers in llama-server's words.

    Args:
        model: its name.
        body: what was asked.
    """

    def __init__(self, model: str, body: NativeRequest) -> None:
        self._model = model
        self._is_list = body.is_list
        self._has_tokens = body.tells_tokens
        self._has_probabilities = bool(body.n_probs)
        self._tells_progress = body.extras.progress
        self._so_far = TimingsSoFar(len(body.prompts)) if body.extras.timings else None
        self._is_unread = True

    def whole(self, results: Sequence[Completion]) -> Continued | list[Continued]:
        """All of them; one alone where one alone was asked for."""
        found = [
            self._document(index, result, result.text, result.logprobs)
            for index, result in enumerate(results)
        ]
        return found if self._is_list else found[0]

    def opening(self, _n_prompt: int | None) -> Iterator[str]:
        """Nothing."""
        return iter(())

    def progress(self, progress: Progress) -> Iterator[str]:
        """In a piece without text, or in a comment."""
        for each in from_the_start(progress, is_first=self._is_unread):
            told: dict[str, Any] = {"index": 0, "content": "", "stop": False, "tokens": []}
            if self._so_far is not None:
                self._so_far.read(each)
                told["timings"] = self._so_far.before
            if self._tells_progress:
                yield frame({**told, "prompt_progress": prompt_progress(each)})
        self._is_unread = False
        if not self._tells_progress:
            yield comment(progress)

    def piece(self, index: int, chunk: Chunk) -> Iterator[str]:
        """What was written next."""
        told: dict[str, Any] = {"index": index, "content": chunk.text, "stop": False}
        if self._so_far is not None:
            told["timings"] = self._so_far.wrote(index, chunk)
        yield frame({**told, **self._tokens(chunk.logprobs)})

    def ending(self, index: int, result: Completion) -> Iterator[str]:
        """What it was; the text was told."""
        yield frame(self._document(index, result, "", ()))

    def closing(self, _results: Sequence[Completion]) -> Iterator[str]:
        """Nothing: their ends were told."""
        return iter(())

    def failure(self, error: ApiError) -> Iterator[str]:
        """What went wrong."""
        yield frame(error_document(error))

    def _tokens(self, tokens: Sequence[SampledToken]) -> _Tokens:
        told: _Tokens = {"tokens": [token.id for token in tokens] if self._has_tokens else []}
        if self._has_probabilities:
            told["completion_probabilities"] = [
                {**_likely(token), "top_logprobs": [_likely(other) for other in token.top]}
                for token in tokens
            ]
        return told

    def _document(
        self, index: int, result: Completion, content: str, tokens: Sequence[SampledToken]
    ) -> Continued:
        usage = result.usage
        is_cut = result.finish_reason == "length"
        word = result.stop_sequence
        return {
            **self._tokens(tokens),
            "index": index,
            "content": content,
            "stop": True,
            "model": self._model,
            "tokens_evaluated": usage.prompt_tokens,
            "tokens_predicted": usage.completion_tokens,
            "tokens_cached": usage.prompt_tokens + usage.completion_tokens,
            "truncated": result.window.dropped_tokens > 0,
            "has_new_line": "\n" in result.text,
            "stop_type": "limit" if is_cut else "eos" if word is None else "word",
            "stopping_word": word or "",
            "timings": native_timings(result),
            "longctx": report(result),
        }


def _likely(token: TokenLogprob) -> LikelyToken:
    return {"id": token.id, **likelihood(token)}


def native_routes(service: Service) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.post("/completion", responses=answers(Continued | list[Continued]))
    async def completion(body: NativeRequest, request: Request) -> Response:
        """Continue plain text or token ids."""
        form = NativeFormat(service.model_id(body.model), body)
        return await service.answer_all(request, body.asked(), form)

    return router
