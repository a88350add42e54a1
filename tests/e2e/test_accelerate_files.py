"""accelerate reads the shipped configurations, and makes of them what their comments say."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine

FOLDER = Path(str(resources.files("ssl4rl_bench.train"))) / "recipes" / "accelerate"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accelerate_knows_every_key(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    config = load_config_from_file(str(path))
    known = vars(launch_command_parser().parse_args(["script.py"]))
    assert {*config.fsdp_config, *config.deepspeed_config} <= set(known)


@pytest.mark.parametrize("name", ["gpu8_fsdp2", "nodes2_fsdp2"])
def test_fsdp2(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from accelerate import FullyShardedDataParallelPlugin
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    command = ["--config_file", str(FOLDER / f"{name}.yaml"), "--main_process_ip", "127.0.0.1"]
    given = launch_command_parser().parse_args([*command, "--main_process_port", "29555", "script.py"])
    args, _, _ = _validate_launch_command(given)
    for key, value in prepare_multi_gpu_env(args).items():
        if key.startswith("FSDP"):
            monkeypatch.setenv(key, value)
    plugin = FullyShardedDataParallelPlugin()
    plugin.set_mixed_precision("bf16")
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    assert plugin.transformer_cls_names_to_wrap is None
    assert "FULL_STATE_DICT" in str(plugin.state_dict_type)
    assert not plugin.cpu_ram_efficient_loading and not plugin.activation_checkpointing
    assert plugin.mixed_precision_policy.param_dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("family", "layers"),
    [
        ("qwen2_5_vl", {"Qwen2_5_VLDecoderLayer", "Qwen2_5_VLVisionBlock"}),
        ("qwen3_vl", {"Qwen3VLTextDecoderLayer", "Qwen3VLVisionBlock"}),
    ],
)
def test_the_layers_to_wrap_are_the_models(family: str, layers: set[str], tmp_path: Path) -> None:
    """Without their names in the configuration, accelerate wraps these."""
    from tiny_model import build
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(build(tmp_path / "tiny", family=family))
    assert set(model._no_split_modules) == layers


def test_two_cpu_processes_find_each_other(tmp_path: Path) -> None:
    script = tmp_path / "who.py"
    script.write_text(
        "from accelerate import PartialState\nfrom pathlib import Path\nstate = PartialState(cpu=True)\n"
        f"Path(r'{tmp_path}', f'{{state.process_index}}').write_text(f'{{state.num_processes}} {{state.backend}}')\n"
    )
    subprocess.run(
        [
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            "--config_file",
            str(FOLDER / "cpu2.yaml"),
            str(script),
        ],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        check=True,
        timeout=300,
    )
    assert [(tmp_path / name).read_text() for name in ("0", "1")] == ["2 gloo", "2 gloo"]
