"""Writes the model card of a checkpoint from its runs."""
