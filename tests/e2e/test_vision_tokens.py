"""Replies never hold the placeholders of pictures, with any engine; a reply that holds one anyway ends no run."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import vllm_process

pytestmark = pytest.mark.engine

pytest.importorskip("trl")

from doctored import WORDS, prefers_placeholders  # noqa: E402
from train_recipe import lines, pictures, recipe  # noqa: E402


def replies_of(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Returns a list that receives the tokens of all later replies."""
    from ssl4rl_bench.train.trainer import SSLTrainer

    replies: list[list[int]] = []
    generate = SSLTrainer._generate_single_turn

    def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        out = generate(self, *args, **kwargs)
        replies.extend(out[0])
        return out

    monkeypatch.setattr(SSLTrainer, "_generate_single_turn", recorded)
    return replies


def placeholders(base: Path) -> set[int]:
    from transformers import AutoTokenizer

    return set(AutoTokenizer.from_pretrained(base).convert_tokens_to_ids(WORDS))


def test_rollouts_of_transformers_hold_no_placeholder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl4rl_bench.train.grpo import train_grpo

    base = prefers_placeholders(tmp_path / "base")
    replies = replies_of(monkeypatch)
    small = recipe(tmp_path, pictures(tmp_path / "pictures"), model__base=str(base))
    train_grpo(small, tmp_path / "run", max_steps=2)
    assert len(replies) == 32
    assert not placeholders(base) & {token for reply in replies for token in reply}


@pytest.mark.parametrize(
    "changes", [{"grpo__kl": 0.1}, {"grpo__micro_batch": 2, "grpo__mask_truncated": True}]
)
def test_a_run_goes_on_if_replies_hold_placeholders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """As with a server that samples them: with shared prompts, and without."""
    from ssl4rl_bench.train.grpo import train_grpo
    from ssl4rl_bench.train.trainer import SSLTrainer

    base = prefers_placeholders(tmp_path / "base")
    replies = replies_of(monkeypatch)
    limits = SSLTrainer._limits

    def unrestricted(self: Any) -> Any:
        config = limits(self)
        config.suppress_tokens = None
        return config

    monkeypatch.setattr(SSLTrainer, "_limits", unrestricted)
    small = recipe(tmp_path, pictures(tmp_path / "pictures"), model__base=str(base), **changes)
    train_grpo(small, tmp_path / "run", max_steps=2)
    assert any(placeholders(base) & set(reply) for reply in replies)
    assert all(abs(line["loss"]) < 10 for line in lines(tmp_path / "run"))


def test_the_model_reads_padding_in_place_of_a_placeholder_whose_label_remains() -> None:
    import torch

    from ssl4rl_bench.train.vision_tokens import shield

    class Network(torch.nn.Module):
        def forward(self, input_ids: Any, labels: Any = None) -> Any:
            return input_ids, labels

    network = Network()
    shield(network, [5, 6], pad=0)
    tokens = torch.tensor([[5, 7, 5, 6, 8]])
    labels = torch.tensor([[-100, -100, 5, 6, 8]])
    read, kept = network(input_ids=tokens, labels=labels)
    assert read.tolist() == [[5, 7, 0, 0, 8]]
    assert kept.tolist() == labels.tolist()
    assert network(input_ids=tokens)[0].tolist() == tokens.tolist()


VLLM = '''
import json, sys
import torch
from types import SimpleNamespace
from transformers import AutoConfig, AutoTokenizer
from trl.generation.vllm_client import VLLMClient
from trl.generation.vllm_generation import VLLMGeneration
from vllm import LLM, SamplingParams
from PIL import Image
from ssl4rl_bench.train.vision_tokens import excluding, vision_token_ids

PROMPT = ("<|im_start|>user\\n<|vision_start|><|image_pad|><|vision_end|>How is the picture turned?<|im_end|>\\n"
          "<|im_start|>assistant\\n")

class Taken(Exception):
    """Carries the sampling parameters out of TRL's code."""

def take(params):
    raise Taken(params)

def colocated(kwargs):
    """Returns the SamplingParams that TRL makes for a colocated engine."""
    engine = SimpleNamespace(generate=lambda prompts, sampling_params, use_tqdm: take(sampling_params))
    settings = dict(mode="colocate", accelerator=None, temperature=1.0, top_p=1.0, top_k=0, min_p=None,
                    model=torch.nn.Identity(), repetition_penalty=1.0, max_completion_length=16, logprobs=0,
                    generation_kwargs=kwargs, structured_outputs_regex=None, tensor_parallel_size=1,
                    enable_sleep_mode=False, llm=engine)
    try:
        VLLMGeneration.generate(SimpleNamespace(**settings), [[1]], None, 1)
    except Taken as taken:
        return taken.args[0]

def served(kwargs):
    """Returns the SamplingParams of a request that TRL sends to a server, for a prompt with an image."""
    client = SimpleNamespace(_generate_from_features=lambda prompts, features, params: take(params))
    try:
        VLLMClient.generate(client, [[1]], max_tokens=16, logprobs=0, generation_kwargs=kwargs, features=[{}])
    except Taken as taken:
        return SamplingParams(**json.loads(json.dumps(taken.args[0])))

if __name__ == "__main__":
    folder = sys.argv[1]
    torch.compiler.set_stance("force_eager")  # else a small function of vLLM's sampler is compiled for half a minute
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = vision_token_ids(AutoConfig.from_pretrained(folder), tokenizer)
    kwargs = excluding(ids, tokenizer, vllm=True)
    every = {"none": colocated({}), "colocate": colocated(kwargs), "server": served(kwargs)}
    llm = LLM(folder, dtype="float32", enforce_eager=True, max_model_len=512,
              limit_mm_per_prompt={"image": 1, "video": 0}, logprobs_mode="processed_logprobs")
    asked = [{"prompt": PROMPT, "multi_modal_data": {"image": Image.new("RGB", (84, 84), (3 * i, 90, 9))}}
             for i in range(64)]
    counts = {}
    for name, params in every.items():
        replies = [done.outputs[0].token_ids for done in llm.generate(asked, params, use_tqdm=False)]
        counts[name] = sum(bool(set(ids) & set(reply)) for reply in replies)
    print("counts:", json.dumps(counts))
'''


def test_rollouts_of_vllm_hold_no_placeholder(tmp_path: Path) -> None:
    """With the sampling parameters that TRL makes for a colocated engine and for a server."""
    base = prefers_placeholders(tmp_path / "base", factor=3.0)
    script = tmp_path / "sample.py"
    script.write_text(VLLM)
    env = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "HF_HUB_OFFLINE": "1",
    }
    done = vllm_process.run(
        [sys.executable, str(script), str(base)], capture_output=True, text=True, timeout=600, env=env
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("counts:")]
    assert told, done.stderr[-3000:]
    counts = json.loads(told[0].removeprefix("counts:"))
    assert counts["none"] > 8
    assert counts["colocate"] == counts["server"] == 0
