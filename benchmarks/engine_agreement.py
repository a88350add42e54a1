"""Compares the replies and the speed of vLLM and transformers on the same samples of a checkpoint.

Prints, for each engine, the seconds until the first reply (start-up), the replies and tokens per second after
that, and the share of right answers; then the share of samples with the same text, and with the same answer.

    python benchmarks/engine_agreement.py tiny-base --samples 400
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass, replace

from ssl4rl_bench.core.types import Completion, Request, Sample, Sampling, Task
from ssl4rl_bench.engines import EngineOptions, create
from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.task.registry import load_task


@dataclass(frozen=True)
class Outcome:
    """The run of one engine."""

    version: str
    start_s: float
    run_s: float
    completions: dict[str, Completion]
    """Completions by sample id."""


def run(name: str, model: str, options: EngineOptions, samples: list[Sample], sampling: Sampling) -> Outcome:
    """Answers the samples, after answering a first one to start the engine."""
    engine = create(name, resolve_model(model), options)
    begin = time.perf_counter()
    list(engine.run([Request(samples[0])], replace(sampling, max_tokens=1)))
    started = time.perf_counter()
    pairs = list(engine.run((Request(sample) for sample in samples), sampling))
    done = time.perf_counter()
    engine.close()
    completions = {request.sample.id: completion for request, completion in pairs}
    return Outcome(engine.version, started - begin, done - started, completions)


def report(name: str, outcome: Outcome, task: Task, samples: list[Sample]) -> dict[str, float | str]:
    completions = outcome.completions.values()
    tokens = sum(c.n_completion_tokens for c in completions)
    scores = [task.score(sample, outcome.completions[sample.id]).value for sample in samples]
    return {
        "engine": f"{name} {outcome.version}",
        "start_s": round(outcome.start_s, 1),
        "replies_per_s": round(len(samples) / outcome.run_s, 1),
        "tokens_per_s": round(tokens / outcome.run_s, 1),
        "tokens_per_reply": round(tokens / len(samples), 1),
        "errors": sum(c.error is not None for c in completions),
        "cut": sum(c.finish_reason == "length" for c in completions),
        "right": round(sum(score or 0 for score in scores) / len(samples), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="folder, bundled checkpoint or hub id")
    parser.add_argument("--task", default="scenes")
    parser.add_argument(
        "--samples",
        type=int,
        default=400,
        help="approximate number of samples, rounded to complete questions",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="option of both engines"
    )
    parser.add_argument("--engines", nargs=2, default=["vllm", "hf"])
    arguments = parser.parse_args()

    complete = load_task(arguments.task)
    n_groups = min(
        complete.n_groups, math.ceil(arguments.samples * complete.n_groups / len(complete.samples))
    )
    task = load_task(arguments.task, limit=n_groups)
    samples = list(task.samples)
    options = EngineOptions.from_pairs(arguments.set)
    outcomes = [run(name, arguments.model, options, samples, task.sampling) for name in arguments.engines]
    for name, outcome in zip(arguments.engines, outcomes, strict=True):
        print(json.dumps(report(name, outcome, task, samples)))

    first, second = (outcome.completions for outcome in outcomes)
    same_text = sum(first[s.id].text == second[s.id].text for s in samples)
    answers = [(task.score(s, first[s.id]).answer, task.score(s, second[s.id]).answer) for s in samples]
    print(
        json.dumps(
            {
                "samples": len(samples),
                "same_text": round(same_text / len(samples), 4),
                "same_answer": round(sum(a == b for a, b in answers) / len(samples), 4),
            }
        )
    )


if __name__ == "__main__":
    main()
