"""Applies a policy of rules to a comparison, to decide whether a checkpoint may ship."""
