"""Names of the built-in tools."""

READ_RESULT = "read_result"
"""Shows what was taken out of a result."""
RECALL = "recall"
"""Finds what has left the window."""
BUILT_IN = frozenset({READ_RESULT, RECALL})
"""They come back by themselves, and what they return stands elsewhere in the transcript."""
