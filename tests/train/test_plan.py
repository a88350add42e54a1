"""Plans: measured where base and images are at hand, assumed and said where they are not; no torch, no network."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import write_folder
from recipe_of import TINY, recipe_of
from rich.console import Console

from ssl4rl_bench.cli.train_plan import print_training_plan
from ssl4rl_bench.core.errors import DataError, ModelError, UsageError
from ssl4rl_bench.train.planning import prompt_sizes
from ssl4rl_bench.train.planning.plan import TrainingPlan, plan_training
from ssl4rl_bench.train.planning.prompt_sizes import smart_resize, tokens_of


def shown(found: TrainingPlan, width: int = 110) -> str:
    out = io.StringIO()
    print_training_plan(Console(file=out, width=width, highlight=False), found)
    return out.getvalue()


@pytest.mark.slow
def test_everything_at_hand_is_measured() -> None:
    found = plan_training(recipe_of(base="tiny-base", images="scenes:train:20", max_prompt_tokens=256))
    assert found.assumed == ()
    assert found.images == 300 and found.prompts_an_epoch == 300
    assert found.shape is not None and found.shape.total == found.trainable == 3_506_304
    # Two pictures, each at most 112 x 112 pixels: 16 tokens of 28 x 28 at most.
    assert found.prompts.pictures == 2 and 0 < (found.prompts.image_tokens or 0) <= 32
    assert found.prompts.longest is not None and found.prompts.longest <= 256
    assert found.prompts.over_long == 0
    assert (found.steps, found.updates) == (10, 10)
    assert found.epochs == pytest.approx(640 / 300)
    assert found.tokens_read == pytest.approx(256 * (found.prompts.tokens or 0))
    assert found.tokens_written == 256 * 2048
    assert found.pictures == 128


def test_a_prompt_is_as_long_as_transformers_makes_it() -> None:
    """Against the rendered chat, tokenized, with each picture's mark replaced by its tokens."""
    from tokenizers import Tokenizer

    from ssl4rl_bench.train.data import training_tasks

    count = prompt_sizes.text_counter(TINY)
    assert count is not None
    (a,) = training_tasks({"ssl_rotation_90": 1}, "ssl4rl")
    chat = (
        "<|im_start|>user\n"
        + 2 * "<|vision_start|><|image_pad|><|vision_end|>"
        + f"{a.prompt}<|im_end|>\n<|im_start|>assistant\n"
    )
    tokenizer = Tokenizer.from_file(str(TINY / "tokenizer.json"))
    assert count(a.prompt, 2) == len(tokenizer.encode(chat).ids) - 2


def test_a_folder_of_images_is_counted(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", 7)
    found = plan_training(recipe_of(base="tiny-base", images=str(tmp_path / "photos"), max_prompt_tokens=256))
    assert found.images == 7 and found.prompts.measured == 7 and found.assumed == ()
    limited = plan_training(recipe_of(base="tiny-base", images=str(tmp_path / "photos"), limit=3))
    assert limited.images == 3


@pytest.mark.slow
def test_epochs_are_counted_as_the_trainer_counts_them(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", 10)
    how: dict[str, Any] = {"base": "tiny-base", "images": str(tmp_path / "photos"), "prompts": 8}
    assert plan_training(recipe_of(**how, steps=None, epochs=4)).steps == 5
    assert plan_training(recipe_of(**how, steps=3, epochs=4)).steps == 3
    pairs = plan_training(recipe_of(**how, steps=None, epochs=4, tasks={"ssl_contrastive_weak": 1.0}))
    assert (pairs.prompts_an_epoch, pairs.steps) == (20, 10)
    with pytest.raises(DataError, match="less than one step of 8"):
        plan_training(recipe_of(**how, steps=None, epochs=0.5))


@pytest.mark.slow
def test_nothing_at_hand_is_assumed_and_said() -> None:
    found = plan_training(recipe_of(images="somebody/photos", steps=None, epochs=2))
    assert found.images is found.steps is found.updates is found.epochs is None
    assert found.shape is not None and found.memory is not None
    assert found.prompt_tokens == 1024 and found.prompts.pictures == 2
    said = " ".join(found.assumed)
    for words in (
        "published shape",
        "somebody/photos",
        "max_prompt_tokens = 1024",
        "number of steps",
        "images only",
    ):
        assert words in said
    unknown = plan_training(recipe_of(base="somebody/other-vl"))
    assert unknown.shape is unknown.memory is unknown.trainable is None
    assert "memory was not estimated" in unknown.assumed[0]
    assert "not known" in shown(unknown) and "GiB" not in shown(unknown)


def test_images_are_measured_without_the_base() -> None:
    found = plan_training(recipe_of(images="scenes"))
    assert found.images == 600 and found.prompts.measured == 60
    assert found.prompts.tokens is None and found.prompts.image_tokens
    assert any("has no tokenizer" in sentence for sentence in found.assumed)


@pytest.mark.slow
def test_prompts_that_are_too_long_are_left_out_and_counted(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", 3, size=(640, 480))
    write_folder(tmp_path / "photos" / "small", 5, size=(112, 112))
    how: dict[str, Any] = {
        "base": "tiny-base",
        "images": str(tmp_path / "photos"),
        "max_pixels": 313600,
        "max_prompt_tokens": 400,
        "over_long": "drop",
        "steps": None,
        "epochs": 8,
    }
    plan = plan_training(recipe_of(**how, prompts=4))
    sizes = plan.prompts
    assert (sizes.measured, sizes.over_long, sizes.usable) == (8, 3, 5 / 8)
    assert sizes.longest is not None and sizes.longest_of_all is not None
    assert sizes.longest < 400 < sizes.longest_of_all
    assert (plan.images, plan.prompts_an_epoch, plan.steps) == (8, 5, 10)
    assert plan.lengths.prompt == sizes.longest and plan.lengths.images == sizes.image_tokens
    text = shown(plan, width=400)
    assert "3 of 8 sampled prompts (38%)" in text and 'over_long = "drop" leaves their images out' in text
    refused = plan_training(recipe_of(**{**how, "over_long": "refuse"}, prompts=4))
    assert "would stop the run" in shown(refused, width=400)


def test_a_plan_without_a_short_prompt_is_still_shown() -> None:
    plan = plan_training(recipe_of(base="tiny-base", images="scenes", max_prompt_tokens=64, over_long="drop"))
    assert plan.prompts.over_long == plan.prompts.measured and plan.prompts.usable == 0
    assert 'over_long = "drop"' in shown(plan, width=400)


@pytest.mark.slow
def test_pixel_limits_shorten_prompts(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", 4, size=(640, 480))
    how: dict[str, Any] = {"base": "tiny-base", "images": str(tmp_path / "photos")}
    tokens = [
        plan_training(recipe_of(**how, max_pixels=n)).prompts.image_tokens for n in (12544, 50176, 200704)
    ]
    assert tokens == sorted(tokens) and tokens[0] < tokens[-1]  # type: ignore[operator, type-var]


def test_processes_instead_of_the_recipes() -> None:
    found = plan_training(recipe_of(sharding="fsdp2", processes=4))
    assert found.sizes.processes == found.recipe.hardware.processes == 4
    with pytest.raises(UsageError, match="cannot be divided evenly"):
        plan_training(recipe_of(processes=7))


@pytest.mark.parametrize("base", ["nowhere", "../x/y", "a/b/c"])
def test_a_base_that_is_none(base: str) -> None:
    with pytest.raises(ModelError, match="no model"):
        plan_training(recipe_of(base=base))


@pytest.mark.parametrize("images", ["nowhere", "gone.tsv", "scenes:train:0"])
def test_images_that_are_none(images: str) -> None:
    with pytest.raises(UsageError, match=r"There (is no task|are no images)"):
        plan_training(recipe_of(images=images))


def test_images_on_the_hub_are_not_asked_for_at_any_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a plan opened images that are not on this machine")

    monkeypatch.setattr(prompt_sizes, "open_source", asked)
    for images in ("somebody/photos", "somebody/photos@main", "somebody/photos@refs/pr/1"):
        found = plan_training(recipe_of(images=images))
        assert found.images is None and images in " ".join(found.assumed)


@pytest.mark.parametrize(
    "images", ["./photos/gone", "../gone", "a/b/c", "somebody/_photos", "somebody/.photos"]
)
def test_a_path_that_is_not_there_is_no_hub_id(images: str) -> None:
    with pytest.raises(UsageError, match="There are no images"):
        plan_training(recipe_of(images=images))


def test_what_is_shown() -> None:
    text = shown(plan_training(recipe_of(micro_batch=8, kl=0.01)))
    for words in (
        "3,754,622,976",
        "reference model",
        "x 4 replies = 256",
        "learning_rate 1e-06",
        "does not fit",
    ):
        assert words in text
    assert all(len(line.rstrip()) <= 110 for line in text.splitlines())
    assert "fits" in shown(plan_training(recipe_of(sharding="fsdp2", max_reply_tokens=256, processes=8)))


def test_the_prompts_that_dynamic_sampling_may_draw_are_shown() -> None:
    text = shown(plan_training(recipe_of(dynamic=True, dynamic_rounds=3)))
    row = next(line for line in text.splitlines() if "prompts drawn per step" in line)
    assert f"{3 * 64:,}" in row and "at most, in 3 rounds" in row
    assert "prompts drawn" not in shown(plan_training(recipe_of()))


def test_hostile_names_are_printed_clean() -> None:
    found = plan_training(recipe_of(base="tiny-base", server="http://x/[bold]\x1b[31m"))
    assert "\x1b[31m" not in shown(found) and "[bold]" in shown(found, width=400)


@pytest.mark.slow
def test_a_dry_run_needs_no_torch() -> None:
    code = (
        "from ssl4rl_bench.train import recipe\nfrom ssl4rl_bench.train.planning.plan import plan_training\n"
        "plan_training(recipe.read_recipe(recipe.find_recipe('ssl4rl_3b_mix')))\n"
        "plan_training(recipe.read_recipe(recipe.find_recipe('lora_1gpu_3b')))\n"
        "import sys, json; print(json.dumps([m for m in ('torch', 'transformers', 'trl', 'datasets') "
        "if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.slow
def test_a_qwen3_has_its_shape_and_fewer_tokens_of_a_large_image(tmp_path: Path) -> None:
    """An image of 896 x 896 pixels has 1,024 tokens of 28 pixels square, and 784 of 32."""
    write_folder(tmp_path / "photos", 2, size=(896, 896))
    how: dict[str, Any] = {"images": str(tmp_path / "photos"), "tasks": {"ssl_position": 1.0}, "prompts": 2}
    how |= {"min_pixels": 3136, "max_prompt_tokens": 4096}
    plans = [
        plan_training(recipe_of(base=f"Qwen/{name}-Instruct", **how))
        for name in ("Qwen2.5-VL-3B", "Qwen3-VL-4B")
    ]
    assert [plan.shape.total for plan in plans if plan.shape] == [3_754_622_976, 4_437_815_808]
    old, new = (plan.prompts.image_tokens for plan in plans)
    assert old and new and 1.25 < old / new < 1.4
    assert all(plan.memory for plan in plans)


@given(st.integers(10, 4000), st.integers(10, 4000), st.integers(1, 20), st.sampled_from([28, 32]))
def test_resized_sides_are_whole_tokens_within_the_limits(
    width: int, height: int, times: int, side: int
) -> None:
    low, high = 4 * side**2, 64 * side**2 * times
    if max(width, height) > 200 * min(width, height):
        with pytest.raises(UsageError, match="too elongated"):
            smart_resize(width, height, low, high, side)
        return
    w, h = smart_resize(width, height, low, high, side)
    assert w % side == h % side == 0 and w > 0 and h > 0
    assert low <= w * h
    # A side is at least one token, even where that takes more pixels than allowed.
    assert w * h <= high or min(w, h) == side
    assert tokens_of(width, height, low, high, side) == w * h // side**2


@pytest.mark.parametrize(
    ("size", "tokens"), [((448, 448), 256), ((512, 384), 18 * 14), ((28, 28), 4), ((10000, 10000), 127 * 127)]
)
def test_tokens_of_known_sizes(size: tuple[int, int], tokens: int) -> None:
    """With the published limits; the last is scaled down to at most 12,845,056 pixels."""
    assert tokens_of(*size, *prompt_sizes.PIXELS["qwen2_5_vl"]) == tokens


@pytest.mark.parametrize(
    ("size", "tokens"), [((448, 448), 196), ((512, 384), 192), ((28, 28), 64), ((10000, 10000), 128 * 128)]
)
def test_tokens_of_known_sizes_in_qwen3(size: tuple[int, int], tokens: int) -> None:
    """With the published limits of 65,536 to 16,777,216 pixels."""
    assert tokens_of(*size, *prompt_sizes.PIXELS["qwen3_vl"], 32) == tokens
