"""A conversation without end in a window of 512 tokens, kept whole on disk.

    python examples/endless_chat.py                 # in a checkout: a tiny trained model
    python examples/endless_chat.py model.gguf 4096

When the window is full, the oldest tokens behind the system prompt slide out of it (StreamingLLM).
The system prompt stays, and so does what it says; each turn costs the same, however long the
conversation has become. The transcript in the SQLite file is whole.
"""

import sys
import tempfile
from pathlib import Path
from pydoc_data.topics import topics

from longctx import LongContextLLM
from longctx.agents import ConversationStore

TINY = Path(__file__).parents[1] / "tests" / "models" / "tiny-longctx.gguf"
BOOK = " ".join(" ".join(topics[name].split()) for name in ("exceptions", "execmodel", "types"))
TURNS = 80


def main(model: str = str(TINY), target_ctx: str = "512") -> None:
    """Talk for 80 turns, then look at what is left where."""
    with (
        tempfile.TemporaryDirectory() as folder,
        LongContextLLM(model, int(target_ctx), overflow="slide", reserve_output=32) as llm,
        ConversationStore(Path(folder) / "chats.sqlite") as store,
    ):
        agent = store.open("endless", llm, system="The code of room 7 is 5310.")
        print("turn  said in all  slid out  prefilled  ttft ms  room 7?")
        for turn in range(1, TURNS + 1):
            agent.run(BOOK[300 * turn : 300 * turn + 300], max_tokens=16)
            if turn % 10 == 0:
                result = agent.run("What is the code of room 7?", max_tokens=16)
                (step,) = result.steps
                print(
                    f"{turn:>4}{step.usage.prompt_tokens:>13,}{step.window.dropped_tokens:>10,}"
                    f"{step.usage.prefilled_tokens:>11,}{1000 * step.timings.ttft_s:>9.0f}  "
                    f"{result.text.strip()}"
                )
        (info,) = store.list()
        print(f"\n{info.messages} messages on disk, the first of them:")
        for message in agent.transcript[:3]:
            print(f"  {message.role}: {message.content[:70]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
