"""As servers asked before 2026: by requests of their own in the middle of a call; without the SDK.

``twice``: it asks in two calls at once, and ends neither before both are answered. ``again``: it
asks for ever.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TRIP = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
REQUESTS = {
    "book": ("elicitation/create", {"message": "Where to?", "requestedSchema": TRIP}),
    "odd": (
        "elicitation/create",
        {
            "message": "Who?",
            "requestedSchema": {"type": "object", "properties": {"self": {"type": "string"}}},
        },
    ),
    "bad": ("elicitation/create", {"message": 7, "requestedSchema": []}),
    "pay": (
        "elicitation/create",
        {"mode": "url", "message": "Pay.", "url": "https://x.example/pay", "elicitationId": "1"},
    ),
    "tools": (
        "sampling/createMessage",
        {
            "messages": [{"role": "user", "content": {"type": "text", "text": "Hi"}}],
            "maxTokens": 5,
            "tools": [{"name": "t", "inputSchema": {"type": "object"}}],
        },
    ),
}
waiting: dict[str, int] = {}
held: list[tuple[int, str]] = []
answered: list[dict[str, Any]] = []
AT_ONCE = 2 if "twice" in sys.argv else 1


def send(message: dict[str, Any]) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def ask(number: int, name: str) -> None:
    """Send the request that a tool needs."""
    method, params = REQUESTS[name]
    waiting[f"q{number}"] = number
    send({"id": f"q{number}", "method": method, "params": params})


def main() -> None:
    """Answer until the end of the input."""
    for line in sys.stdin:
        message = json.loads(line)
        number, method = message.get("id"), message.get("method")
        if method is None and "again" in sys.argv:
            ask(waiting.pop(number), "book")
        elif method is None:
            said = message.get("result", message.get("error"))
            result = {"content": [{"type": "text", "text": json.dumps(said)}]}
            answered.append({"id": waiting.pop(number), "result": result})
            if len(answered) == AT_ONCE:
                for each in answered:
                    send(each)
                answered.clear()
        elif method == "initialize":
            result = {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "older", "version": "1"},
            }
            send({"id": number, "result": result})
        elif method == "tools/list":
            schema = {"type": "object"}
            tools = [{"name": name, "inputSchema": schema} for name in REQUESTS]
            send({"id": number, "result": {"tools": tools}})
        elif method == "tools/call":
            held.append((number, message["params"]["name"]))
            if len(held) == AT_ONCE:
                for call in held:
                    ask(*call)
                held.clear()
        elif number is not None:
            send({"id": number, "error": {"code": -32601, "message": "unknown"}})


main()
