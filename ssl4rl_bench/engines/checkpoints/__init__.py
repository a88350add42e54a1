"""Checkpoints on disk: locating and validating their files, fingerprints of weights, and repair."""
