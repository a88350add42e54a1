"""The tables of results: one run or several side by side."""
