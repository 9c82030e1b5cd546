"""Plan a window, count exactly, answer, and see what the second turn costs.

python examples/quickstart.py
"""

from longctx import LongContextLLM


def main() -> None:
    with LongContextLLM(target_ctx=16_384, reserve_output=64) as llm:
        print(llm.plan, "\n")

        messages = [
            {"role": "system", "content": "You answer in one sentence."},
            {"role": "user", "content": "What is the capital of France?"},
        ]
        print(f"This conversation is {llm.count(messages)} tokens.")
        first = llm.chat(messages)
        print(f"{first.text}  ({first.usage.prefilled_tokens} tokens prefilled)")

        # The answer goes back as a message; only what is new is prefilled.
        messages += [first.message, {"role": "user", "content": "And of Italy?"}]
        second = llm.chat(messages)
        print(
            f"{second.text}  ({second.usage.cached_tokens} tokens cached, "
            f"{second.usage.prefilled_tokens} prefilled)"
        )


if __name__ == "__main__":
    main()
