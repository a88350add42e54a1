"""GRPO with SSL tasks as verifiable rewards."""
