"""A LangGraph conversation that outlives its process, on a model that ``longctx serve`` serves.

pip install "longctx-sdk[demo,server]" langchain-openai langgraph-checkpoint-sqlite
longctx serve --port 8000 &
python examples/frameworks/langgraph_checkpoints.py
python examples/frameworks/langgraph_checkpoints.py    # goes on where the first one ended
"""

from __future__ import annotations

import sys

from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph


def main(base_url: str = "http://127.0.0.1:8000/v1", path: str = "checkpoints.sqlite") -> None:
    chat = ChatOpenAI(model="longctx", base_url=base_url, api_key="none", max_tokens=48)

    def say(state: MessagesState) -> MessagesState:
        return {"messages": [chat.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("say", say)
    graph.add_edge(START, "say")
    with SqliteSaver.from_conn_string(path) as saver:
        talk = graph.compile(checkpointer=saver)
        said = talk.invoke(
            {"messages": [("user", "My name is Ada. What is my name?")]},
            {"configurable": {"thread_id": "ada"}},
        )["messages"]
    cached = said[-1].usage_metadata["input_token_details"]["cache_read"]
    print(f"{said[-1].content}\n{len(said)} messages, {cached} tokens were in the cache")


if __name__ == "__main__":
    main(*sys.argv[1:])
