"""Tools out of a Python file that the user names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from longctx.errors import ToolError

if TYPE_CHECKING:
    from longctx.agents import Tool


def load_tools(path: Path) -> list[Tool]:
    """Run a Python file and take every function in it that is decorated with ``@tool``.

    Raises:
        ToolError: it cannot be read or run, or holds no tool.
    """
    from longctx.agents import Tool

    name = f"longctx_tools_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ToolError(f"{path} is no Python file; name one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are looked up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ToolError(f"{path} cannot be run ({type(error).__name__}: {error})") from error
    tools = [value for value in vars(module).values() if isinstance(value, Tool)]
    if not tools:
        raise ToolError(f"{path} holds no tool; decorate a function with longctx.agents.tool")
    return tools
