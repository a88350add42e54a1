"""Audit of a model card: its printed tables and sentences, checked against each other."""
