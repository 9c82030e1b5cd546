"""longctx: give local GGUF models the context window you ask for."""
