"""Trains a small Qwen2.5-VL on the scenes' train stream, from scratch or from another checkpoint.

    python -m ssl4rl_bench.train.sft train/recipes/tiny_base.toml --out checkpoints/tiny-base-scenes

Resumes from the last saved step when run again with the same recipe and folder.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.config import fill
from ssl4rl_bench.core.exits import run_command
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.parsing import parse_toml
from ssl4rl_bench.core.scheme import SCHEME
from ssl4rl_bench.engines.checkpoints.origin import FILE, read_origin
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model
from ssl4rl_bench.engines.inputs import load_processor
from ssl4rl_bench.engines.loading import load_network
from ssl4rl_bench.train.checkpoint import save_processor
from ssl4rl_bench.train.tiny.from_config import build_model, build_processor, build_tokenizer
from ssl4rl_bench.train.tiny.pixels import Pixels, both_times, pixels_of
from ssl4rl_bench.train.tiny.scenes_sft import Example, ExamplePool, Schedule, make_pool
from ssl4rl_bench.train.tiny.ssl_sft import Forms, make_forms

IGNORED = -100
"""The label of a token that is excluded from the loss."""


@dataclass(frozen=True)
class Course:
    """The order of the examples: batches about scenes, and every n-th batch about forms if there are any."""

    schedule: Schedule
    pool: ExamplePool
    forms: Forms | None = None
    every: int = 0

    def example(self, i: int) -> Example:
        """Returns example `i`: of the SSL forms in every `every`-th batch, else of the schedule."""
        if self.forms is None:
            return self.schedule.example(i, self.pool)
        batch, index = divmod(i, self.schedule.batch_size)
        n_forms = batch // self.every
        if batch % self.every == self.every - 1:
            return self.forms.example(n_forms * self.schedule.batch_size + index)
        return self.schedule.example((batch - n_forms) * self.schedule.batch_size + index, self.pool)


class Collator:
    """Converts indices of examples to a padded batch, with a loss on the replies only."""

    def __init__(self, processor: Any, pixels: list[Pixels], course: Course) -> None:
        self.pixels, self.course = pixels, course
        self.tokenizer = processor.tokenizer
        self.merged = processor.image_processor.merge_size**2
        self.image_token = self.tokenizer.convert_tokens_to_ids("<|image_pad|>")
        self.letters = {self.tokenizer(f" {letter}")["input_ids"][-1] for letter in "ABCD"}

    def __call__(self, numbers: list[int]) -> dict[str, Any]:
        import torch

        examples = [self.course.example(i) for i in numbers]
        prompts = [self.prompt_ids(e) for e in examples]
        replies = [self.tokenizer(e.reply + "<|im_end|>")["input_ids"] for e in examples]
        width = max(len(p) + len(r) for p, r in zip(prompts, replies, strict=True))
        ids = torch.full((len(examples), width), self.tokenizer.pad_token_id)
        labels = torch.full_like(ids, IGNORED)
        mask = torch.zeros_like(ids)
        for row, (p, r) in enumerate(zip(prompts, replies, strict=True)):
            ids[row, : len(p) + len(r)] = torch.tensor(p + r)
            drilled = examples[row].letters_only
            learnt = [token if not drilled or token in self.letters else IGNORED for token in r]
            labels[row, len(p) : len(p) + len(r)] = torch.tensor(learnt)
            mask[row, : len(p) + len(r)] = 1
        batch = {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "mm_token_type_ids": (ids == self.image_token).int(),
        }
        shown = [self.pixels[picture] for e in examples for picture in e.pictures]
        if shown:
            batch["pixel_values"] = both_times(torch.cat([picture.values for picture in shown]))
            batch["image_grid_thw"] = torch.tensor([picture.grid for picture in shown])
        return batch

    def prompt_ids(self, example: Example) -> list[int]:
        """Returns the token ids of a prompt, with one image token per merged patch."""
        content = [*({"type": "image"} for _ in example.pictures), {"type": "text", "text": example.prompt}]
        chat = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        first, *rest = chat.split("<|image_pad|>")
        for picture, text in zip(example.pictures, rest, strict=True):
            first += "<|image_pad|>" * (len(self.pixels[picture].values) // self.merged) + text
        return list(self.tokenizer(first)["input_ids"])


def tokenizer_corpus(pool: ExamplePool, schedule: Schedule) -> list[str]:
    """Returns the texts from which the tokenizer learns its merges."""
    start = (schedule.drill_steps + schedule.describe_steps) * schedule.batch_size
    examples = [schedule.example(start + i, pool) for i in range(8000)]
    return [text for e in examples for text in (e.prompt, e.reply)]


def start_of(recipe: Mapping[str, Any], course: Course) -> tuple[Any, Any, Model | None]:
    """Returns the model in float32, its processor, and the recipe's `init` checkpoint (None without one)."""
    if "init" not in recipe:
        corpus = tokenizer_corpus(course.pool, course.schedule)
        tokenizer = build_tokenizer(corpus, recipe["tokenizer"]["vocab_size"])
        model = build_model(tokenizer, recipe["text"], recipe["vision"], recipe["seed"])
        return model, build_processor(tokenizer, **recipe["processor"]), None
    from transformers import Qwen2_5_VLForConditionalGeneration

    base = resolve_model(recipe["init"], chat=True)
    model = load_network(base.path, Qwen2_5_VLForConditionalGeneration).float()
    return model, load_processor(base.path), base


def train(recipe: Mapping[str, Any], out: Path) -> Path:
    """Trains as the recipe specifies, saves the checkpoint in `out`, and returns `out`.

    Raises:
        KeyError: the recipe lacks a key.
        ModelError: `init` is not a complete checkpoint.
        UsageError: the recipe names an unknown SSL task or an unknown key of `[data]`.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    started = time.time()
    course, pictures = make_course(recipe)
    model, processor, init = start_of(recipe, course)
    pixels = pixels_of(processor, pictures)
    model.set_attn_implementation("eager")  # on a CPU its backward pass is three times as fast as sdpa's
    print(
        f"{sum(p.numel() for p in model.parameters()):,} parameters, vocabulary {len(processor.tokenizer)}, "
        f"{len(pictures):,} pictures in {time.time() - started:.0f} s",
        flush=True,
    )
    trainer = make_sft_trainer(recipe, out / "state", model, Collator(processor, pixels, course))
    resume = any((out / "state").glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=resume or None)
    save(trainer.model, processor, recipe, init, trainer.state.log_history, time.time() - started, out)
    return out


def make_course(recipe: Mapping[str, Any]) -> tuple[Course, list[Any]]:
    """Returns the recipe's examples, and the list of pictures to which they refer by index.

    Raises:
        KeyError, UsageError: as for `train`.
    """
    batch, data, ssl = recipe["train"]["batch_size"], dict(recipe["data"]), recipe.get("ssl")
    pool = make_pool(data.pop("per_leaf"))
    data |= {"seed": recipe["seed"], "batch_size": batch}
    schedule = fill(Schedule, data, recipe["name"], "data")
    pictures = [q.drawn.image for q in pool.questions]
    if not ssl:
        return Course(schedule, pool), pictures
    forms, made = make_forms(
        ssl["tasks"],
        ssl["styles"],
        pool,
        per_task=ssl["per_task"],
        batch_size=batch,
        seed=recipe["seed"],
    )
    return Course(schedule, pool, forms, ssl["every"]), pictures + made


def make_sft_trainer(recipe: Mapping[str, Any], state: Path, model: Any, collator: Collator) -> Any:
    """Makes a transformers Trainer that uses the examples in order and saves its checkpoints in `state`."""
    from transformers import Trainer, TrainingArguments

    from ssl4rl_bench.train.muon import MuonAdamW

    knobs = recipe["train"]
    batch, n_batches = knobs["batch_size"], knobs.get("accumulate", 1)

    class Resumable(Trainer):  # type: ignore[misc]  # transformers is not typed
        def _load_from_checkpoint(self, path: str, model: Any = None) -> None:
            # The saved keys have the hub's names; only from_pretrained maps them back.
            self.model.load_state_dict(load_network(Path(path), type(self.model)).state_dict())

    return Resumable(
        model=model,
        args=TrainingArguments(
            output_dir=str(state),
            max_steps=knobs["steps"],
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=n_batches,
            lr_scheduler_type="warmup_stable_decay",
            lr_scheduler_kwargs={"num_decay_steps": knobs["decay_steps"]},
            warmup_steps=knobs["warmup_steps"],
            max_grad_norm=knobs["clip"],
            bf16=knobs["bf16"],
            save_steps=knobs["save_every"],
            save_total_limit=2,
            logging_steps=knobs.get("log_every", 50),
            report_to=[],
            remove_unused_columns=False,
            train_sampling_strategy="sequential",
            seed=recipe["seed"],
            use_cpu=knobs.get("use_cpu", True),
            disable_tqdm=True,
        ),
        train_dataset=list(range(knobs["steps"] * batch * n_batches)),
        data_collator=collator,
        optimizers=(
            MuonAdamW(model.named_parameters(), knobs["learning_rate"], knobs["weight_decay"]),
            None,
        ),
    )


def save(
    model: Any,
    processor: Any,
    recipe: Mapping[str, Any],
    init: Model | None,
    log: list[dict[str, Any]],
    seconds: float,
    out: Path,
) -> None:
    """Saves a folder that transformers and vLLM can load, with its provenance in `ssl4rl.json`."""
    import torch
    import transformers

    model.to(torch.bfloat16).save_pretrained(out)
    save_processor(processor, out)
    origin = {
        "name": recipe["name"],
        "recipe": dict(recipe),
        "recipe_sha256": sha256_json(recipe),
        "seconds_of_last_start": round(seconds),
        "final_loss": next((e["loss"] for e in reversed(log) if "loss" in e), None),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    if init:
        origin["fingerprint_scheme"] = SCHEME
        origin["init"] = {"fingerprint": init.fingerprint, "origin": read_origin(init.path) or None}
    (out / FILE).write_text(json.dumps(origin, indent=1) + "\n")


def main() -> None:
    """Trains a tiny model from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    train(parse_toml(args.recipe.read_bytes()), args.out)


if __name__ == "__main__":
    run_command(main)
