"""Predicts sizes, memory and length of a recipe's run, without torch and without a network."""
