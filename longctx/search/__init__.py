"""What is found by words and by meaning: embedders, and vectors in a SQLite file.

Documents and agents search; this room knows neither.
"""
