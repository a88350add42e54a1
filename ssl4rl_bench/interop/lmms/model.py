"""This project's engines as a model of lmms-eval. Its requests become a run of this project, with journal."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_eval.api.instance import GenerationResult, TokenCounts
from lmms_eval.api.model import lmms

from ssl4rl_bench.core.errors import BenchError, EngineError, UsageError
from ssl4rl_bench.core.names import PREFIX, short_name
from ssl4rl_bench.core.types import SampleRecord
from ssl4rl_bench.engines import EngineOptions, resolve_name
from ssl4rl_bench.engines.checkpoints.weights import resolve_model
from ssl4rl_bench.evaluation import EvaluationPlan, Subject, engine_for, spec_of
from ssl4rl_bench.interop.lmms.reply import CUT_OFF, NO_CONTENT
from ssl4rl_bench.interop.lmms.requests import AskedTask, gather_tasks
from ssl4rl_bench.run import recorded
from ssl4rl_bench.run.exec_info import ExecInfo
from ssl4rl_bench.run.journal import Place, answers
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.runner import Event, execute
from ssl4rl_bench.run.spec import RunSpec
from ssl4rl_bench.task.lmms.generation import cut


class Ssl4rlVllm(lmms):  # type: ignore[misc]  # lmms-eval has no types
    """Answers lmms-eval's requests with an engine of this project.

    Each task gets a run directory below `runs`, named after the model, the task and everything that
    determines its replies except --limit. Requests with a recorded reply are not repeated, so the same
    command resumes a run, and a larger --limit extends it. `ssl4rl-bench score` reads the run of a complete
    task of this project.

    Args:
        pretrained: a folder, a bundled checkpoint (tiny-base) or a hub id; `model` is an alias.
        engine: vllm, hf or auto; or mock or replay, which need no model.
        runs: the parent folder of the run directories.
        batch_size: the number of requests in flight. lmms-eval passes the integer 1 if the user gives no
            value, so the integer 1 means the engine's default; the string "1" means 1.
        device: a device for hf ("cuda:1"). Other engines choose their devices themselves.
        options: fields of `EngineOptions`, such as min_pixels, max_pixels, dtype, tensor_parallel_size.

    Raises:
        UsageError: for an unknown option or an invalid combination.
        ModelError: if there is no such checkpoint.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str | None = None,
        model: str | None = None,
        engine: str = "vllm",
        runs: str = "runs",
        batch_size: int | str | None = None,
        max_batch_size: int | str | None = None,
        device: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UsageError(
                "ssl4rl_vllm is one process: start lmms-eval without accelerate or torchrun, and set "
                "tensor_parallel_size to use several GPUs"
            )
        name = resolve_name(engine)
        if batch_size not in (None, 1, "auto"):
            options["batch_size"] = batch_size
        if device is not None:
            if name != "hf":
                raise UsageError(
                    f"engine {name} chooses its device itself: leave --device out, set CUDA_VISIBLE_DEVICES"
                )
            options["device_map"] = device
        chosen = EngineOptions.from_pairs(f"{key}={value}" for key, value in options.items())
        self._plan = EvaluationPlan((), {}, name, chosen)
        self._subject = _subject(name, pretrained or model, chosen)
        self._runs = Path(runs).expanduser()
        self._engine = engine_for(name, self._subject, self._plan)

    def generate_until(self, requests: Sequence[Any]) -> list[Any]:
        """Returns the replies in the order of the requests, each with its token counts.

        Raises:
            EngineError: if requests failed; the message gives their number and the first reason. Successful
                replies are kept in the run directory.
            BenchError: see `runner.execute`.
        """
        places: dict[tuple[str, str], list[int]] = {}
        for index, request in enumerate(requests):
            *_, task, split = request.args
            places.setdefault((task, split), []).append(index)
        replies: dict[int, Any] = {}
        for (task, split), where in places.items():
            asked = [requests[index] for index in where]
            replies |= zip(where, self._answer(task, asked, self.task_dict[task][split]), strict=True)
        return [replies[index] for index in range(len(requests))]

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Raises UsageError, since the engines only generate."""
        raise UsageError("ssl4rl_vllm generates replies and gives no likelihoods")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Raises UsageError, since requests have a single turn."""
        raise UsageError("ssl4rl_vllm supports only single-turn tasks")

    def clean(self) -> None:
        """Frees the engine. It starts again with the next request."""
        self._engine.close()
        super().clean()

    def _answer(self, name: str, requests: Sequence[Any], docs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Returns the replies to the requests of one task, in order."""
        task = gather_tasks(name, requests, docs)
        numbers = [request.args[3] for request in requests]
        records = self._run(task, self._spec(task, repeats=max(Counter(numbers).values())))
        ids = dict(zip(dict.fromkeys(numbers), (sample.id for sample in task.samples), strict=True))
        asked: Counter[int] = Counter()
        replies = []
        for number in numbers:
            replies.append(_reply(task, records[ids[number], asked[number]]))
            asked[number] += 1
        return replies

    def _run(self, task: AskedTask, spec: RunSpec) -> dict[Place, SampleRecord]:
        """Sends the requests that the run directory does not answer yet, and returns the records of all."""
        from tqdm import tqdm

        with RunDir.create(self._place(task.name, spec), spec) as run:
            print(
                f"ssl4rl_vllm: {task.name}, engine {spec.engine} {spec.engine_version}, run {run.path}",
                file=sys.stderr,
            )
            info = ExecInfo.capture(sys.argv, dataclasses.asdict(self._plan.options), {task.name: {}})
            run.record(info)
            ended = "failed"
            try:
                with tqdm(desc=task.name, unit=" replies") as bar:

                    def show(event: Event) -> None:
                        bar.total = event.n_total
                        bar.update(event.n_done - bar.n)

                    execute([task], self._engine, run, spec, max_error_rate=1.0, on_event=show)
                records = answers(run.journal_path(task.name), spec.keys(task)).records
                if failed := [record.error for record in records.values() if record.error is not None]:
                    raise EngineError(
                        f"{len(failed)} of {len(records)} requests of {task.name} failed (first: {failed[0]}); "
                        "run the same command again to retry them"
                    )
                ended = "complete"
            except BenchError as error:
                ended = str(error)
                raise
            finally:
                run.record(info.ended(ended))
        return records

    def _spec(self, task: AskedTask, repeats: int) -> RunSpec:
        plan = dataclasses.replace(self._plan, repeats=repeats)
        spec = spec_of(plan, self._subject, self._engine.name, self._engine.version, [task])
        task_spec = dataclasses.replace(spec.tasks[task.name], n_samples=task.n_docs)
        return dataclasses.replace(spec, tasks={task.name: task_spec})

    def _place(self, task: str, spec: RunSpec) -> Path:
        words = (self._subject.label, short_name(task))
        slugs = (re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-.")[-60:] for word in words)
        return self._runs / "-".join((*slugs, spec.sha256[:8]))


def _subject(engine: str, pretrained: str | None, options: EngineOptions) -> Subject:
    """Returns the label, checkpoint and identity of the weights, the same as in `ssl4rl-bench run`."""
    if engine in ("vllm", "hf"):
        if pretrained is None:
            raise UsageError(
                "ssl4rl_vllm needs a model: --model_args pretrained=X with a folder, a bundled checkpoint "
                "(tiny-base) or a hub id"
            )
        return Subject.of(resolve_model(pretrained, chat=True))
    if engine == "replay":
        if options.replies is None or not options.replies.exists():
            raise UsageError("engine replay needs recorded replies: --model_args engine=replay,replies=FILE")
        identity = f"replies {recorded.replies_digest(options.replies)}"
        return Subject(pretrained or options.replies.stem, None, identity)
    if engine == "mock":
        return Subject(pretrained or f"mock:{options.mock}", None, f"mock:{options.mock}")
    raise UsageError(f"ssl4rl_vllm has no engine {engine}: for a server, use lmms-eval's own openai models")


def _reply(task: AskedTask, record: SampleRecord) -> Any:
    text = cut(record.text, task.until)
    if task.name.startswith(PREFIX):
        if record.completion.has_no_content:
            text = NO_CONTENT
        if record.finish_reason == "length" and text in (record.text, NO_CONTENT):
            text += CUT_OFF
    counts = TokenCounts(input_tokens=record.n_prompt_tokens, output_tokens=record.n_completion_tokens)
    return GenerationResult(text=text, token_counts=counts)
