"""Compares complete runs with a baseline: which runs may be paired, and how they differ."""
