"""An agent with a tool, on a window that grows with the conversation.

    pip install "longctx-sdk[demo]"
    python examples/agent_auto_scaling.py           # three turns, well within the window
    python examples/agent_auto_scaling.py --grow    # and one past it: some minutes of prefill

A grammar holds the model to the tool's schema, so that even 135M parameters make valid calls;
what goes wrong inside the tool is told to the model. The conversation begins in the model's own
window of 8,192 tokens, unscaled. When a turn does not fit, the window grows.
"""

import sys
from pydoc_data.topics import topics

from longctx import LongContextLLM
from longctx.agents import Agent, Done, TextDelta, ToolCall, ToolResult, WindowGrown, tool

WEATHER = {"Bremen": "14 degrees and raining", "Paris": "21 degrees and sunny"}


@tool
def weather(city: str) -> str:
    """Say what the weather is like in a city."""
    return f"It is {WEATHER[city]} in {city}."


def talk(agent: Agent, text: str, tool_choice: str = "auto") -> None:
    """Say something, and print what the agent does."""
    print(f"\n> {text[:60]}")
    for event in agent.stream(text, tool_choice=tool_choice, max_tokens=64):
        match event:
            case TextDelta():
                print(event.text, end="")
            case ToolCall():
                print(f"  call    {event.name}({event.arguments})")
            case ToolResult():
                print(f"  result  {event.text}")
            case WindowGrown():
                print(f"\n  window  {event.grew_from:,} -> {event.n_ctx:,}, {event.method}")
            case Done():
                usage = event.result.usage
                print(
                    f"\n  [{event.result.stop_reason}: prefilled {usage.prefilled_tokens:,} "
                    f"of {usage.prompt_tokens:,} tokens]"
                )


def main() -> None:
    """A call that works, one that fails, small talk, and perhaps a text past the window."""
    with LongContextLLM(target_ctx=16_384, reserve_output=256) as llm:
        agent = Agent(llm, tools=[weather], system="You are a helpful assistant.")
        talk(agent, "What is the weather in Paris?", "required")
        talk(agent, "What is the weather in Rome?", "required")
        talk(agent, "Thank you! Say goodbye.", "none")
        if "--grow" in sys.argv:
            talk(agent, f"Read this:\n{topics['specialnames'][:36_000]}\nWhat is it about?")
        print(f"\n{agent.context}")


if __name__ == "__main__":
    main()
