"""Makes two small runs for tests of commands: one whose replies are all right, with a probe, and a random one."""

from __future__ import annotations

from pathlib import Path

from commands import bench

PICTURES = Path(__file__).parents[1] / "data" / "golden" / "pictures"


def make(root: Path, n: int) -> Path:
    """Makes root/runs/gold and root/runs/rough of `n` questions and returns `root`."""
    probe = ("--data", f"ssl_rotation_90={PICTURES}")
    for name, mock, tasks, data in (
        ("gold", "gold", "scenes,ssl_rotation_90", probe),
        ("rough", "random", "scenes", ()),
    ):
        how = ("--engine", "mock", "--mock", mock, "--limit", str(n), "--tasks", tasks, *data)
        done = bench("run", "--model", name, *how, "--out", root / "runs" / name)
        assert done.code == 0, done.text
    return root
