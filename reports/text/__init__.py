"""Formats numbers and names for tables and sentences."""
