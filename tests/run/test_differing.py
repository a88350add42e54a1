"""The options that the refusal of a resume names, for each key of a spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from test_spec import SPEC, TASK

from ssl4rl_bench.run.differing import differing_options, with_other_options
from ssl4rl_bench.run.shards import Shard
from ssl4rl_bench.run.spec import TaskSpec

OTHER = TaskSpec.of(TASK)


def tasks(**changed: Any) -> Mapping[str, TaskSpec]:
    return {TASK.name: replace(OTHER, **changed)}


@pytest.mark.parametrize(
    ("changed", "options"),
    [
        ({"tasks": tasks(n_samples=1, data_sha256="1")}, ["--limit, --data or --skip-bad"]),
        ({"tasks": tasks(data_sha256="1")}, ["--data"]),
        ({"tasks": tasks(prompt="p")}, ["--prompt"]),
        ({"tasks": tasks(image="blank")}, ["--image"]),
        ({"tasks": tasks(version="2")}, []),
        (
            {"tasks": tasks(sampling=replace(OTHER.sampling, temperature=0.5, top_p=0.9))},
            ["--temperature", "--preset"],
        ),
        ({"tasks": {**tasks(), "ssl4rl_other": OTHER}}, ["--tasks"]),
        ({"fingerprint": "00", "repeats": 2, "seed": 1}, ["--model", "--repeats", "--seed"]),
        ({"engine": "vllm", "engine_version": "9"}, ["--engine"]),
        ({"engine_version": "9"}, []),
        ({"min_pixels": 1, "max_pixels": 2}, ["--set max_pixels", "--set min_pixels"]),
        ({"engine_options": {"dtype": "bfloat16"}}, ["--set dtype"]),
        ({"shard": Shard(1, 2)}, ["--shard"]),
    ],
)
def test_options_of_a_difference(changed: dict[str, Any], options: list[str]) -> None:
    spec = replace(SPEC, tasks=tasks())
    other = replace(spec, **changed)
    assert differing_options(other, spec) == differing_options(spec, other) == options
    assert with_other_options(spec, other) == (f", with another `{', '.join(options)}`" if options else "")


@pytest.mark.parametrize(("engine", "option"), [("mock", "--set mock"), ("replay", "--set replies")])
def test_an_engine_without_a_model_has_other_replies(engine: str, option: str) -> None:
    spec = replace(SPEC, engine=engine, engine_version="1")
    assert differing_options(replace(spec, engine_version="2"), spec) == [option]
