"""Checkpoints on disk: what a folder holds, whether it is complete, and the fingerprint of its weights."""
