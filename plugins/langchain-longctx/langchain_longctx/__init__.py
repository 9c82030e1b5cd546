"""LangChain over longctx: a chat model with an exact window, a loader and a retriever."""

from langchain_longctx.chat_model import ChatLongCtx
from langchain_longctx.errors import LongCtxOverflowError
from langchain_longctx.loader import LongCtxLoader, document_qa
from langchain_longctx.retriever import LongCtxRetriever

__all__ = [
    "ChatLongCtx",
    "LongCtxLoader",
    "LongCtxOverflowError",
    "LongCtxRetriever",
    "document_qa",
]
