"""What is asked: texts, facts and tasks, drawn by a seed, at exact counts of tokens."""
