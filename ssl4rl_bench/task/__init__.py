"""Tasks: loading samples with known answers from a task file, and scoring replies."""
