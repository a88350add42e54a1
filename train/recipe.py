"""Reading and checking recipes: TOML files that fully describe a training run.

Every key is a field of one of the classes below; `docs/training.md` lists the names that TRL and verl use.
A *step* is one batch of rollouts, followed by `updates` optimizer updates, each on an equal share of the
rollouts. (A step in verl is the same; TRL's `global_step` counts updates.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from ssl4rl_bench.core.config import fill
from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.parsing import parse_toml
from ssl4rl_bench.train.replay.settings import ReplayPart, replay_rules


@dataclass(frozen=True)
class ModelPart:
    """`[model]`: the model to train."""

    base: str
    """Folder, bundled name, or hub id ("org/name", "org/name@revision")."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The dtype of the weights that the optimizer updates. bfloat16 halves the memory but has a precision of
    8 bits: at a learning rate of 1e-6, nearly every update of a full model is rounded away. It suits a base
    frozen under LoRA."""
    compute: Literal["bfloat16", "float32"] = "bfloat16"
    """The dtype of the matrix products (autocast)."""
    attention: Literal["flash_attention_2", "sdpa", "eager"] = "sdpa"
    gradient_checkpointing: bool = True
    """Recomputes activations in the backward pass, with a third more work and a fraction of the memory."""
    min_pixels: int | None = None
    """Pixels of an image after the processor has scaled it. None uses the processor's limits."""
    max_pixels: int | None = None
    freeze_vision: bool = False
    """Does not train the vision tower."""
    share_prompts: bool = True
    """Computes a prompt once for several of its replies, if attention is sdpa or eager, micro-batches hold
    complete groups, and this is estimated to cost less than a copy of the prompt for each reply."""


@dataclass(frozen=True)
class LoraPart:
    """`[lora]`: trains adapters instead of all weights. Without this table all weights are trained."""

    rank: int
    alpha: float
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """The modules with adapters, given by the ends of their names."""


@dataclass(frozen=True)
class DataPart:
    """`[data]`: the images, and the evaluation sets that they must not overlap."""

    images: str
    """The image source, as for `build --images`: folder, TSV, parquet, hub id, scenes:train, or the name of
    another task."""
    split: float | None = None
    """Share of the images to use, chosen by their content; the rest is reserved for tests. None uses all."""
    images_split: str = "train"
    """Split of a hub data set or parquet folder."""
    limit: int | None = None
    """The maximum number of images."""
    frozen: bool = False
    """True repeats the first epoch's samples, as SSL4RL's released files do; False makes new ones."""
    prompt: str = "ssl4rl"
    """Prompt style."""
    over_long: Literal["refuse", "drop"] = "refuse"
    """What to do if prompts are longer than `max_prompt_tokens`: stop before training, or leave their images
    out. They are counted in both cases."""
    audit: tuple[str, ...] = ()
    """Evaluation sets to compare the training images with: tasks, or "task=path or hub id"."""
    overlap: Literal["refuse", "drop"] = "refuse"
    """What to do with training images that are in an audited set, unless `transductive`."""
    transductive: bool = False
    """True trains on evaluation images on purpose, as SSL4RL does; the checkpoint and its card report it."""


@dataclass(frozen=True)
class RewardPart:
    """`[reward]`: how replies are rewarded (docs/rewards.md)."""

    scheme: Literal["exact", "per_position", "scaled", "released"] = "exact"
    format_weight: float = 0.0
    """Added for a reply that consists of one think part and one answer part only."""
    extractor: str = "default"
    shuffled: bool = False
    """Rewards the target of another sample. This is a control: the reward must not rise."""


@dataclass(frozen=True)
class GrpoPart:
    """`[grpo]`: the objective, and how many replies it is estimated from."""

    prompts: int
    """Prompts per step, over all processes."""
    group: int
    """Replies per prompt."""
    steps: int | None = None
    """Steps of the run. At least one of `steps` and `epochs` is required."""
    epochs: float | None = None
    """Passes over the images. If `steps` is given too, the run ends at whichever comes first."""
    updates: int = 1
    """Optimizer updates per pass over a step's replies, each on an equal share of them."""
    iterations: int = 1
    """Passes over a step's replies."""
    micro_batch: int = 8
    """Replies per forward pass of a process. Memory grows with it. Results do not depend on it, except with
    loss = "bnpo", which averages over each micro-batch."""
    dynamic: bool = False
    """Draws further prompts in place of groups whose replies all earn the same reward (DAPO)."""
    dynamic_rounds: int = 4
    """The maximum number of rounds in which a step draws prompts; groups with equal rewards then fill it up."""
    clip: float = 0.2
    """The probability ratio is clipped to 1 - clip and 1 + clip_high."""
    clip_high: float | None = None
    """None uses `clip`."""
    delta: float | None = None
    """Upper bound of the ratio for replies with a negative advantage (two-sided clipping); None: no bound."""
    kl: float = 0.0
    """Coefficient of the KL divergence from the base in the loss (k3 estimator)."""
    entropy: float = 0.0
    """Coefficient of the entropy bonus."""
    loss: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = "dapo"
    """How token losses are averaged. "dapo" averages over all tokens of an update ("token mean")."""
    scale: Literal["group", "batch", "none"] = "group"
    """What an advantage is divided by: the standard deviation of its group or of the step, or nothing."""
    mask_truncated: bool = False
    """Excludes truncated replies from the loss."""
    max_prompt_tokens: int = 1024
    max_reply_tokens: int = 2048
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


@dataclass(frozen=True)
class OptimizerPart:
    """`[optimizer]`: the optimizer and its learning rate schedule."""

    learning_rate: float
    name: Literal["adamw", "muon"] = "adamw"
    """`muon` uses Muon for weight matrices and AdamW for the rest, at the same rate (one process only)."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """The schedule after the warm-up; `linear` and `cosine` end at zero."""
    warmup: int = 0
    """Updates during which the learning rate rises from zero."""
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    """Maximum norm of the gradients; larger gradients are scaled down to it."""
    beta1: float = 0.9
    beta2: float = 0.999


@dataclass(frozen=True)
class RolloutPart:
    """`[rollout]`: the engine that generates the replies."""

    engine: Literal["transformers", "vllm_colocate", "vllm_server"] = "transformers"
    """`vllm_colocate` shares the training GPUs; `vllm_server` is a separate process (`trl vllm-serve`) at
    `server`."""
    gpu_memory: float = 0.3
    """Share of each GPU's memory that a colocated vLLM uses."""
    tensor_parallel: int = 1
    """GPUs that share one colocated vLLM engine."""
    sleep: bool = False
    """Frees a colocated vLLM's memory during the updates."""
    server: str = "http://127.0.0.1:8000"
    correct_mismatch: bool = True
    """Weights each reply by the ratio of the trainer's probability to vLLM's, and excludes replies with a
    ratio above 3 (TRL's "sequence_mask")."""


@dataclass(frozen=True)
class SavePart:
    """`[save]`: when checkpoints are saved."""

    every: int = 50
    """Steps between checkpoints."""
    keep: int = 3
    """Checkpoints that can be resumed; older ones keep their weights and lose the optimizer's state."""


@dataclass(frozen=True)
class LogPart:
    """`[log]`: when and where metrics are logged."""

    every: int = 1
    """Steps between logged lines."""
    to: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ("tensorboard",)
    """Loggers in addition to the terminal and `metrics.jsonl`, which are always written."""
    completions: int = 2
    """Replies shown in the terminal with each logged line."""


@dataclass(frozen=True)
class HardwarePart:
    """`[hardware]`: the intended hardware, for `--dry-run`. `accelerate launch` decides what a run uses."""

    processes: int = 1
    """Number of GPUs, or of processes on CPUs."""
    gpu_gib: float = 80.0
    sharding: Literal["none", "fsdp2", "zero3"] = "none"
    threads: int | None = None
    """CPU threads per process, used only without a GPU. None leaves the choice to torch."""


@dataclass(frozen=True)
class Recipe:
    """A recipe with all its tables."""

    name: str
    """The name of the run's folder, also shown in the model card."""
    model: ModelPart
    data: DataPart
    tasks: Mapping[str, float]
    """`[tasks]`: weights of the SSL tasks by name. A task is drawn in proportion to its weight."""
    grpo: GrpoPart
    optimizer: OptimizerPart
    lora: LoraPart | None = None
    replay: ReplayPart | None = None
    reward: RewardPart = field(default_factory=RewardPart)
    rollout: RolloutPart = field(default_factory=RolloutPart)
    save: SavePart = field(default_factory=SavePart)
    log: LogPart = field(default_factory=LogPart)
    hardware: HardwarePart = field(default_factory=HardwarePart)
    seed: int = 1

    def values(self) -> dict[str, Any]:
        """Returns every key with its value, including defaults, as JSON values."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}

    @property
    def sha256(self) -> str:
        """The SHA-256 of `values`."""
        return sha256_json(self.values())


def recipe_names() -> list[str]:
    """Returns the names of the recipes that come with the package, without the suffix."""
    return sorted(path.stem for path in _folder().glob("*.toml") if path.stem not in _SUPERVISED)


def find_recipe(name: str | Path) -> Path:
    """Returns the file of a recipe, given as a path or as the name of a bundled recipe.

    Raises:
        UsageError: there is no such recipe.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    bundled = _folder() / f"{path.stem}.toml"
    if path.name == str(name) and bundled.is_file():
        return bundled
    names = recipe_names()
    raise UsageError(
        f"there is no recipe {name}; bundled are {', '.join(names)}{did_you_mean(path.stem, names)}"
    )


def read_recipe(path: Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Reads and checks a recipe.

    Args:
        changes: values that replace those of the file, by "table.key".

    Raises:
        UsageError: invalid TOML; an unknown key (the message suggests the nearest); a value of the wrong
            type or out of range.
    """
    try:
        values = parse_toml(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a recipe: {error}") from None
    for key, value in (changes or {}).items():
        *tables, last = key.split(".")
        table = values
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = value
    recipe = fill(Recipe, values, path.name)
    _check(recipe, path.name)
    return recipe


_SUPERVISED = ("tiny_base", "tiny_base_forms")
"""Recipes of `train/tiny/sft.py`, which have different keys."""


def _folder() -> Path:
    return Path(str(resources.files("ssl4rl_bench.train"))) / "recipes"


def _check(recipe: Recipe, file: str) -> None:
    """Checks the rules that the types of the fields cannot express."""
    from ssl4rl_bench.task.extract import check_extractor
    from ssl4rl_bench.task.prompts import prompt_styles
    from ssl4rl_bench.task.registry import load_ssl

    g, data, opt = recipe.grpo, recipe.data, recipe.optimizer
    for name in recipe.tasks:
        load_ssl(name)
    check_extractor(recipe.reward.extractor)
    if data.prompt not in prompt_styles():
        raise UsageError(
            f"{file}: data.prompt = {data.prompt!r} is not one of {', '.join(prompt_styles())}"
            f"{did_you_mean(data.prompt, prompt_styles())}"
        )
    rules = [
        (bool(recipe.tasks), "[tasks] names no task: write ssl_rotation_90 = 1, for one"),
        (all(weight > 0 for weight in recipe.tasks.values()), "a weight in [tasks] is not above 0"),
        (g.steps is not None or g.epochs is not None, "give grpo.steps or grpo.epochs"),
        (g.steps is None or g.steps >= 1, "grpo.steps must be 1 or more"),
        (g.epochs is None or g.epochs > 0, "grpo.epochs must be above 0"),
        (g.group >= 2, "grpo.group must be 2 or more: an advantage is a difference within a group"),
        (
            min(g.prompts, g.updates, g.iterations, g.micro_batch, g.dynamic_rounds) >= 1,
            "numbers in [grpo] must be 1 or more",
        ),
        (min(g.max_prompt_tokens, g.max_reply_tokens) >= 1, "token limits must be 1 or more"),
        (g.temperature > 0, "grpo.temperature must be above 0"),
        (0 < g.top_p <= 1, "grpo.top_p must be above 0 and at most 1"),
        (min(g.clip, g.clip_high or g.clip) > 0, "grpo.clip and clip_high must be above 0"),
        (g.delta is None or g.delta > 1 + g.clip, "grpo.delta must be above 1 + grpo.clip"),
        (g.kl >= 0, "grpo.kl must not be negative"),
        (opt.learning_rate > 0, "optimizer.learning_rate must be above 0"),
        (opt.clip_norm > 0, "optimizer.clip_norm must be above 0"),
        (recipe.save.every >= 1 and recipe.save.keep >= 1, "save.every and save.keep must be 1 or more"),
        (recipe.log.every >= 1, "log.every must be 1 or more"),
        (recipe.hardware.processes >= 1, "hardware.processes must be 1 or more"),
        (0 < recipe.rollout.gpu_memory < 1, "rollout.gpu_memory must lie between 0 and 1"),
        (data.split is None or 0 < data.split < 1, "data.split must lie between 0 and 1"),
        (recipe.lora is None or recipe.lora.rank >= 1, "lora.rank must be 1 or more"),
        (not (recipe.lora and opt.name == "muon"), 'optimizer.name = "muon" needs full weights, not [lora]'),
        *(replay_rules(recipe.replay, g.prompts, g.updates, dynamic=g.dynamic) if recipe.replay else ()),
    ]
    for holds, complaint in rules:
        if not holds:
            raise UsageError(f"{file}: {complaint}")
