"""Names of tools: what they may be, and those of the built-in ones."""

import re

TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a model can call."""
READ_RESULT = "read_result"
"""Shows what was taken out of a result."""
RECALL = "recall"
"""Finds what has left the window."""
BUILT_IN = frozenset({READ_RESULT, RECALL})
"""They come back by themselves, and what they return stands elsewhere in the transcript."""
