"""What a call comes to as a request of OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from longctx import arguments
from longctx.errors import RequestError
from longctx.options import AnswerOptions, ChatOptions, tool_choice_of
from longctx.prompt import tools_of
from longctx.remote.names import OWN_NAMES, Names
from longctx.remote.wire import wire_messages, wire_schema, wire_tools
from longctx.sampling import SAMPLING, checked
from longctx.types import Messages

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"

# What OpenAI's API has in another form, or not at all; all others go by their own name.
_IN_ANOTHER_FORM = frozenset(
    {
        "stop",
        "tools",
        "tool_choice",
        "response_schema",
        "top_logprobs",
        "prompt_lookup",
        "on_progress",
        "parallel_tool_calls",
        "thinking",
        "template_options",
    }
)


def chat_request(
    model: str,
    messages: Messages,
    options: ChatOptions,
    defaults: Mapping[str, Any],
    names: Names = OWN_NAMES,
) -> dict[str, Any]:
    """The body of a streamed chat completion.

    Args:
        model: its name on the server.
        messages: the conversation.
        options: of the call; what is left out or None is the default.
        defaults: of this client, where the call says nothing; None leaves it to the server.
        names: that the server's kind has for options, and what it lacks.

    Raises:
        TemplateError: the messages are no conversation.
        RequestError: an option is out of its range, or cannot be asked of a server.
    """
    body = _answer_request(model, options, defaults, names)
    body["messages"] = wire_messages(messages, names.reasoning)
    schemas = wire_tools(tools_of(messages, options.get("tools")))
    choice = tool_choice_of(options)
    arguments.tool_choice(choice, [schema["function"]["name"] for schema in schemas or ()])
    if schemas:
        body |= {"tools": schemas, "tool_choice": choice}
        if (many := options.get("parallel_tool_calls")) is not None:
            body["parallel_tool_calls"] = arguments.parallel_tool_calls(many)
    body |= names.template_fields(options.get("thinking"), options.get("template_options"))
    if (n_top := arguments.top_logprobs(options.get("top_logprobs"))) is not None:
        body |= {"logprobs": True, "top_logprobs": n_top}
    return body


def text_request(
    model: str,
    prompt: str | Sequence[int],
    options: AnswerOptions,
    defaults: Mapping[str, Any],
    names: Names = OWN_NAMES,
) -> dict[str, Any]:
    """The body of a streamed text completion; arguments and errors as :func:`chat_request`."""
    body = _answer_request(model, options, defaults, names)
    body["prompt"] = prompt if isinstance(prompt, str) else list(prompt)
    if (n_top := arguments.top_logprobs(options.get("top_logprobs"))) is not None:
        body["logprobs"] = n_top
    return body


def _answer_request(
    model: str, options: AnswerOptions, defaults: Mapping[str, Any], names: Names
) -> dict[str, Any]:
    """What both have."""
    given = {name: value for name, value in options.items() if name not in _IN_ANOTHER_FORM}
    wanted = {**defaults, **{name: value for name, value in given.items() if value is not None}}
    wanted |= {name: checked(name, wanted[name]) for name in SAMPLING if name in wanted}
    wanted["max_tokens"] = arguments.max_tokens(wanted.get("max_tokens"))
    if wanted.get("logit_bias") is not None:  # JSON's keys are texts
        wanted["logit_bias"] = {str(token): bias for token, bias in wanted["logit_bias"]}
    arguments.stop_on_repetition(wanted.get("stop_on_repetition"))
    names.check(given)
    arguments.prompt_lookup(options.get("prompt_lookup"))
    if options.get("prompt_lookup") is not None:
        raise RequestError("prompt_lookup is the server's to decide; leave it out")
    body: dict[str, Any] = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        **{names.of(name): value for name, value in wanted.items() if value is not None},
    }
    if stops := arguments.stop_strings(options.get("stop")):
        body["stop"] = list(stops)
    if (schema := options.get("response_schema")) is not None:
        body["response_format"] = wire_schema(schema)
    return body
