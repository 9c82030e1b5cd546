"""A tool: a typed function that a model may call."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast, overload

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import ArgsKwargs, PydanticSerializationError, to_json

from longctx import arguments
from longctx.agents.names import TOOL_NAME
from longctx.errors import ToolError
from longctx.types import problems


class Tool:
    """A function with the schema that a model must call it by.

    Attributes:
        name: the function's.
        description: the docstring's first paragraph.
        parameters: JSON schema of the arguments, from the annotations (pydantic's reading:
            ``Annotated[int, Field(ge=1, description="...")]`` works).
        timeout_s: how long a call of an agent may take, in seconds; None is the agent's own.
        confirm: whether somebody must allow each call of an agent.

    Make one with :func:`tool`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        timeout_s: float | None = None,
        confirm: bool = False,
    ) -> None:
        functools.update_wrapper(self, function)
        self.name = _name_of(function)
        self.description = _description_of(function, self.name)
        self._function = function
        self._arguments = _arguments_of(function, self.name)
        self.timeout_s = check_timeout(timeout_s)
        self.confirm = arguments.flag("confirm", confirm)
        self.parameters: dict[str, Any] = _without_titles(self._arguments.json_schema())

    @property
    def schema(self) -> dict[str, Any]:
        """The tool in OpenAI's form."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        }

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as if it were not decorated."""
        return self._function(*args, **kwargs)

    def call(self, arguments: Mapping[str, Any]) -> str:
        """Validate what a model gave, run the function, and put its result in words.

        A coroutine function runs to its end, and so does a generator, of any kind: what it
        yields is a list. Text is returned as it is, all else as JSON.

        Raises:
            ToolError: the arguments do not fit the schema, or the result cannot be put in words.
            Exception: whatever the function raises.
        """
        args, kwargs = self._validated(arguments)
        result = self._function(*args, **kwargs)
        if inspect.isasyncgen(result):
            result = _listed(result)
        if inspect.iscoroutine(result):
            result = _run_coroutine(result)
        if inspect.isgenerator(result):
            result = list(result)
        return _as_text(self.name, result)

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Validate what a model gave, and run nothing.

        Raises:
            ToolError: the arguments do not fit the schema.
        """
        self._validated(arguments)

    def renamed(self, name: str) -> Tool:
        """The same tool under another name."""
        other = copy.copy(self)
        other.name = name
        return other

    def _validated(self, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
        if not isinstance(arguments, Mapping):
            raise ToolError(f"arguments of {self.name} are a dict, not {arguments!r}")
        try:
            args, kwargs = self._arguments.validate_python(ArgsKwargs((), dict(arguments)))
        except ValidationError as error:
            raise ToolError(_explain(self, error)) from error
        return args, kwargs

    def __repr__(self) -> str:
        return f"Tool({self.name!r}, {self.description!r})"


@overload
def tool(function: Callable[..., Any]) -> Tool: ...
@overload
def tool(
    *, timeout_s: float | None = None, confirm: bool = False
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    *,
    timeout_s: float | None = None,
    confirm: bool = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Let a model call a function; plain or ``async``; ``@tool`` or ``@tool(timeout_s=5)``.

    Every parameter needs a type, the function a docstring: they are all that the model sees.

    Args:
        function: what is called.
        timeout_s: how long a call may take, in seconds; None is the agent's own.
        confirm: make an agent ask before each call
            (:class:`~longctx.agents.events.ConfirmCall`).

    Raises:
        ToolError: the function cannot be described to a model.
        RequestError: ``timeout_s`` is no time, or ``confirm`` neither True nor False.

    Examples:
        >>> @tool
        ... def add(a: int, b: int = 1) -> int:
        ...     "Add two numbers."
        ...     return a + b
        >>> add.call({"a": "2"})
        '3'
        >>> add(2, 3)
        5
    """
    timeout_s = check_timeout(timeout_s)
    if function is None and (timeout_s is not None or arguments.flag("confirm", confirm)):
        return functools.partial(Tool, timeout_s=timeout_s, confirm=confirm)
    return Tool(cast(Any, function), timeout_s=timeout_s, confirm=confirm)


def check_timeout(timeout_s: float | None) -> float | None:
    """Refuse a time that is none.

    Raises:
        RequestError: it is not above 0.
    """
    return None if timeout_s is None else arguments.seconds("timeout_s", timeout_s)


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None)
    if (
        not inspect.isroutine(function)
        or not isinstance(name, str)
        or not TOOL_NAME.fullmatch(name)
    ):
        raise ToolError(
            f"{function!r} cannot be a tool: decorate a function whose name has 1 to 64 letters, "
            "digits, _ or -"
        )
    return name


def _description_of(function: Callable[..., Any], name: str) -> str:
    paragraph = (inspect.getdoc(function) or "").split("\n\n")[0]
    description = " ".join(paragraph.split())
    if not description:
        raise ToolError(f"tool {name!r} has no docstring; say in one what it does, for the model")
    return description


def _arguments_of(function: Callable[..., Any], name: str) -> TypeAdapter[Any]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError as error:
        raise ToolError(f"tool {name!r} has no signature ({error}); wrap it in a def") from error
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise ToolError(f"tool {name!r}: {parameter} cannot be passed by name; models do that")
        if parameter.kind is parameter.VAR_KEYWORD:
            raise ToolError(f"tool {name!r}: name the parameters instead of {parameter}")
        if parameter.annotation is parameter.empty:
            raise ToolError(
                f"tool {name!r}: parameter {parameter.name!r} has no type; annotate it, for "
                f"example {parameter.name}: str"
            )

    # pydantic reads the signature through the wrapper and calls it with valid arguments.
    @functools.wraps(function)
    def capture(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, kwargs

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(cast(Any, capture))
        adapter.json_schema()
    except (PydanticUserError, NameError, TypeError) as error:
        raise ToolError(
            f"tool {name!r}: its parameters have no JSON schema ({error}); use str, int, float, "
            "bool, list, dict, Literal, Enum or pydantic models"
        ) from error
    return adapter


def _without_titles(node: Any) -> Any:
    """Drop pydantic's generated titles, which cost tokens and say nothing."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    # A property may be called "title"; then it is a schema and not a text.
    return {
        key: _without_titles(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str))
    }


def _explain(tool: Tool, error: ValidationError) -> str:
    found = "; ".join(problems(error, "arguments"))
    known = ", ".join(tool.parameters.get("properties", {})) or "none"
    return f"wrong arguments for {tool.name} ({found}); its parameters are: {known}"


def _run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # A loop already runs in this thread (the agent was called from async code).
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(contextvars.copy_context().run, asyncio.run, coroutine).result()


async def _listed(results: AsyncGenerator[Any, Any]) -> list[Any]:
    return [one async for one in results]


def _as_text(name: str, result: Any) -> str:
    try:
        text = result if isinstance(result, str) else to_json(result).decode()
        text.encode()
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise ToolError(
            f"the result of {name}, a {type(result).__name__}, cannot be put in words ({error}); "
            "return text or what JSON can hold"
        ) from error
    return text
