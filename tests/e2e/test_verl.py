"""The route with verl, where verl is installed: its configuration, its data set and its loading of rewards.

Nothing is trained, which would need a GPU.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytestmark = pytest.mark.engine

verl = pytest.importorskip("verl")
pytest.importorskip("hydra")

from train_recipe import pictures  # noqa: E402

from ssl4rl_bench.cli import app  # noqa: E402
from ssl4rl_bench.engines.checkpoints.weights import resolve_model  # noqa: E402

SCRIPT = Path(__file__).parents[2] / "train" / "recipes" / "verl" / "grpo_3b.sh"
N_IMAGES = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verl")
    images = pictures(folder / "pictures", N_IMAGES)
    args = [
        "build",
        "ssl_rotation_90",
        "--images",
        str(images),
        "--format",
        "verl",
        "--out",
        str(folder / "data"),
    ]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    return folder / "data"


@pytest.fixture(scope="module")
def config(data: Path) -> Any:
    """verl's configuration with the script's arguments."""
    from hydra import compose, initialize_config_dir

    fake = data.parent / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nfor each in "$@"; do printf "%s\\n" "$each"; done\n')
    fake.chmod(0o755)
    done = subprocess.run(
        ["bash", str(SCRIPT), str(data), str(data.parent / "out"), "trainer.total_training_steps=7"],
        env={**os.environ, "PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    module, name, *overrides = done.stdout.splitlines()
    assert (module, name) == ("-m", "verl.trainer.main_ppo")
    folder = Path(verl.__file__).parent / "trainer" / "config"
    with initialize_config_dir(str(folder), version_base=None):
        return compose("ppo_trainer", overrides=overrides)


def test_the_published_settings_reach_verl(config: Any) -> None:
    actor = config.actor_rollout_ref.actor
    assert (config.data.train_batch_size, actor.ppo_mini_batch_size, config.actor_rollout_ref.rollout.n) == (
        512,
        128,
        5,
    )
    assert (actor.optim.lr, actor.kl_loss_coef, actor.clip_ratio, actor.loss_agg_mode) == (
        1e-6,
        0.01,
        0.2,
        "token-mean",
    )
    assert config.trainer.total_training_steps == 7


def test_verl_reads_the_data_with_a_processor(config: Any, data: Path) -> None:
    from transformers import AutoProcessor
    from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

    processor = AutoProcessor.from_pretrained(resolve_model("tiny-base").path)
    rows = RLHFDataset(config.data.train_files, processor.tokenizer, config.data, processor=processor)
    assert len(rows) == N_IMAGES
    row = rows[0]
    assert row["data_source"] and row["reward_model"]["ground_truth"]
    batch = collate_fn([rows[n] for n in range(len(rows))])
    assert len(batch["reward_model"]) == N_IMAGES
    if "input_ids" in row:  # until verl 0.6; later versions tokenize where replies are generated
        merged = processor.image_processor.merge_size**2
        patches = sum(int(grid.prod()) for grid in row["multi_modal_inputs"]["image_grid_thw"])
        assert int((row["input_ids"] == processor.image_token_id).sum()) == patches // merged > 0
    else:
        content = row["raw_prompt"][-1]["content"]
        assert [part["type"] for part in content].count("image") == 2


def test_verl_calls_the_reward(config: Any, data: Path) -> None:
    import pandas as pd
    from verl.trainer.ppo import reward

    try:
        from verl.experimental.reward_loop import migrate_legacy_reward_impl
    except ImportError:
        migrated = config
    else:
        migrated = migrate_legacy_reward_impl(config)
    score = reward.get_custom_reward_fn(migrated)
    row = pd.read_parquet(data / "data.parquet").iloc[0]
    truth = row["reward_model"]["ground_truth"]
    for reply, expected in ((f"<think>x</think><answer>{truth}</answer>", 1.0), ("<answer>12</answer>", 0.0)):
        found = score(
            data_source=row["data_source"],
            solution_str=reply,
            ground_truth=truth,
            extra_info=row["extra_info"],
        )
        assert (found["score"] if isinstance(found, dict) else found) == expected
