"""An agent that reads a folder of documents through DocumentQA, and notes what it finds.

    pip install "longctx-sdk[demo,rag]"
    python examples/research_agent.py                 # three short documents
    python examples/research_agent.py FOLDER "QUESTION" "QUESTION" ...

The agent's tool asks the documents, on the same model: its own conversation and the documents
each have their place in the KV cache, so that neither is read twice. The packaged model has 135M
parameters: a grammar holds its calls to the schema, and its answers are no better than it is. Where
it quotes a document, the quotation is checked.
"""

import sys
import tempfile
from pathlib import Path

from longctx import LongContextLLM
from longctx.agents import Agent, Done, ToolCall, ToolResult, tool
from longctx.documents import DocumentQA

DOCUMENTS = {
    "contract.md": """# Contract of sale
The seller is Nordwind AG of Bremen. The buyer is Kestrel Ltd of Leeds.
The price is 480,000 euros, payable within 30 days of delivery.
Until delivery the seller bears the risk of loss. After delivery the buyer bears it.
For each day of delay the seller pays 0.2 percent of the price.
""",
    "letter.txt": """Dear Ms Holt, the ship Amalthea left Bremerhaven on 3 May with all 40 blades on
board. She is expected in Hull on 9 May. One blade was scratched while loading; we repaired it.
Kind regards, Jan Petersen, Nordwind AG
""",
    "minutes.md": """# Minutes of 12 May
The Amalthea arrived in Hull on 11 May, two days late, because of a storm off Texel.
Ms Holt will claim the penalty. The next meeting is on 2 June in Leeds.
""",
}
QUESTIONS = (
    "Which ship carries the blades?",
    "When is the next meeting?",
)


def research(llm: LongContextLLM, folder: Path, questions: tuple[str, ...]) -> None:
    """Put questions to an agent that can only answer them from the folder."""
    qa = DocumentQA(llm)
    loaded = qa.add_folder(folder)
    print("documents:", ", ".join(document.doc_id for document in loaded.documents))

    @tool
    def ask_documents(question: str) -> str:
        """Ask the documents a question; returns an answer with checked quotations."""
        answer = qa.ask(question, max_tokens=48)
        quoted = [f'{c.doc_id} says: "{c.quote}"' for c in answer.citations if c.verified]
        return "\n".join([answer.text.strip(), *quoted])

    agent = Agent(llm, tools=[ask_documents], system="You answer from documents.", read_back=False)
    for question in questions:
        print(f"\n> {question}")
        for event in agent.stream(question, tool_choice="required", max_tokens=64):
            match event:
                case ToolCall():
                    print(f"  asks     {event.arguments['question']}")
                case ToolResult():
                    print("  is told ", event.text.replace("\n", "\n           "))
                case Done():
                    print(f"  answers  {event.result.text.strip()}")
    print(f"\n{agent.context}")


def main(folder: str | None = None, *questions: str) -> None:
    """Research a folder, or the three documents above."""
    with LongContextLLM(target_ctx=16_384, reserve_output=128) as llm:
        if folder is not None:
            research(llm, Path(folder), questions or ("What is this about?",))
            return
        with tempfile.TemporaryDirectory() as made:
            for name, text in DOCUMENTS.items():
                (Path(made) / name).write_text(text)
            research(llm, Path(made), QUESTIONS)


if __name__ == "__main__":
    main(*sys.argv[1:])
