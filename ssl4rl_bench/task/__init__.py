"""Tasks: from a task file to samples with known answers, and from a reply to a score."""
