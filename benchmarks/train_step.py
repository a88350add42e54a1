"""Times one GRPO step by phase: making the data, rollouts, rewards, log-probabilities, the update.

    python benchmarks/train_step.py                       # the bundled tiny-base
    python benchmarks/train_step.py --shape 3b            # Qwen2.5-VL-3B's shape with random weights, on a GPU
    python benchmarks/train_step.py --set model.share_prompts=false --set grpo.group=16
    python benchmarks/train_step.py --list                # presets for one GPU, as commands
    python benchmarks/train_step.py --preset full         # one of them

Prints the seconds by phase (medians over the steps after the first two), the share of this project's work (data
and rewards, which should stay below 5%), and the model FLOP utilisation of the update. FLOPs are counted for
the tokens that the model sees: 6 per parameter and token (forward 2, backward 4) plus attention (Kaplan et al.
2020, arXiv 2001.08361, section 2.1); recomputed activations do not count. On a GPU, the peak is the
manufacturer's for bfloat16; on a CPU, it is the measured rate of a large matrix product.

On a GPU, it also prints the peak memory that torch allocated next to the estimate of `train --dry-run`, both without
the CUDA context and without vLLM's share.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.train.grpo import train_grpo
from ssl4rl_bench.train.planning.memory import CONTEXT_PART
from ssl4rl_bench.train.planning.memory_parts import ALWAYS, GIB, Memory
from ssl4rl_bench.train.planning.plan import plan_training
from ssl4rl_bench.train.planning.shapes import PUBLISHED, ModelShape, of_folder
from ssl4rl_bench.train.planning.sizes import shares_prompts, sizes
from ssl4rl_bench.train.recipe import Recipe, find_recipe, read_recipe

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
"""Peak FLOP/s of the SXM variants in dense bfloat16, from NVIDIA's data sheets."""
PHASES = ("data", "rollout", "reward", "logprobs", "update")
SHAPES = {"3b": "Qwen/Qwen2.5-VL-3B-Instruct", "7b": "Qwen/Qwen2.5-VL-7B-Instruct"}
_DRAWN = ("data.images=scenes", "data.audit=[]")
PRESETS = {
    "lora": (
        "lora_1gpu_3b",
        *_DRAWN,
        "grpo.prompts=32",
        "grpo.max_reply_tokens=128",
        "rollout.engine=transformers",
    ),
    "lora-long": (
        *("lora_1gpu_3b", *_DRAWN),
        *("grpo.prompts=64", "grpo.max_reply_tokens=512", "rollout.engine=transformers"),
    ),
    "lora-vllm": ("lora_1gpu_3b", *_DRAWN, "grpo.prompts=32", "grpo.max_reply_tokens=128"),
    "full": (
        *("ssl4rl_3b_rotation", *_DRAWN, "grpo.prompts=32", "grpo.updates=1"),
        *("grpo.max_reply_tokens=128", "rollout.engine=transformers"),
    ),
}
"""Runs of Qwen2.5-VL-3B's shape on one GPU: the recipe, and the keys that are changed. "full" trains all weights in
float32 and needs a GPU with more than 80 GB."""


def random_checkpoint(shape: ModelShape, folder: Path) -> Path:
    """Writes a checkpoint of this shape with random weights in bfloat16 and the tokenizer of tiny-base."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    tiny = resolve_model("tiny-base").path
    config = AutoConfig.from_pretrained(tiny)
    text, vision = config.text_config, config.vision_config
    half = shape.hidden_size // shape.num_attention_heads // 2
    text.update(
        {
            **shape.config()["text_config"],
            "tie_word_embeddings": shape.tie_word_embeddings,
            "layer_types": ["full_attention"] * shape.num_hidden_layers,
            "max_window_layers": shape.num_hidden_layers,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [half - 2 * (3 * half // 8), 3 * half // 8, 3 * half // 8],
            },
        }
    )
    config.tie_word_embeddings = shape.tie_word_embeddings
    vision.update(
        {**shape.config()["vision_config"], "fullatt_block_indexes": list(range(7, shape.vision.depth, 8))}
    )
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    processor = AutoProcessor.from_pretrained(tiny)
    processor.image_processor.size = {"shortest_edge": 3136, "longest_edge": 12845056}
    processor.save_pretrained(folder)
    return folder


def flops(
    shape: ModelShape, prompts: int, patches: float, prompt: float, reply: float, group: int, shared: bool
) -> float:
    """Returns the FLOPs of the forward and backward passes over an update's replies.

    Args:
        patches: patches of a prompt's images.
        prompt, reply: tokens per prompt and per reply.
    """
    parts = shape.parts()
    copies = 1 if shared else group
    tokens = copies * prompt + group * reply
    # The vision tower attends within windows; its attention is not counted.
    language = 6 * parts["layers"] * tokens + 6 * shape.embedding * group * reply
    lengths = prompt + group * reply / copies
    attention = 6 * shape.num_hidden_layers * shape.queries * copies * lengths**2
    return prompts * (language + attention + 6 * shape.seeing * patches * copies)


def peak(device: str) -> tuple[float, str]:
    """Returns the peak FLOP/s of a device and the source of the number."""
    import torch

    for name, value in PEAKS.items():
        if name in device:
            return value, "data sheet, bfloat16"
    a = torch.randn(2048, 2048, dtype=torch.bfloat16)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times), "a bfloat16 product of 2048 x 2048 here"


def command(preset: str) -> str:
    """Returns the command of a preset without `--preset`."""
    recipe, *changes = PRESETS[preset]
    sets = "".join(f" --set {change}" for change in changes)
    return f"python benchmarks/train_step.py --shape 3b --recipe {recipe}{sets}"


def parse() -> argparse.Namespace:
    """Reads the command line; a preset replaces the recipe and the shape, and adds changes before those given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default="tiny_rotation")
    parser.add_argument(
        "--shape", choices=SHAPES, help="random weights of this shape instead of the recipe's base"
    )
    parser.add_argument("--preset", choices=PRESETS, help="a run of the 3B shape on one GPU")
    parser.add_argument("--list", action="store_true", help="print the commands of the presets")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    if args.preset:
        args.shape = "3b"
        args.recipe, *changes = PRESETS[args.preset]
        args.changes = [*changes, *args.changes]
    return args


def compared_memory(memory: Memory, allocated: int, reserved: int) -> str:
    """Returns the peak memory that torch reports next to the estimate, by phase."""
    other = {CONTEXT_PART, "vLLM"}
    inside = Memory(tuple(part for part in memory.parts if part.name not in other))
    phases = ", ".join(f"{phase} {inside.during(phase) / GIB:.1f}" for phase in ALWAYS)
    return (
        f"  memory: {allocated / GIB:.1f} GiB allocated at most ({reserved / GIB:.1f} reserved), estimate "
        f"{inside.peak / GIB:.1f} ({phases}), ratio {inside.peak / allocated:.2f}"
    )


def main() -> None:
    """Trains, and prints the times and the memory of a step."""
    args = parse()
    if args.list:
        for preset in PRESETS:
            print(f"{preset}:\n    {command(preset)}")
        return
    import torch

    from ssl4rl_bench.cli.train import parse_changes

    gpu = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as scratch:
        settings: dict[str, Any] = {
            **{"log.every": 1, "log.to": [], "grpo.steps": args.steps},
            **{"hardware.processes": 1, "hardware.sharding": "none"},
        }
        if gpu:
            settings["hardware.gpu_gib"] = round(torch.cuda.get_device_properties(0).total_memory / GIB, 1)
        if args.shape:
            base = random_checkpoint(PUBLISHED[SHAPES[args.shape]], Path(scratch) / "base")
            settings |= {
                "model.base": str(base),
                "model.attention": "sdpa",
                "model.gradient_checkpointing": True,
            }
        recipe = read_recipe(find_recipe(args.recipe), settings | parse_changes(args.changes))
        memory = plan_training(recipe).memory
        if gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        out = Path(scratch) / "run"
        train_grpo(recipe, out)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()][2:]
        data = json.loads((out / "data.json").read_text())
        shape = of_folder(resolve_model(recipe.model.base).path)
    print_times(
        recipe, shape, data, lines, torch.cuda.get_device_name() if gpu else platform.processor() or "CPU"
    )
    if gpu and memory:
        print(compared_memory(memory, torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()))


def print_times(
    recipe: Recipe, shape: ModelShape, data: dict[str, Any], lines: list[dict[str, Any]], device: str
) -> None:
    """Prints the seconds by phase and the utilisation of the update.

    Args:
        data: the contents of the run's data.json.
        lines: the lines of the run's metrics, without the first steps.
    """
    spent = {phase: statistics.median(line.get(f"{phase}_s", 0.0) for line in lines) for phase in PHASES}
    total = sum(spent.values())
    parts = sizes(recipe, 1)
    print(f"{recipe.name}: {parts.prompts} prompts x {recipe.grpo.group} replies on {device}")
    for phase, seconds in spent.items():
        print(f"  {phase:<9}{seconds:9.3f} s  {seconds / total:6.1%}")
    print(f"  {'step':<9}{total:9.3f} s   {parts.replies / total:.1f} replies/s")
    print(f"  ours (data and reward): {(spent['data'] + spent['reward']) / total:.2%}")
    reply = statistics.median(line["reply_tokens"] for line in lines)
    work = flops(
        shape,
        parts.prompts,
        data["tokens"]["mean_of_images"] * shape.vision.spatial_merge_size**2,
        data["tokens"]["mean"],
        reply,
        recipe.grpo.group,
        shares_prompts(recipe, parts),
    )
    best, source = peak(device)
    print(
        f"  update: {work / spent['update'] / 1e12:.4f} TFLOP/s, {work / spent['update'] / best:.1%} of {source}"
    )


if __name__ == "__main__":
    main()
