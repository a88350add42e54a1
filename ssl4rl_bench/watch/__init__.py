"""Watches a training run: evaluates each new checkpoint, judges it by the gate, and records it in a history.

All files are below one folder:

    runs/step-000050/       one ordinary run directory per checkpoint: the source of truth
    series/                 the shares of alpha, so that none is spent twice
    merged/                 weights made of shards and adapters (--merge), removed after their evaluation
    history.jsonl           one line per judged checkpoint, replaced atomically; can be rebuilt from the runs
    leaderboard.html curves.svg curves.png best      derived from the above, and rebuilt when out of date

A process that is killed leaves each file either old or new, and the next process continues from there.
"""
