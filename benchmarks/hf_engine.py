"""How much less work is engine hf than `generate` of transformers on the same requests?

The designs run in turn in one process, in the other order every second round, with equal batch sizes: the engine,
which computes a question's image, the common start of its copies and its repeats once, and `generate` on batches of
prompts of similar lengths, as the engine runs models whose structure it does not know. Prints one JSON line per
round, then for each workload the median, minimum and maximum of documents per second and of the ratios (how many
times as fast as `generate` the engine is), and how many replies differ. On a CPU, seconds are CPU seconds of the
process, so that other work on the machine has little effect; on a GPU they are seconds of the clock.

    python benchmarks/hf_engine.py tiny-base                     # the package's checkpoint, on CPUs
    python benchmarks/hf_engine.py MODEL --set dtype=bfloat16    # on a GPU

Workloads: `copies` (scenes, four circular copies per question), `probes` (the four SSL probes), `repeats` (scenes,
each copy eight times at temperature 1).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import Request, Sampling
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.engines.hf import HfEngine
from ssl4rl_bench.engines.hf.load import load
from ssl4rl_bench.task.registry import load_task

PROBES = ("ssl_rotation_90", "ssl_jigsaw_2x2", "ssl_contrastive_weak", "ssl_position")
WORKLOADS = ("copies", "probes", "repeats")

Work = list[tuple[list[Request], Sampling]]
"""The requests of each task of a workload, with the sampling."""


@dataclass(frozen=True)
class Result:
    """One run of a workload."""

    seconds: float
    n_tokens: int
    texts: dict[tuple[str, str, int], str]
    """Replies by task, sample and repeat."""


def workload(name: str, questions: int, max_tokens: int | None) -> Work:
    """Returns the requests of a workload of some number of questions per task."""
    tasks = PROBES if name == "probes" else ("scenes",)
    n_repeats = 8 if name == "repeats" else 1
    work: Work = []
    for task_name in tasks:
        task = load_task(task_name, limit=max(1, questions // n_repeats))
        sampling = replace(task.sampling, max_tokens=max_tokens or task.sampling.max_tokens)
        if n_repeats > 1:
            sampling = replace(sampling, temperature=1.0)
        requests = [
            Request(sample, repeat, seed_of(sample.id, repeat), task_name)
            for sample in task.samples
            for repeat in range(n_repeats)
        ]
        work.append((requests, sampling))
    return work


def run(engine: HfEngine, work: Work, on_gpu: bool) -> Result:
    """Answers the requests of a workload. Images of earlier runs are not kept."""
    network = engine._load()
    network.free_cache()
    begin = now(on_gpu)
    pairs = [pair for requests, sampling in work for pair in engine.run(requests, sampling)]
    seconds = now(on_gpu) - begin
    errors = [completion.error for _, completion in pairs if completion.error]
    assert not errors, errors[0]
    return Result(
        seconds,
        sum(completion.n_completion_tokens for _, completion in pairs),
        {(request.task, request.sample.id, request.repeat): c.text for request, c in pairs},
    )


def now(on_gpu: bool) -> float:
    """Returns the CPU time of this process in seconds, or the time of the clock if the work is a GPU's."""
    if on_gpu:
        return time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def spread(values: Sequence[float]) -> list[float]:
    """Returns median, minimum and maximum."""
    return [round(statistics.median(values), 3), round(min(values), 3), round(max(values), 3)]


def compare(engines: dict[str, HfEngine], name: str, arguments: argparse.Namespace, on_gpu: bool) -> None:
    """Runs the designs in turn and prints the results of a workload."""
    work = workload(name, arguments.questions, arguments.max_tokens)
    n = sum(len(requests) for requests, _ in work)
    rounds: list[dict[str, Result]] = []
    for number in range(arguments.rounds):
        designs = list(engines)[:: 1 if number % 2 == 0 else -1]
        results = {design: run(engines[design], work, on_gpu) for design in designs}
        rounds.append(results)
        line = {design: round(n / results[design].seconds, 2) for design in engines}
        print(json.dumps({"workload": name, "round": number, "docs_s": line}), flush=True)
    shared, plain = zip(*((r["engine"], r["generate"]) for r in rounds), strict=True)
    summary = {
        "workload": name,
        "rounds": len(rounds),
        "documents": n,
        "tokens_per_reply": round(shared[0].n_tokens / n, 1),
        "engine_docs_s": spread([n / result.seconds for result in shared]),
        "generate_docs_s": spread([n / result.seconds for result in plain]),
        "ratio": spread([b.seconds / a.seconds for a, b in zip(shared, plain, strict=True)]),
        "different_replies": sum(text != plain[0].texts[key] for key, text in shared[0].texts.items()),
    }
    print(json.dumps(summary), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="folder, bundled checkpoint or hub id")
    parser.add_argument("--questions", type=int, default=60, help="per task; repeats: an eighth of it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workloads", nargs="+", default=WORKLOADS, choices=WORKLOADS)
    parser.add_argument("--max-tokens", type=int, help="of a reply (default: the task's)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="option of both designs"
    )
    arguments = parser.parse_args()
    model, options = resolve_model(arguments.model), EngineOptions.from_pairs(arguments.set)
    engines = {"engine": HfEngine(model, options), "generate": HfEngine(model, options)}
    engines["generate"]._network = load(model, options, share=False)
    on_gpu = engines["engine"]._load().model.device.type != "cpu"
    warm = workload("copies", 8, 4)
    for engine in engines.values():
        run(engine, warm, on_gpu)
    for name in arguments.workloads:
        compare(engines, name, arguments, on_gpu)


if __name__ == "__main__":
    main()
