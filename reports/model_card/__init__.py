"""A model card of a checkpoint, from its runs."""
