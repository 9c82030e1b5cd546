"""The page to chat on: its parts, its Markdown, its files."""
