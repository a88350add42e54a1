"""The bundled checkpoint: a hub checkpoint like any other, and the command's main job on it."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import training_process
import vllm_process

from ssl4rl_bench.core.types import TextPart
from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.task import scenes
from ssl4rl_bench.task.registry import load_task

pytestmark = pytest.mark.engine

VLLM = find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not VLLM, reason="needs vLLM")
QUESTIONS = 45
PROBES = ("ssl_rotation_90", "ssl_jigsaw_2x2", "ssl_contrastive_weak", "ssl_position")

Run = dict[str, tuple[dict[str, Any], dict[str, str]]]
"""By task: result.json's part and the replies by id."""


def run(engine: str, out: Path) -> Run:
    """A run through the command line."""
    args = ["run", "--model", "tiny-base", "--tasks", "scenes,ssl_probes", "--engine", engine]
    args += ["--limit", str(QUESTIONS)]
    processes = {"hf": training_process, "vllm": vllm_process}[engine]
    done = processes.run(
        [sys.executable, "-m", "ssl4rl_bench", *args, "--out", str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "tiny-base" in done.stdout and "Unread" in done.stdout
    tasks = json.loads((out / "result.json").read_text())["tasks"]
    found: Run = {}
    for name in ("scenes", *PROBES):
        lines = (out / "journal" / f"ssl4rl_{name}.jsonl").read_text().splitlines()
        replies = {line["id"]: line["text"] for line in map(json.loads, lines)}
        found[name] = tasks[f"ssl4rl_{name}"], replies
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    return {engine: run(engine, folder / engine) for engine in (["hf", "vllm"] if VLLM else ["hf"])}


def test_it_is_small_and_says_where_it_came_from() -> None:
    folder = resolve_model("tiny-base").path
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12_000_000
    origin = json.loads((folder / "ssl4rl.json").read_text())
    assert origin["recipe"]["name"] == origin["init"]["origin"]["name"] == "tiny-base"
    assert "scenes" in (folder / "README.md").read_text()


def test_plain_transformers_loads_it_and_it_answers_in_tags() -> None:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    path = resolve_model("tiny-base").path
    processor = AutoProcessor.from_pretrained(path)
    model = AutoModelForImageTextToText.from_pretrained(path)
    assert model.dtype == torch.bfloat16
    sample = load_task("scenes", limit=1).samples[0]
    text = next(part.text for part in sample.messages[0].content if isinstance(part, TextPart))
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True)
    picture = scenes.question("dev", scenes.LEAVES[0], 0).drawn.image
    inputs = processor(text=[prompt], images=[picture], return_tensors="pt")
    ids = model.generate(**inputs, max_new_tokens=100)
    reply = processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0]
    assert reply.startswith("<think>") and "</think> <answer>" in reply and reply.endswith("</answer>")


@pytest.mark.parametrize("engine", ["hf", pytest.param("vllm", marks=needs_vllm)])
def test_every_reply_is_read_from_its_tag_and_many_are_right(runs: dict[str, Run], engine: str) -> None:
    task, replies = runs[engine]["scenes"]
    rows = task["aggregates"]["row_micro"]["overall"]
    assert len(replies) == task["n_samples"]
    assert task["status"].get("tag", 0) > 0.98 * len(replies)
    assert rows["ci95"][0] > 0.35  # chance is 0.27


@pytest.mark.parametrize("engine", ["hf", pytest.param("vllm", marks=needs_vllm)])
def test_it_answers_ssl_prompts_in_the_right_form_and_not_better_than_chance(
    runs: dict[str, Run], engine: str
) -> None:
    for name in PROBES:
        task, replies = runs[engine][name]
        assert len(replies) == task["n_samples"] >= QUESTIONS
        assert task["status"].get("tag", 0) >= 0.96 * len(replies), name
        # On all 400 images each interval holds chance; on 45 one of four is off now and then.
        assert task["probe"]["accuracy"]["ci95"][0] <= task["probe"]["chance"] + 0.1, name


@pytest.mark.parametrize("engine", ["hf", pytest.param("vllm", marks=needs_vllm)])
def test_its_probes_have_margins_of_a_guesser(runs: dict[str, Run], engine: str) -> None:
    for name in PROBES:
        task, _ = runs[engine][name]
        margin = task["probe"]["margin"]
        assert (margin["n"], margin["n_left_out"]) == (task["n_samples"], 0)
        assert margin["form"] == "<think>…</think> <answer>…</answer>"
        assert margin["p"] > 0.001 and margin["ci95"][0] < margin["value"] < margin["ci95"][1]


@needs_vllm
def test_the_margins_of_the_engines_agree(runs: dict[str, Run]) -> None:
    for name in PROBES:
        hf, vllm = (runs[engine][name][0]["probe"]["margin"] for engine in ("hf", "vllm"))
        assert hf["value"] == pytest.approx(vllm["value"], abs=0.005), name


@needs_vllm
def test_the_engines_agree(runs: dict[str, Run]) -> None:
    """On few questions; benchmarks/engine_agreement.py measures it on all."""
    for name, (_, hf) in runs["hf"].items():
        vllm = runs["vllm"][name][1]
        assert hf.keys() == vllm.keys()
        assert sum(hf[id] == vllm[id] for id in hf) >= 0.95 * len(hf), name
