"""SSL tasks with all of their targets, for tests of rewards."""

from __future__ import annotations

import itertools

from ssl4rl_bench.task.ssl import SSLTask, make_task

ANGLES = ("0", "90", "180", "270")
QUADRANTS = ("top-left", "top-right", "bottom-left", "bottom-right")
ORDERS = tuple(",".join(order) for order in itertools.permutations("1234"))
TASKS: dict[str, SSLTask] = {
    "ssl4rl_ssl_rotation_90": make_task("rotation", {"step": 90}),
    "ssl4rl_ssl_jigsaw_2x2": make_task("jigsaw", {"k": 2}),
    "ssl4rl_ssl_contrastive_weak": make_task("contrastive", {"strength": "weak"}),
    "ssl4rl_ssl_position": make_task("position", {}),
}
TARGETS = dict(zip(TASKS, (ANGLES, ORDERS, ("positive", "negative"), QUADRANTS), strict=True))
ROTATION, JIGSAW, CONTRASTIVE, POSITION = TASKS
MEGABYTE = 1_000_000


def tag(answer: str) -> str:
    return f"<answer>{answer}</answer>"
