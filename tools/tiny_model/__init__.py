"""How the small model under tests/models is made: text, vocabulary, tasks, training, file."""
