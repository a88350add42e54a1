"""Trains a small Qwen2.5-VL from scratch on the scenes' train stream.

    python -m ssl4rl_bench.train.sft train/recipes/tiny_base.toml --out checkpoints/tiny-base

Resumes from the last saved step when run again with the same recipe and folder.
"""

from __future__ import annotations

import argparse
import json
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl4rl_bench.hashing import sha256_json
from ssl4rl_bench.train.from_config import build_model, build_processor, build_tokenizer
from ssl4rl_bench.train.scenes_sft import Pool, Schedule, both_times, make_pool, pixel_values

IGNORED = -100
"""The label of a token that bears no loss."""


class Collator:
    """Numbers of examples to a padded batch; the loss is on the reply alone."""

    def __init__(self, processor: Any, pool: Pool, pixels: Any, schedule: Schedule) -> None:
        self.pool, self.pixels, self.schedule = pool, pixels, schedule
        self.tokenizer = processor.tokenizer
        self.grid = [1, *[round(pixels.shape[1] ** 0.5)] * 2]
        self.n_image_tokens = pixels.shape[1] // processor.image_processor.merge_size**2
        self.image_token = self.tokenizer.convert_tokens_to_ids("<|image_pad|>")
        self.letters = {self.tokenizer(f" {letter}")["input_ids"][-1] for letter in "ABCD"}

    def __call__(self, numbers: list[int]) -> dict[str, Any]:
        import torch

        examples = [self.schedule.example(i, self.pool) for i in numbers]
        prompts = [self.prompt_ids(e.prompt, e.picture is not None) for e in examples]
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
        pictures = [e.picture for e in examples if e.picture is not None]
        if pictures:
            batch["pixel_values"] = both_times(self.pixels[pictures])
            batch["image_grid_thw"] = torch.tensor([self.grid] * len(pictures))
        return batch

    def prompt_ids(self, text: str, picture: bool) -> list[int]:
        content = [{"type": "image"}] * picture + [{"type": "text", "text": text}]
        chat = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        ids = self.tokenizer(chat.replace("<|image_pad|>", "<|image_pad|>" * self.n_image_tokens))
        return list(ids["input_ids"])


def tokenizer_corpus(pool: Pool, schedule: Schedule) -> list[str]:
    start = (schedule.drill_steps + schedule.describe_steps) * schedule.batch_size
    examples = [schedule.example(start + i, pool) for i in range(8000)]
    return [text for e in examples for text in (e.prompt, e.reply)]


def train(recipe: Mapping[str, Any], out: Path) -> Path:
    """Trains by the recipe and saves the checkpoint in `out`; returns `out`.

    Raises:
        KeyError: where the recipe lacks a key.
    """
    from transformers import Trainer, TrainingArguments
    from transformers.utils.logging import disable_progress_bar

    from ssl4rl_bench.train.muon import MuonAdamW

    disable_progress_bar()
    knobs, data = recipe["train"], recipe["data"]
    batch = knobs["batch_size"]
    schedule = Schedule(
        seed=recipe["seed"],
        batch_size=batch,
        drill_steps=data["drill_steps"],
        describe_steps=data["describe_steps"],
        drill_share=data["drill_share"],
        describe_share=data["describe_share"],
        styles=tuple(data["styles"]),
    )
    started = time.time()
    pool = make_pool(data["per_leaf"])
    tokenizer = build_tokenizer(tokenizer_corpus(pool, schedule), recipe["tokenizer"]["vocab_size"])
    processor = build_processor(tokenizer, **recipe["processor"])
    pixels = pixel_values(processor, [q.drawn.image for q in pool.questions])
    model = build_model(tokenizer, recipe["text"], recipe["vision"], recipe["seed"])
    model.set_attn_implementation("eager")  # on a CPU its backward pass is three times as fast as sdpa's
    print(
        f"{sum(p.numel() for p in model.parameters()):,} parameters, vocabulary {len(tokenizer)}, "
        f"{len(pool.questions):,} pictures in {time.time() - started:.0f} s",
        flush=True,
    )

    class InOrder(Trainer):  # type: ignore[misc]  # transformers is not typed
        def _get_train_sampler(self, *_: Any) -> Any:
            from torch.utils.data import SequentialSampler

            return SequentialSampler(self.train_dataset)

        def _load_from_checkpoint(self, path: str, model: Any = None) -> None:
            # The saved keys have the hub's names; only from_pretrained maps them back.
            self.model.load_state_dict(type(self.model).from_pretrained(path).state_dict())

    trainer = InOrder(
        model=model,
        args=TrainingArguments(
            output_dir=str(out / "state"),
            max_steps=knobs["steps"],
            per_device_train_batch_size=batch,
            lr_scheduler_type="warmup_stable_decay",
            lr_scheduler_kwargs={"num_decay_steps": knobs["decay_steps"]},
            warmup_steps=knobs["warmup_steps"],
            max_grad_norm=knobs["clip"],
            bf16=knobs["bf16"],
            save_steps=knobs["save_every"],
            save_total_limit=2,
            logging_steps=50,
            report_to=[],
            remove_unused_columns=False,
            seed=recipe["seed"],
            use_cpu=knobs.get("use_cpu", True),
            disable_tqdm=True,
        ),
        train_dataset=list(range(knobs["steps"] * batch)),
        data_collator=Collator(processor, pool, pixels, schedule),
        optimizers=(
            MuonAdamW(model.named_parameters(), knobs["learning_rate"], knobs["weight_decay"]),
            None,
        ),
    )
    resume = any((out / "state").glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=resume or None)
    save(trainer.model, processor, recipe, trainer.state.log_history, time.time() - started, out)
    return out


def save(
    model: Any,
    processor: Any,
    recipe: Mapping[str, Any],
    log: list[dict[str, Any]],
    seconds: float,
    out: Path,
) -> None:
    """A folder that transformers and vLLM load, with `ssl4rl.json` saying where it came from."""
    import torch
    import transformers

    model.to(torch.bfloat16).save_pretrained(out)
    processor.save_pretrained(out)
    origin = {
        "name": recipe["name"],
        "recipe": dict(recipe),
        "recipe_sha256": sha256_json(recipe),
        "seconds_of_last_start": round(seconds),
        "final_loss": next((e["loss"] for e in reversed(log) if "loss" in e), None),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    (out / "ssl4rl.json").write_text(json.dumps(origin, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    train(tomllib.loads(args.recipe.read_text()), args.out)


if __name__ == "__main__":
    main()
