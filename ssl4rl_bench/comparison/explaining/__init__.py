"""Explains why the number of a run differs from that of another run or from a published one."""
