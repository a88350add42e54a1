"""The leaderboard: checkpoints against a baseline and published rows, as a table in several formats."""
