"""Stores a run's outcomes in one small file that can be committed, for a gate to compare checkpoints with.

The file contains no image and no reply. It has a checksum: a damaged file is refused and never read in part.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from ssl4rl_bench.comparison.pairing import Evaluated, marked
from ssl4rl_bench.core.atomic import write_bytes
from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.parsing import gunzip, parse_json
from ssl4rl_bench.core.versioned import check_schema
from ssl4rl_bench.run.rundir import RESULT_SCHEMA
from ssl4rl_bench.run.spec import SPEC_SCHEMA, RunSpec
from ssl4rl_bench.score import outcomes
from ssl4rl_bench.score.consistency import check_consistent

SCHEMA = 1
KIND = "ssl4rl-bench baseline"


def save_baseline_file(run: Evaluated, path: Path) -> None:
    """Writes a baseline file, which is compressed if its name ends in ".gz".

    Raises:
        StoreError: it cannot be written.
    """
    content = {
        "label": run.label,
        "spec": run.spec.to_json(),
        "result": run.result,
        "outcomes": {name: outcomes.to_json(task_outcomes) for name, task_outcomes in run.outcomes.items()},
    }
    plain = json.loads(json.dumps(content, allow_nan=False))  # as it is read back: tuples become lists
    value = {"kind": KIND, "schema": SCHEMA, "sha256": sha256_json(plain), **content}
    data = (json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n").encode("ascii")
    write_bytes(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def load_baseline_file(path: Path) -> Evaluated:
    """Loads a baseline file in the form in which comparisons take runs.

    Raises:
        StoreError: there is no such file, it is damaged, of another kind or a newer version, or its parts
            contradict each other; says which.
    """
    try:
        data = path.read_bytes()
        value = parse_json(gunzip(data) if path.suffix == ".gz" else data)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}): restore it, or save the baseline again") from None
    if not isinstance(value, dict) or value.get("kind") != KIND:
        raise StoreError(f"{path} is not a baseline: write one with `ssl4rl-bench gate --save-baseline`")
    check_schema(value, path, SCHEMA)
    content: dict[str, Any] = {key: value.get(key) for key in ("label", "spec", "result", "outcomes")}
    if value.get("sha256") != sha256_json(content):
        raise StoreError(f"{path} is damaged (its checksum differs): restore it, or save the baseline again")
    try:
        check_schema(content["spec"], f"{path} (spec)", SPEC_SCHEMA)
        check_schema(content["result"], f"{path} (result)", RESULT_SCHEMA, absent=RESULT_SCHEMA)
        spec = RunSpec.from_json(content["spec"])
        stored = {
            name: outcomes.from_json(name, content_of_task)
            for name, content_of_task in content["outcomes"].items()
        }
        check_consistent(path, spec, content["result"], stored)
        return Evaluated(marked(content["label"], spec), path, spec, content["result"], stored)
    except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError):
        raise StoreError(f"{path} is damaged: restore it, or save the baseline again") from None
