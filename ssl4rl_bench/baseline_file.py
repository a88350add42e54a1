"""A run's outcomes as one small file that can be committed: what a gate compares new checkpoints with.

It holds no image and no reply, and a checksum: a damaged file is refused, never half read.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from ssl4rl_bench import outcomes
from ssl4rl_bench.errors import StoreError
from ssl4rl_bench.hashing import sha256_json
from ssl4rl_bench.pairing import Evaluated
from ssl4rl_bench.spec import RunSpec
from ssl4rl_bench.store.atomic import write_bytes

SCHEMA = 1
KIND = "ssl4rl-bench baseline"


def save(run: Evaluated, path: Path) -> None:
    """Writes the file; compressed if its name ends in ".gz".

    Raises:
        StoreError: it cannot be written.
    """
    content = {
        "label": run.label,
        "spec": run.spec.to_json(),
        "result": run.result,
        "outcomes": {name: outcomes.to_json(each) for name, each in run.outcomes.items()},
    }
    value = {"kind": KIND, "schema": SCHEMA, "sha256": sha256_json(_plain(content)), **content}
    data = (json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n").encode("ascii")
    write_bytes(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def load(path: Path) -> Evaluated:
    """A baseline, as comparisons see a run.

    Raises:
        StoreError: there is no such file, it is damaged, or of another kind or schema; says which.
    """
    try:
        data = path.read_bytes()
        value = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise StoreError(f"{path} is damaged: restore it, or save the baseline again") from None
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, EOFError, zlib.error):
        raise StoreError(f"{path} is damaged: restore it, or save the baseline again") from None
    if not isinstance(value, dict) or value.get("kind") != KIND:
        raise StoreError(f"{path} is no baseline: write one with `ssl4rl-bench gate --save-baseline`")
    if value.get("schema") != SCHEMA:
        raise StoreError(
            f"{path} has schema {value.get('schema')}, and this version of ssl4rl-bench reads {SCHEMA}: "
            "save it again from its run"
        )
    content: dict[str, Any] = {key: value.get(key) for key in ("label", "spec", "result", "outcomes")}
    if value.get("sha256") != sha256_json(content):
        raise StoreError(f"{path} is damaged (its checksum differs): restore it, or save the baseline again")
    return Evaluated(
        label=content["label"],
        path=path,
        spec=RunSpec.from_json(content["spec"]),
        result=content["result"],
        outcomes={name: outcomes.from_json(name, kept) for name, kept in content["outcomes"].items()},
    )


def is_baseline(path: Path) -> bool:
    """Whether a path is meant as a baseline file: a file, not a run's folder."""
    return path.is_file()


def _plain(value: Any) -> Any:
    """As JSON reads it back: tuples as lists."""
    return json.loads(json.dumps(value, allow_nan=False))
