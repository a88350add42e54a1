"""Joins the shards of a run: checks that they belong together, and copies their journals.

`score.merging` calls this module and then scores the merged run.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ssl4rl_bench.core.atomic import reporting
from ssl4rl_bench.core.errors import SpecMismatch, StoreError, UsageError
from ssl4rl_bench.run.differing import with_other_options
from ssl4rl_bench.run.journal import Place, copy_records
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.shards import Shard

_SHOWN = 8
"""Maximum number of commands in a message."""


def in_order(runs: Sequence[RunDir]) -> list[RunDir]:
    """Checks that runs are all shards of one run and complete, and returns them in the order of their indices.

    Raises:
        UsageError: a run is not a shard, a shard is given twice, or one is missing; names the commands that
            make the missing ones.
        SpecMismatch: the shards belong to different runs; names the keys that differ.
        StoreError: a shard is not complete; names the command that resumes it.
    """
    if not runs:
        raise UsageError("no shard is given: name the run directories of all shards of a run")
    known: dict[int, RunDir] = {}
    for run in runs:
        shard = _same_run(runs[0], run)
        if (other := known.setdefault(shard.index, run)) is not run:
            raise UsageError(f"{other.path} and {run.path} are both shard {shard}: name one of them")
    count = _shard_of(runs[0]).count
    if missing := [Shard(index, count) for index in range(1, count + 1) if index not in known]:
        raise UsageError(
            f"{_named(missing)} missing: run {_listed(command(runs[0], shard) for shard in missing)}, and merge "
            "all run directories"
        )
    ordered = [known[index] for index in sorted(known)]
    if unfinished := [run for run in ordered if not run.result_path.exists()]:
        raise StoreError(
            f"{_named([_shard_of(run) for run in unfinished])} not complete: resume with "
            f"{_listed(command(run) for run in unfinished)}"
        )
    return ordered


def merge_journals(runs: Iterable[RunDir], task: str, keys: Mapping[Place, str], path: Path) -> None:
    """Writes the records of all shards of a task to one journal. Only one record is in memory at a time.

    Args:
        keys: the response key of each request of the whole task (`RunSpec.keys`).
        path: the new journal.

    Raises:
        StoreError: a request has a record in two shards or in none, or a file cannot be read or written.
    """
    seen: set[Place] = set()
    with reporting(path), path.open("xb") as file:
        for run in runs:
            places = copy_records(run.journal_path(task), keys, file)
            if twice := seen & places:
                raise StoreError(
                    f"{run.path} answers {len(twice)} requests of {task} that another shard answers too (sample "
                    f"{min(twice)[0]}): one of its files was edited or is another run's; restore it"
                )
            seen |= places
        file.flush()
        os.fsync(file.fileno())
    if lost := keys.keys() - seen:
        raise StoreError(
            f"no shard has a record of {len(lost)} of {len(keys)} requests of {task} (sample {min(lost)[0]}): a "
            "journal was damaged after its shard was complete; repeat the command of each shard"
        )


def command(run: RunDir, shard: Shard | None = None) -> str:
    """Returns the command of a run's last sitting, for messages.

    Args:
        shard: the shard in the command, if it is another than the run's. Its run directory is the default one.
    """
    sittings = run.sittings()
    words = [str(word) for word in sittings[-1].get("argv", ())][1:] if sittings else []
    if not words:  # `ssl4rl_bench.evaluate`
        return f'the same call of `evaluate` with shard="{shard or _shard_of(run)}"'
    if shard is not None:
        words = [*_without(words, ("--shard", "--out", "-o")), "--shard", str(shard)]
    return f"`{shlex.join(['ssl4rl-bench', *words])}`"


def _same_run(first: RunDir, run: RunDir) -> Shard:
    """Returns the shard of a run that belongs to the same whole run as the first. Raises as `in_order`."""
    expected, shard = _shard_of(first), _shard_of(run)
    spec, other = run.spec.without_shard(), first.spec.without_shard()
    if keys := spec.diff(other):
        raise SpecMismatch(
            f"{run.path} and {first.path} are shards of different runs{with_other_options(spec, other)} "
            f"(other {', '.join(keys)}): merge only the shards of one run"
        )
    if shard.count != expected.count:
        raise SpecMismatch(
            f"{run.path} is shard {shard} and {first.path} is shard {expected}: merge only shards of one split"
        )
    return shard


def _shard_of(run: RunDir) -> Shard:
    if run.spec.shard is None:
        raise UsageError(
            f"{run.path} is a whole run and not a shard: `merge` takes the runs of `run --shard I/N`"
        )
    return run.spec.shard


def _without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Returns the words of a command line without some options and their values."""
    out: list[str] = []
    skipped = False
    for word in words:
        name, equals, _ = word.partition("=")
        if skipped:
            skipped = False
        elif name in options:
            skipped = not equals
        elif not any(word.startswith(option) for option in options if not option.startswith("--")):
            out.append(word)
    return out


def _named(shards: Sequence[Shard]) -> str:
    """Returns the subject and the verb of a sentence about shards: "shards 1/4 and 3/4 are"."""
    if len(shards) == 1:
        return f"shard {shards[0]} is"
    return f"shards {', '.join(map(str, shards[:-1]))} and {shards[-1]} are"


def _listed(commands: Iterable[str]) -> str:
    """Joins different commands; after `_SHOWN` of them, only counts the others."""
    words = list(dict.fromkeys(commands))
    more = f", and so on for {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
