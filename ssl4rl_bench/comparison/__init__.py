"""Complete runs against a baseline: which may be paired, and how they differ."""
