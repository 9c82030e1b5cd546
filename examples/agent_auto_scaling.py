"""An agent with a tool, whose window grows with the conversation.

    pip install "longctx-sdk[demo]"
    python examples/agent_auto_scaling.py

Calls are held to the tool's schema by a grammar, so that even a model of 135M parameters makes
valid ones. The model's own window is 8,192 tokens, and growing past it takes minutes of prefill
on a small machine; so the window is watched here from its start, and `WindowGrown` is printed
when you let the conversation go on for long enough.
"""

from longctx import LongContextLLM
from longctx.agents import Agent, Done, TextDelta, ToolCall, ToolResult, WindowGrown, tool

STOCK = {"pencil": 120, "stapler": 7, "notebook": 0}


@tool
def stock(item: str) -> str:
    """Look up how many of an item are in stock."""
    return f"{STOCK[item]} in stock"


def main() -> None:
    """Talk three turns, with a forced call, an error in the tool, and small talk."""
    with LongContextLLM(target_ctx=16_384, reserve_output=256) as llm:
        agent = Agent(llm, tools=[stock], system="You help in a stationery shop.", max_steps=3)
        for text, choice in (
            ("How many of the item stapler do we have?", "required"),
            ("How many of the item typewriter do we have?", "required"),
            ("Thank you! Say goodbye.", "none"),
        ):
            print(f"\n> {text}")
            for event in agent.stream(text, tool_choice=choice, max_tokens=64):
                if isinstance(event, TextDelta):
                    print(event.text, end="")
                elif isinstance(event, ToolCall):
                    print(f"  call   {event.name}({event.arguments})")
                elif isinstance(event, ToolResult):
                    print(f"  result {event.text}")
                elif isinstance(event, WindowGrown):
                    print(f"  window {event.grew_from:,} -> {event.n_ctx:,} ({event.method})")
                elif isinstance(event, Done):
                    result = event.result
                    print(
                        f"\n  [{result.stop_reason}, {len(result.steps)} steps, prefilled "
                        f"{result.usage.prefilled_tokens} of {result.usage.prompt_tokens} tokens]"
                    )
        print(f"\n{agent.context}")


if __name__ == "__main__":
    main()
