"""An agent's window over a long conversation: it grows, is compacted, and forgets nothing pinned.

    python examples/agent_auto_scaling.py               # in a checkout: a tiny trained model
    python examples/agent_auto_scaling.py model.gguf 32768

The tiny model was trained on 512 tokens. The agent may use 2,048: it begins unscaled, and each
time a page does not fit, the window grows by re-rotating the cached keys, without a second prefill.
Only when 2,048 are not enough, the model is shown less: pages that it read again later go first,
then other old pages, then the oldest turns. The transcript keeps everything.
"""

import sys
from pathlib import Path
from pydoc_data.topics import topics

from longctx import LongContextLLM
from longctx.agents import Agent, AgentResult, Compacted, WindowGrown, WindowShrunk, tool

TINY = Path(__file__).parents[1] / "tests" / "models" / "tiny-longctx.gguf"
BOOK = " ".join(topics["exceptions"].split()) + " ".join(topics["execmodel"].split())


@tool
def page(number: int) -> str:
    """Read a page of the manual."""
    begin = 450 * (number % 20)
    return BOOK[begin : begin + 450]


def show(turn: str, result: AgentResult) -> None:
    """One line a turn, and one for each thing that happened to the window."""
    last, usage = result.steps[-1], result.usage
    print(
        f"{turn:<22}{last.usage.prompt_tokens:>7,}{usage.prefilled_tokens:>11,}"
        f"{1000 * last.timings.ttft_s:>9.0f}{last.window.n_ctx:>8,}{last.window.scale:>5.2g}"
    )
    for event in result.events:
        match event:
            case WindowGrown():
                ms = 1000 * event.rescale_s
                print(f"    grew {event.grew_from:,} -> {event.n_ctx:,} in {ms:.0f} ms")
            case WindowShrunk():
                print(f"    shrank {event.shrank_from:,} -> {event.n_ctx:,}")
            case Compacted():
                tokens = f"{event.tokens_before:,} -> {event.tokens_after:,} tokens"
                print(f"    {event.policy}: {tokens}, {event.detail}")


def main(model: str = str(TINY), target_ctx: str = "2048") -> None:
    """Tell a fact, read page after page, and ask for the fact now and then."""
    with LongContextLLM(model, int(target_ctx), reserve_output=64) as llm:
        agent = Agent(llm, tools=[page], system="You answer questions about a manual.")
        print("turn                   prompt  prefilled  ttft ms  window    s")
        fact = "The pass key is 48213. Remember it. 48213 is the pass key."
        show("told the pass key", agent.run(fact, pin=True, max_tokens=16, tool_choice="none"))
        for number in range(1, 13):
            # A grammar holds even this model to a valid call.
            result = agent.run(f"Read page {number}.", tool_choice="required", max_tokens=48)
            show(f"read page {number}", result)
            if number % 4 == 0:
                question = "What is the pass key?"
                result = agent.run(question, tool_choice="none", max_tokens=16)
                show(f"asked: {result.text[-15:]}", result)
        print(f"\n{agent.context}")


if __name__ == "__main__":
    main(*sys.argv[1:])
