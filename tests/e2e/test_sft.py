"""The real trainer on a toy recipe: it saves what loads, and a resumed run is the same run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.task import scenes

pytestmark = pytest.mark.engine


def recipe() -> dict[str, Any]:
    text = (Path(scenes.__file__).parents[3] / "train" / "recipes" / "tiny_base.toml").read_text()
    out = tomllib.loads(text)
    out["text"].update(hidden_size=48, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
    out["text"]["intermediate_size"] = 96
    out["vision"].update(hidden_size=32, depth=2, num_heads=2, intermediate_size=64)
    out["data"].update(per_leaf=3, drill_steps=2, describe_steps=1)
    out["train"].update(steps=6, batch_size=2, warmup_steps=1, decay_steps=2, save_every=3, bf16=False)
    return out


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_a_run_killed_after_a_save_resumes_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import Trainer

    from ssl4rl_bench.train.tiny.sft import train

    whole = weights(train(recipe(), tmp_path / "whole"))
    save = Trainer._save_checkpoint

    def save_and_die(self: Any, *args: Any, **kwargs: Any) -> None:
        save(self, *args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_save_checkpoint", save_and_die)
        train(recipe(), tmp_path / "parts")
    assert [path.name for path in (tmp_path / "parts" / "state").iterdir()] == ["checkpoint-3"]
    resumed = weights(train(recipe(), tmp_path / "parts"))
    assert whole.keys() == resumed.keys()
    assert all(torch.allclose(whole[name].float(), resumed[name].float(), atol=1e-3) for name in whole)
    assert json.loads((tmp_path / "whole" / "ssl4rl.json").read_text())["recipe"]["name"] == "tiny-base"
    assert resolve_model(str(tmp_path / "whole")).fingerprint


def forms_recipe(init: Path) -> dict[str, Any]:
    text = (Path(scenes.__file__).parents[3] / "train" / "recipes" / "tiny_base_forms.toml").read_text()
    out = tomllib.loads(text)
    out["init"] = str(init)
    out["data"].update(per_leaf=3)
    out["ssl"].update(per_task=1, tasks={"ssl_jigsaw_2x2": 1, "ssl_position": 1, "ssl_contrastive_weak": 1})
    out["train"].update(steps=2, batch_size=2, warmup_steps=1, decay_steps=1, bf16=False)
    return out


def test_a_second_stage_goes_on_from_a_checkpoint_and_says_so(tmp_path: Path) -> None:
    from ssl4rl_bench.train.tiny.sft import train

    first = train(recipe(), tmp_path / "first")
    second = train(forms_recipe(first), tmp_path / "second")
    before, after = weights(first), weights(second)
    assert before.keys() == after.keys()
    assert any(bool((before[name] != after[name]).any()) for name in before)
    assert (second / "tokenizer.json").read_bytes() == (first / "tokenizer.json").read_bytes()
    origin = json.loads((second / "ssl4rl.json").read_text())
    assert origin["init"]["fingerprint"] == resolve_model(str(first)).fingerprint
    assert origin["init"]["origin"]["recipe"]["seed"] == 1


def first_usable(task: Any, pictures: Iterable[Any]) -> Any:
    """The corruption of the first picture that has one."""
    from ssl4rl_bench.task.ssl.base import Unusable

    for picture in pictures:
        with suppress(Unusable):
            return task.corrupt(picture, 7)
    raise AssertionError("no picture can be used")


def test_a_form_is_asked_as_a_probe_is(tmp_path: Path) -> None:
    """The trainer's tokens and pixels are those that the processor makes of the task's own messages."""
    import torch
    from transformers import AutoProcessor

    from ssl4rl_bench.core.images import decode, lossless
    from ssl4rl_bench.core.types import TextPart
    from ssl4rl_bench.task.ssl import make_task
    from ssl4rl_bench.train.tiny.pixels import pixels_of
    from ssl4rl_bench.train.tiny.scenes_sft import Example, Schedule, make_pool
    from ssl4rl_bench.train.tiny.sft import Collator, Course

    processor = AutoProcessor.from_pretrained(resolve_model("tiny-base").path)
    task = make_task("position", {"grid": 3})
    pool = make_pool(2)
    made = first_usable(task, (q.drawn.image for q in pool.questions))
    encoded = [lossless(image) for image in made.images]
    (message,) = task.messages(encoded)
    content = [
        {"type": "text", "text": part.text} if isinstance(part, TextPart) else {"type": "image"}
        for part in message.content
    ]
    chat = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    expected = processor(text=[chat], images=[decode(image) for image in encoded], return_tensors="pt")
    text = message.content[-1]
    assert isinstance(text, TextPart)

    class One(Course):
        def example(self, i: int) -> Example:
            return Example((0, 1), text.text, "<answer>center</answer>")

    course = One(Schedule(1, 1, 0, 0, 0.0, 0.0, ("ssl4rl",)), pool)
    batch = Collator(processor, pixels_of(processor, made.images), course)([0])
    n = expected["input_ids"].shape[1]
    assert torch.equal(batch["input_ids"][:, :n], expected["input_ids"])
    assert torch.equal(batch["mm_token_type_ids"][:, :n], expected["mm_token_type_ids"])
    assert torch.equal(batch["image_grid_thw"], expected["image_grid_thw"])
    assert torch.allclose(batch["pixel_values"], expected["pixel_values"], atol=0.02)
    assert set(batch["labels"][0, :n].tolist()) == {-100}
