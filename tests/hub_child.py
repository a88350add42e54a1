"""Runs `load_task` and `resolve_model` in a child process, whose hub clients read their environment when imported."""

from __future__ import annotations

import json
import sys
from typing import Any

import forked

_CODE = """
import json, sys, time
pause = time.sleep
time.sleep = lambda seconds: pause(min(seconds, 0.05))  # hub clients wait up to 8 s before they try again
from ssl4rl_bench.core.errors import BenchError
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.engines.checkpoints.weights import resolve_model

def model(name):
    found = resolve_model(name)
    return [found.revision, found.fingerprint]

def task(name, **options):
    found = load_task(name, **options)
    hub = found.hub and [found.hub.asked, found.hub.commit, found.hub.config, found.hub.split]
    return [found.data_sha256, len(found.samples), hub]

for name, arguments, options in json.loads(sys.argv[1]):
    try:
        print(json.dumps([globals()[name](*arguments, **options), None]))
    except BenchError as error:
        print(json.dumps([None, f"{type(error).__name__}: {error}"]))
"""


def call(environment: dict[str, str], *calls: tuple[str, list[Any], dict[str, Any]]) -> list[tuple[Any, str]]:
    """Returns the result of each call (model or task, arguments, options), or the message of its error."""
    done = forked.run(
        [sys.executable, "-c", _CODE, json.dumps(calls)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def models(environment: dict[str, str], *names: str) -> list[tuple[Any, str]]:
    """Returns [commit, fingerprint] of each model, or the message of its error."""
    return call(environment, *(("model", [name], {}) for name in names))


def tasks(
    environment: dict[str, str], *datas: str, task: str = "mmbench_dev_en", **options: Any
) -> list[Any]:
    """Returns [data_sha256, samples, [asked, commit, config, split]] for each `--data`, or its error."""
    return call(environment, *(("task", [task], {"data": data, **options}) for data in datas))
