"""Which method scales a model best: candidates, trials of each, and a search among them."""
