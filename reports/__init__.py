"""Runs as tables, figures and pages. Nothing is decided here: it shows what was scored, compared or judged."""
