"""A policy of rules applied to a comparison: whether a checkpoint may ship."""
