"""Watching a training run: each new checkpoint is evaluated, judged by the gate, and written into a history.

What is kept, below one folder:

    runs/step-000050/       one ordinary run directory a checkpoint: the truth
    series/                 alpha's shares, so that none is spent twice
    history.jsonl           one line a judged checkpoint, replaced as a whole; can be made again from the runs
    leaderboard.html curves.svg curves.png best      made from the above, and made again when older than it

A process that is killed at any point leaves each of these old or new, and the next one goes on from there.
"""
