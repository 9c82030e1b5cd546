"""An MCP server over stdio as it was before 2026: it tells what changed to all; without the SDK.

``restless``: it offers other tools whenever it is asked, and says all the time that it does.
``slow``: it takes a while to say who it is.
``once``: it tells before it is asked, and ends when it is called.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

RESTLESS = "restless" in sys.argv
tools = ["first", "change"]
n_listed = 0


def send(message: dict[str, Any]) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def tell(*lists: str) -> None:
    """They changed."""
    for one in lists:
        send({"method": f"notifications/{one}/list_changed"})


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """What is asked for; None is not known."""
    global n_listed
    if method == "initialize":
        time.sleep(1.5 if "slow" in sys.argv else 0)
        changing = {"listChanged": True}
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": changing, "resources": changing, "prompts": changing},
            "serverInfo": {"name": "older", "version": "1"},
        }
    if method == "tools/list":
        n_listed += 1
        names = [f"t{n_listed}_{i}" for i in range(3)] if RESTLESS else tools
        return {
            "tools": [
                {"name": name, "description": f"Does {name}.", "inputSchema": {"type": "object"}}
                for name in names
            ]
        }
    if method == "tools/call":
        if params["name"] == "change":
            tools[:] = ["change", "second"]
            tell("tools", "prompts")
        return {"content": [{"type": "text", "text": f"{params['name']} is done"}]}
    if method in ("resources/list", "prompts/list"):
        return {method.partition("/")[0]: []}
    return None


def main() -> None:
    """Answer until the end of the input."""
    for line in sys.stdin:
        request = json.loads(line)
        if (number := request.get("id")) is None:
            continue
        if RESTLESS:
            for _ in range(30):
                tell("tools", "resources", "prompts", "nothing")
        result = answer(request["method"], request.get("params", {}))
        if result is None:
            send({"id": number, "error": {"code": -32601, "message": "unknown"}})
        else:
            send({"id": number, "result": result})


main()
