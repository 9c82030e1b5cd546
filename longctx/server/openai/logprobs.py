"""How likely the tokens of an answer were, as OpenAI's documents."""

from __future__ import annotations

from collections.abc import Sequence

from longctx.server.openai.documents import AnswerToken, TextLogprobs, TokenLikelihood
from longctx.types import SampledToken, TokenLogprob


def likelihood(token: TokenLogprob) -> TokenLikelihood:
    """A token, and how likely it was."""
    return {"token": _name(token), "logprob": token.logprob, "bytes": list(token.data)}


def answer_token(token: SampledToken) -> AnswerToken:
    """A token of an answer, and the likeliest in its place."""
    return {**likelihood(token), "top_logprobs": [likelihood(other) for other in token.top]}


def columns(tokens: Sequence[SampledToken]) -> TextLogprobs:
    """Tokens of a text, in columns; as with OpenAI the one that was taken is among the top ones."""
    return {
        "tokens": [_name(token) for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [
            {_name(other): other.logprob for other in (*token.top, token)} for token in tokens
        ],
        "text_offset": [token.offset for token in tokens],
    }


def _name(token: TokenLogprob) -> str:
    r"""Its text, or ``bytes:\xe2\x82`` where it is a part of a character, as OpenAI has it."""
    try:
        return token.data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.data)
