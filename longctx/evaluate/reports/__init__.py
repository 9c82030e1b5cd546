"""Results in files: one page to read, and JSON to load again."""
