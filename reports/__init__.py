"""Shows runs as tables, figures and pages. It decides nothing: scoring, comparison and gating do."""
