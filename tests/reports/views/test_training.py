from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from view_runs import asked

from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.engines.checkpoints.weights import fingerprint
from ssl4rl_bench.reports.views.training import MIX, methods, parse_trained, same_task, trained_on, words


def named(label: str) -> Evaluated:
    return asked(label, np.ones(6))


@pytest.mark.parametrize(
    ("label", "tasks"),
    [
        ("tiny-rotation", ("rotation",)),
        ("PKU-ML/SSL4RL-MMBench-Jigsaw-3B", ("jigsaw",)),
        ("tiny-mix-seed2", (MIX,)),
        ("rotation_jigsaw_mix", (MIX,)),
        ("rotation-and-jigsaw", None),
        ("mixtral", None),
        ("tiny-base (rotation)", None),  # a run's folder says nothing of the weights
    ],
)
def test_a_label_tells_one_kind_or_a_mix(label: str, tasks: tuple[str, ...] | None) -> None:
    assert trained_on(named(label)) == tasks


def test_ssl4rl_json_counts_while_the_weights_are_the_run_s(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    origin = {"recipe": {"tasks": {"ssl_rotation_45": 1.0, "ssl_jigsaw_2x2": 0.5, "ssl_position": 0}}}
    (tmp_path / "ssl4rl.json").write_text(json.dumps(origin))
    run = named("tiny-contrastive")
    spec = dataclasses.replace(run.spec, model=str(tmp_path), fingerprint=fingerprint(tmp_path))
    run = dataclasses.replace(run, spec=spec)
    assert trained_on(run) == ("ssl_rotation_45", "ssl_jigsaw_2x2")
    weights.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\1")
    assert trained_on(run) == ("contrastive",)
    for damage in ("[]", "{", '{"recipe": {"tasks": 3}}'):
        (tmp_path / "ssl4rl.json").write_text(damage)
        assert trained_on(run) == ("contrastive",)


def test_a_user_says_it() -> None:
    runs = [named("a"), named("b=c")]
    assert parse_trained(["a=rotation+ssl_jigsaw_3x3", "b=c=ssl4rl_ssl_position"], runs) == {
        "a": ("rotation", "ssl_jigsaw_3x3"),
        "b=c": ("ssl_position",),
    }


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("a", "--trained a is not LABEL=TASK"),
        ("a=", "is not LABEL=TASK"),
        ("=rotation", "is not LABEL=TASK"),
        ("aa=rotation", "aa is not among the runs (a, b); did you mean a?"),
        ("a=rotaton", "rotaton is not an SSL task; did you mean rotation?"),
        ("a=scenes", "scenes is not an SSL task"),
    ],
)
def test_what_a_user_says_wrong_is_one_sentence(value: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_trained([value], [named("a"), named("b")])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_seeds_are_one_method() -> None:
    labels = ["tiny-mix", "tiny-mix-seed2", "tiny-mix-seed3/step-000150", "tiny-mix/step-000150", "other"]
    found = methods([named(label) for label in labels])
    assert [(m.name, len(m.runs)) for m in found] == [
        ("tiny-mix", 2),
        ("tiny-mix/step-000150", 2),
        ("other", 1),
    ]


def test_names_of_tasks() -> None:
    assert same_task("rotation", "ssl_rotation_45")
    assert same_task("ssl4rl_ssl_position", "ssl_position")
    assert not same_task("ssl_rotation_90", "ssl_rotation_45")
    assert words(("ssl_rotation_90",)) == "rotation 90"
    assert words(("ssl_rotation_90", "jigsaw")) == "rotation 90 + jigsaw"
    assert words(None) == "not known"
