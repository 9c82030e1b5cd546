"""One measure a module: prompts to a model, answers to scores, scores to a result."""
