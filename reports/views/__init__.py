"""Questions that a set of runs can answer: each a figure, a small table, and one sentence that the numbers support."""
