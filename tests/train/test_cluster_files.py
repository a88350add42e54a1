"""Files for launchers: accelerate configurations agree with the recipes; the scripts call what they should."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from ssl4rl_bench.train import recipe as recipes

FOLDER = Path(str(resources.files("ssl4rl_bench.train"))) / "recipes"
PROCESSES = {"gpu1": 1, "gpu2": 2, "gpu8": 8, "nodes2": 16, "cpu2": 2}


def configs() -> dict[str, dict[str, Any]]:
    return {
        path.stem: yaml.safe_load(path.read_text()) for path in sorted((FOLDER / "accelerate").glob("*.yaml"))
    }


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **more}


def test_accelerate_configurations() -> None:
    found = configs()
    assert set(found) == {
        *("cpu2", "gpu1", "gpu2", "gpu8_fsdp2", "gpu8_zero3", "nodes2_fsdp2", "nodes2_zero3"),
    }
    for name, config in found.items():
        assert config["num_processes"] == PROCESSES[name.split("_")[0]]
        assert config["num_machines"] == (2 if name.startswith("nodes2") else 1)
        if name.endswith("fsdp2"):
            assert config["distributed_type"] == "FSDP"
            assert config["fsdp_config"]["fsdp_version"] == 2
            # The classes of layers differ by family; accelerate takes those that the model names.
            assert "fsdp_transformer_layer_cls_to_wrap" not in config["fsdp_config"]
            # Checkpoints are whole models; the KL term's reference is loaded by every process.
            assert config["fsdp_config"]["fsdp_state_dict_type"] == "FULL_STATE_DICT"
            assert config["fsdp_config"]["fsdp_cpu_ram_efficient_loading"] is False
        if name.endswith("zero3"):
            assert config["deepspeed_config"]["zero_stage"] == 3
            assert config["deepspeed_config"]["zero3_save_16bit_model"] is True
    for name in recipes.recipe_names():
        hardware = recipes.read_recipe(recipes.find_recipe(name)).hardware
        if hardware.sharding != "none":
            assert f"gpu{hardware.processes}_{hardware.sharding}" in found


def test_recipes_name_launch_files_that_exist() -> None:
    for name in recipes.recipe_names():
        text = recipes.find_recipe(name).read_text()
        for file in re.findall(r"--config_file examples/(\S+)", text):
            assert (FOLDER / file).is_file()
        for named in re.findall(r"-m ssl4rl_bench train (\S+)", text):
            assert named == name


SBATCH = FOLDER / "slurm" / "train.sbatch"
SLURM = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_ID": "77", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "8"}


def slurm(folder: Path, accelerate: str) -> None:
    """Stand-ins for Slurm's commands and for accelerate."""
    fake(folder, "scontrol", 'if [ "$1" = show ]; then printf "n1\\nn2\\n"; else echo "scontrol $*"; fi')
    fake(folder, "srun", f'shift; echo $$ > "{folder}/pid"; SLURM_NODEID=1 exec "$@"')
    fake(folder, "scancel", f'echo "scancel $*"; kill -TERM "$(cat "{folder}/pid")"')
    fake(folder, "accelerate", f'printf "%s\\n" accelerate "$@"; {accelerate}')


def test_slurm_starts_accelerate_on_both_nodes_and_resumes(tmp_path: Path) -> None:
    slurm(tmp_path, "exit 3")
    done = subprocess.run(
        ["bash", str(SBATCH), "ssl4rl_3b_rotation", "runs/one two"],
        env=environment(tmp_path, **SLURM),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3, done.stderr
    words = done.stdout.splitlines()
    assert words[:2] == ["accelerate", "launch"]
    assert words[-7:] == [
        *("-m", "ssl4rl_bench", "train", "ssl4rl_3b_rotation", "--out", "runs/one two", "--resume"),
    ]
    options = dict(zip(words[2:-7:2], words[3:-7:2], strict=True))
    config = options.pop("--config_file")
    assert (FOLDER / config.removeprefix("examples/")).is_file() and config.endswith("nodes2_fsdp2.yaml")
    assert options.pop("--main_process_port").isdigit()
    assert options == {
        "--num_machines": "2",
        "--num_processes": "16",
        "--machine_rank": "1",
        "--main_process_ip": "n1",
    }


@pytest.mark.slow
def test_slurm_saves_and_requeues_when_time_is_up(tmp_path: Path) -> None:
    slurm(tmp_path, "trap 'echo saved; exit 1' TERM; echo ready; while true; do sleep 0.1; done")
    job = subprocess.Popen(
        ["bash", str(SBATCH), "r", "o"], env=environment(tmp_path, **SLURM), stdout=subprocess.PIPE, text=True
    )
    assert job.stdout is not None
    lines = []
    for line in job.stdout:
        lines.append(line.strip())
        if lines[-1] == "ready":
            time.sleep(0.2)
            job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=30) == 0
    assert lines[lines.index("ready") + 1 :] == ["scancel --signal=TERM 77", "saved", "scontrol requeue 77"]


@pytest.mark.parametrize("split", [False, True])
def test_verl_gets_the_published_settings(tmp_path: Path, split: bool) -> None:
    fake(tmp_path, "python3", 'printf "%s\\n" "$@"')
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train", "test") if split else ("data",):
        (data / f"{name}.parquet").touch()
    done = subprocess.run(
        [
            "bash",
            str(FOLDER / "verl" / "grpo_3b.sh"),
            str(data),
            "models/x",
            "trainer.total_training_steps=7",
        ],
        env=environment(tmp_path, SCHEME="per_position"),
        capture_output=True,
        text=True,
        check=True,
    )
    module, *pairs = done.stdout.splitlines()[1:]
    assert module == "verl.trainer.main_ppo"
    said = dict(pair.split("=", 1) for pair in pairs)
    assert said["trainer.total_training_steps"] == "7", "more arguments come last"
    assert said["data.train_files"] == str(data / ("train.parquet" if split else "data.parquet"))
    assert said["custom_reward_function.path"] == str(data / "reward.py")
    assert said["+custom_reward_function.reward_kwargs.scheme"] == "per_position"
    g = recipes.read_recipe(recipes.find_recipe("ssl4rl_3b_rotation")).grpo
    opt = recipes.read_recipe(recipes.find_recipe("ssl4rl_3b_rotation")).optimizer
    actor, rollout = "actor_rollout_ref.actor.", "actor_rollout_ref.rollout."
    numbers = {
        "data.train_batch_size": g.prompts,
        "data.max_prompt_length": g.max_prompt_tokens,
        "data.max_response_length": g.max_reply_tokens,
        f"{rollout}n": g.group,
        f"{rollout}temperature": g.temperature,
        f"{actor}ppo_mini_batch_size": g.prompts // g.updates,
        f"{actor}ppo_micro_batch_size_per_gpu": g.micro_batch,
        f"{actor}clip_ratio": g.clip,
        f"{actor}kl_loss_coef": g.kl,
        f"{actor}entropy_coeff": g.entropy,
        f"{actor}optim.lr": opt.learning_rate,
        f"{actor}optim.weight_decay": opt.weight_decay,
        f"{actor}grad_clip": opt.clip_norm,
        "trainer.save_freq": 50,
        "trainer.n_gpus_per_node": 8,
    }
    assert {key: float(said[key]) for key in numbers} == {key: float(n) for key, n in numbers.items()}
    assert said[f"{actor}kl_loss_type"] == "low_var_kl" and said["algorithm.adv_estimator"] == "grpo"
