"""Resuming: the recipe, the base and the data must be those of the last checkpoint, or the error names the change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.scheme import SCHEME
from ssl4rl_bench.engines.checkpoints.weights import Model
from ssl4rl_bench.train.grpo.continuity import require_same_base, require_same_data
from ssl4rl_bench.train.grpo.folder import open_folder, require_own_folder
from ssl4rl_bench.train.recipe import Recipe, find_recipe, read_recipe

MANIFEST = {
    "source": "photos",
    "seed": 1,
    "frozen": False,
    "shuffled": False,
    "tasks": {"ssl4rl_ssl_rotation_90": {"identity": "a", "weight": 1.0}},
    "prompts_sha256": "p",
    "images": ["i1", "i2", "i3"],
}


def facts(**changes: Any) -> dict[str, Any]:
    manifest = MANIFEST | changes
    return {"manifest_sha256": sha256_json(manifest), "manifest": manifest}


def checkpoint_of(out: Path, recipe: dict[str, Any] | None = None) -> Path:
    folder = out / "step-000001"
    folder.mkdir(parents=True)
    origin = {
        "schema": 1,
        "fingerprint_scheme": SCHEME,
        "base": {"name": "tiny-base", "fingerprint": "a" * 64},
        "data": {"manifest_sha256": facts()["manifest_sha256"]},
        "recipe": recipe or {},
    }
    (folder / "ssl4rl.json").write_text(json.dumps(origin))
    (out / "data.json").write_text(json.dumps(facts()))
    return folder


def test_the_same_data_and_base_are_accepted(tmp_path: Path) -> None:
    last = checkpoint_of(tmp_path)
    require_same_data(last, tmp_path / "data.json", facts())
    require_same_base(last, Model("tiny-base", tmp_path, "a" * 64, None))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": ["i1", "i3", "i4", "i5"]}, "2 images added and 1 removed"),
        ({"images": ["i2", "i1", "i3"]}, "the order of the images"),
        ({"seed": 2}, r"the seed \(1 before, 2 now\)"),
        (
            {"tasks": {"ssl4rl_ssl_rotation_90": {"identity": "b", "weight": 1.0}}},
            "the definition of ssl4rl_ssl_rotation_90",
        ),
        (
            {"tasks": {"ssl4rl_ssl_rotation_90": {"identity": "a", "weight": 2.0}}},
            "the weight of ssl4rl_ssl_rotation_90",
        ),
        ({"tasks": {}}, "ssl4rl_ssl_rotation_90 removed"),
        ({"prompts_sha256": "q"}, "the prompts of the tasks"),
        ({"source": "other", "frozen": True}, "the image source, data.frozen"),
    ],
)
def test_changed_data_are_refused_and_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    last = checkpoint_of(tmp_path)
    with pytest.raises(StoreError, match=rf"its data have changed \({said}\): restore them"):
        require_same_data(last, tmp_path / "data.json", facts(**changes))


def test_changed_data_are_refused_without_the_details_if_those_are_lost(tmp_path: Path) -> None:
    last = checkpoint_of(tmp_path)
    (tmp_path / "data.json").unlink()
    with pytest.raises(StoreError, match="the images, the tasks or the seed"):
        require_same_data(last, tmp_path / "data.json", facts(seed=2))


@pytest.mark.parametrize(
    ("recipe", "said"),
    [({}, "trained from another base"), ({"lora": {"rank": 4}}, "its adapter belongs to another base")],
)
def test_another_base_is_refused(tmp_path: Path, recipe: dict[str, Any], said: str) -> None:
    last = checkpoint_of(tmp_path, recipe)
    with pytest.raises(
        StoreError, match=rf"{said} \(tiny-base with fingerprint aaaaaaaaaaaa\).*bbbbbbbbbbbb"
    ):
        require_same_base(last, Model("tiny-base", tmp_path, "b" * 64, None))


def changed(**values: Any) -> Recipe:
    """A recipe with other values; "__" separates the table from the key."""
    return read_recipe(
        find_recipe("tiny_rotation"), {key.replace("__", "."): value for key, value in values.items()}
    )


def run_of(out: Path, recipe: Recipe) -> None:
    out.mkdir()
    (out / "recipe.json").write_text(json.dumps(recipe.values()))


def test_a_constant_schedule_may_be_lengthened(tmp_path: Path) -> None:
    run_of(tmp_path / "run", changed(grpo__steps=10, optimizer__schedule="constant"))
    open_folder(tmp_path / "run", changed(grpo__steps=20, optimizer__schedule="constant"), resume=True)
    with pytest.raises(StoreError, match=r"a longer run \(grpo.steps\): --max-steps"):
        open_folder(tmp_path / "run", changed(grpo__steps=5, optimizer__schedule="constant"), resume=True)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_other_schedules_may_not_be_lengthened(tmp_path: Path, schedule: str) -> None:
    run_of(tmp_path / "run", changed(grpo__steps=10, optimizer__schedule=schedule))
    with pytest.raises(StoreError, match=rf"its {schedule} schedule covers the whole run"):
        open_folder(tmp_path / "run", changed(grpo__steps=20, optimizer__schedule=schedule), resume=True)


def test_keys_that_only_change_the_method_may_change(tmp_path: Path) -> None:
    run_of(tmp_path / "run", changed())
    other = changed(
        model__share_prompts=False,
        model__attention="eager",
        grpo__micro_batch=4,
        save__every=7,
        rollout__engine="vllm_server",
    )
    open_folder(tmp_path / "run", other, resume=True)
    for key in ("optimizer__learning_rate", "grpo__kl", "grpo__temperature"):
        with pytest.raises(StoreError, match=rf"another recipe \({key.replace('__', '.')} differs"):
            open_folder(tmp_path / "run", changed(**{key: 0.123}), resume=True)
    with pytest.raises(StoreError, match=r"rollout.correct_mismatch"):
        open_folder(tmp_path / "run", changed(rollout__correct_mismatch=False), resume=True)


def test_keys_that_came_after_a_run_began_have_their_defaults_in_it(tmp_path: Path) -> None:
    """A run of an older version is resumed with its recipe."""
    run_of(tmp_path / "run", changed())
    path = tmp_path / "run" / "recipe.json"
    values = json.loads(path.read_text())
    for key in ("dynamic", "dynamic_rounds"):
        del values["grpo"][key]
    path.write_text(json.dumps(values))
    open_folder(tmp_path / "run", changed(), resume=True)
    with pytest.raises(StoreError, match=r"another recipe \(grpo.dynamic differs\)"):
        open_folder(tmp_path / "run", changed(grpo__dynamic=True), resume=True)
    values["grpo"]["unknown"] = 1
    path.write_text(json.dumps(values))
    with pytest.raises(StoreError, match=r"grpo.unknown"):
        open_folder(tmp_path / "run", changed(), resume=True)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    require_own_folder(tmp_path / "missing")
    (tmp_path / ".lock").write_text("")
    require_own_folder(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="contains no run"):
        require_own_folder(tmp_path)
