"""Measures vision-language checkpoints by MMBench's ability categories. Importing it needs no torch."""

__version__ = "0.1.0"
