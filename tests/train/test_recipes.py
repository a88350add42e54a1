"""The bundled recipes: all parse, come out even and can be planned; no misspelt key passes."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.train import recipe as recipes
from ssl4rl_bench.train.planning.memory import GIB
from ssl4rl_bench.train.planning.plan import plan_training
from ssl4rl_bench.train.planning.sizes import sizes
from ssl4rl_bench.train.recipe import Recipe

PUBLISHED = ("rotation", "jigsaw", "contrastive", "position")


def read(name: str, **changes: Any) -> Recipe:
    return recipes.read_recipe(
        recipes.find_recipe(name), {key.replace("__", "."): value for key, value in changes.items()}
    )


def test_the_recipes_that_were_promised_are_there() -> None:
    wanted = {f"ssl4rl_3b_{task}" for task in (*PUBLISHED, "mix")} | {"ssl4rl_7b_rotation", "lora_1gpu_3b"}
    assert wanted <= set(recipes.recipe_names())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name.startswith("tiny") else [pytest.mark.slow])
        for name in recipes.recipe_names()
    ],
)
@pytest.mark.slow
def test_each_recipe_is_planned_and_fits(name: str) -> None:
    made = read(name)
    assert made.name == name.replace("_", "-")
    step = sizes(made, made.hardware.processes)
    assert step.processes * step.micro_batch * step.accumulate * step.updates == step.replies
    found = plan_training(made)
    assert found.sizes == step
    assert found.updates == (found.steps or 0) * step.updates_a_step > 0
    assert found.memory is not None
    assert found.memory.peak < 0.9 * made.hardware.gpu_gib * GIB


@pytest.mark.parametrize("task", PUBLISHED)
def test_published_settings(task: str) -> None:
    """Each number of SSL4RL's released runs, the same for all four tasks."""
    made = read(f"ssl4rl_3b_{task}")
    g, opt = made.grpo, made.optimizer
    assert made.model.base == "Qwen/Qwen2.5-VL-3B-Instruct" and not made.model.freeze_vision
    assert made.lora is None and made.hardware.processes == 8
    assert (opt.learning_rate, opt.schedule, opt.warmup) == (1e-6, "constant", 0)
    assert (opt.weight_decay, opt.clip_norm) == (0.01, 1.0)
    assert (g.prompts, g.group, g.updates, g.iterations) == (512, 5, 4, 1)
    assert (g.clip, g.clip_high, g.kl, g.entropy) == (0.2, None, 0.01, 0.0)
    assert (g.loss, g.scale) == ("dapo", "group")
    assert (g.max_prompt_tokens, g.max_reply_tokens) == (1024, 2048)
    assert (g.temperature, g.top_p, g.top_k) == (1.0, 1.0, 0)
    assert (g.steps, g.epochs, made.save.every) == (300, None, 50)
    assert made.rollout.engine == "vllm_colocate"
    assert made.reward.scheme == ("per_position" if task == "jigsaw" else "exact")
    assert made.reward.format_weight == 0
    assert made.data.transductive and made.data.audit == ("mmbench_dev_en",)
    assert list(made.tasks) == [
        {
            "rotation": "ssl_rotation_90",
            "jigsaw": "ssl_jigsaw_2x2",
            "contrastive": "ssl_contrastive_weak",
            "position": "ssl_position",
        }[task]
    ]


def test_the_released_rewards_named_in_comments_exist() -> None:
    from ssl4rl_bench.task.registry import load_ssl

    for task in PUBLISHED:
        text = recipes.find_recipe(f"ssl4rl_3b_{task}").read_text()
        named = re.search(r'scheme = "released", and under \[tasks\] (\w+) = 1', text)
        assert named is not None
        assert "released" in load_ssl(named[1])[1].identity
        read(f"ssl4rl_3b_{task}", reward__scheme="released", tasks={named[1]: 1})


def test_the_mix_asks_about_all_tasks_equally_often() -> None:
    from ssl4rl_bench.train.data import training_tasks

    made = read("ssl4rl_3b_mix")
    shares = [a.weight * len(a.roles) for a in training_tasks(made.tasks, made.data.prompt)]
    assert len(shares) == 4 and len(set(shares)) == 1
    one = read("ssl4rl_3b_rotation")
    assert (made.grpo, made.optimizer, made.rollout) == (one.grpo, one.optimizer, one.rollout)


@pytest.mark.slow
def test_figures_in_comments_are_the_estimates() -> None:
    for name in recipes.recipe_names():
        text = recipes.find_recipe(name).read_text()
        for said in re.findall(r"estimated peak of a GPU: (\d+) GiB|# +Peak (\d+) GiB", text):
            found = plan_training(read(name)).memory
            assert found is not None
            assert f"{found.peak / GIB:.0f}" == "".join(said), name
    found = plan_training(read("lora_1gpu_3b")).memory
    assert found is not None
    of = {part.name: part.bytes / GIB for part in found.parts}
    text = recipes.find_recipe("lora_1gpu_3b").read_text()
    adapters = of["weights, adapters"] + of["optimizer"] + of["autocast copies"]
    for words, n in (
        ("base in bfloat16 {} GiB", of["weights, frozen"]),
        ("adapters with optimizer and copies {},", adapters),
        ("a step's images {},", of["a step's images"]),
        ("vLLM {};", of["vLLM"]),
        ("activations {},", of["activations"]),
        ("log-probabilities {} and", of["log-probabilities"]),
        ("the adapters' gradients {}.\n", of["gradients"]),
    ):
        assert words.format(f"{n:.1f}") in text


def tables() -> list[tuple[str, type]]:
    """Dotted names of a recipe's tables, "" for the top one, with their classes."""
    hints = {f.name: f.type for f in dataclasses.fields(Recipe)}
    found: list[tuple[str, type]] = [("", Recipe)]
    for name, hint in hints.items():
        cls = getattr(recipes, str(hint).split(" ")[0], None)
        if dataclasses.is_dataclass(cls):
            found.append((name, cls))  # type: ignore[arg-type]
    return found


def test_the_guide_has_every_key() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    rows = {
        key for line in guide.splitlines() if line.startswith("| ") for key in re.findall(r"`(\w+)`", line)
    }
    assert {field.name for table, cls in tables() if table for field in dataclasses.fields(cls)} <= rows
    assert all(f"**`[{table}]`**" in guide for table, _ in tables() if table)


@pytest.mark.parametrize(("table", "cls"), tables())
def test_an_unknown_key_names_the_nearest(table: str, cls: type, tmp_path: Path) -> None:
    assert len(tables()) == 12
    for field in dataclasses.fields(cls):
        wrong = f"{field.name}x"
        where = f"{table}.{wrong}" if table else wrong
        with pytest.raises(UsageError) as caught:
            recipes.read_recipe(recipes.find_recipe("lora_1gpu_3b"), {where: 1})
        assert f"unknown key {where}" in str(caught.value)
        assert f"did you mean {field.name}?" in str(caught.value)


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean ssl4rl_ssl_rotation_90"):
        read("ssl4rl_3b_rotation", tasks__ssl_rotation_9=1)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean ssl4rl_3b_jigsaw"):
        recipes.find_recipe("ssl4rl_3b_jigsav")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"grpo__micro_batch": 7}, "5, 8, 10, 4|4, 5, 8, 10"),
        ({"grpo__updates": 3}, "choose prompts as a multiple of 24"),
        ({"hardware__processes": 7}, "cannot be divided evenly"),
    ],
)
def test_sizes_that_are_not_even(changes: dict[str, Any], complaint: str) -> None:
    made = read("ssl4rl_3b_rotation", **changes)
    with pytest.raises(UsageError, match=complaint):
        sizes(made, made.hardware.processes)


@pytest.mark.parametrize("processes", [1, 2, 4, 8, 16])
def test_the_published_step_falls_on_any_usual_number_of_gpus(processes: int) -> None:
    step = sizes(read("ssl4rl_3b_rotation"), processes)
    assert step.micro_batch * step.accumulate * processes == 640
