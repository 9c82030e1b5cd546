"""Rerankers as Jina, Cohere, llama-server and text-embeddings-inference have them."""
