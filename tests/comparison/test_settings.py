"""Two runs that differ in one setting are refused by its name, and compared with a note in every output if allowed.

The settings are generated from the fields of the specs, so that a new field cannot be forgotten.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated import SERVED, TASK, run

from ssl4rl_bench.cli.compare_print import print_boards, print_methods
from ssl4rl_bench.cli.gate_print import print_gate
from ssl4rl_bench.cli.screen import Screen
from ssl4rl_bench.comparison.compare import compare_task
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.comparison.seeds import methods_of
from ssl4rl_bench.comparison.settings import _NOT_COMPARED, NAMES, check_allowed
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Sampling
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.gating import baseline as baseline_file
from ssl4rl_bench.gating.judge import apply_policy
from ssl4rl_bench.gating.policy import parse_policy
from ssl4rl_bench.reports.board import export as board_export
from ssl4rl_bench.reports.board.board import build_board
from ssl4rl_bench.reports.board.latex import to_latex
from ssl4rl_bench.reports.board.probes import probe_rows
from ssl4rl_bench.reports.gate import files as gate_files
from ssl4rl_bench.reports.gate.view import gate_views
from ssl4rl_bench.reports.html import assemble
from ssl4rl_bench.reports.html.page import render_page
from ssl4rl_bench.reports.html.provenance import run_facts
from ssl4rl_bench.run.spec import RunSpec, TaskSpec

RULE = {"task": TASK, "kind": "no_worse_than", "margin": 20}
SSL = {"kind": "rotation", "difficulty": "90", "chance": 0.25}


def values(seed: int, n: int = 120, repeats: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, repeats)) < 0.7).astype(float)


def other(value: Any) -> Any:
    """Another value of the same kind."""
    return f"{value}x" if isinstance(value, str) else 4000 if value is None else value + 1


def with_task(made: Evaluated, **changes: Any) -> Evaluated:
    tasks = {name: dataclasses.replace(task, **changes) for name, task in made.spec.tasks.items()}
    return dataclasses.replace(made, spec=dataclasses.replace(made.spec, tasks=tasks))


def with_spec(made: Evaluated, **changes: Any) -> Evaluated:
    return dataclasses.replace(made, spec=dataclasses.replace(made.spec, **changes))


def differing(**more: Any) -> Iterator[tuple[str, Evaluated]]:
    """Each setting's name, and a run that differs from `run("old", values(0))` in nothing else."""
    new = run("new", values(1), **more)
    (task,) = new.spec.tasks.values()
    for field in dataclasses.fields(Sampling):
        changed = {field.name: other(getattr(task.sampling, field.name))}
        yield field.name, with_task(new, sampling=dataclasses.replace(task.sampling, **changed))
    for field in dataclasses.fields(RunSpec):
        if field.name == "repeats":
            yield "repeats", run("new", values(1, repeats=2), **more)
        elif field.name not in _NOT_COMPARED[RunSpec]:
            yield field.name, with_spec(new, **{field.name: other(getattr(new.spec, field.name))})
    for field in dataclasses.fields(TaskSpec):
        if field.name not in _NOT_COMPARED[TaskSpec]:
            value = other(getattr(task, field.name))
            changed_run = with_task(new, **{field.name: value})
            if hasattr(new.outcomes[TASK], field.name):
                own = dataclasses.replace(new.outcomes[TASK], **{field.name: value})
                changed_run = dataclasses.replace(changed_run, outcomes={TASK: own})
            yield field.name, changed_run
    for field in dataclasses.fields(EngineOptions):
        if field.name not in _NOT_COMPARED[EngineOptions] and not hasattr(new.spec, field.name):
            yield field.name, with_spec(new, engine_options={field.name: "float32"})
    yield "dtype", with_spec(new, engine_version="5.17.0+float32")
    yield "extractor", run("new", values(1), extractor="strict", **more)
    yield "chat_template", with_spec(new, served=SERVED | {"chat_template": "1" * 16})
    yield "min_pixels", with_spec(new, served=SERVED | {"min_pixels": 1})
    yield "max_pixels", with_spec(new, served=SERVED | {"max_pixels": 99_999})
    yield "partial", run("new", values(1), partial=True, **more)
    content = [str(at) for at in range(10, 130)]
    yield "data", run("new", values(1), data_sha256="1" * 64, content=content, **more)


CASES = list(differing())
IDS = [f"{name}-{at}" for at, (name, _) in enumerate(CASES)]


def shown(say: Any) -> str:
    screen = Screen(width=10_000, file=io.StringIO(), color_system=None)
    say(screen)
    text: str = screen.file.getvalue()  # type: ignore[attr-defined]
    return text


def outputs(old: Evaluated, new: Evaluated, allow: list[str]) -> Iterator[tuple[str, str]]:
    """Every output of a comparison and of a gate."""
    board = build_board(old, [new], TASK, allow=allow)
    yield "terminal", shown(lambda screen: print_boards(screen, [board], [], False))
    yield "markdown", board_export.to_markdown([board]).replace("\\", "")
    yield "latex", to_latex([board]).replace("\\", "")
    rows = list(csv.DictReader(io.StringIO(board_export.to_csv([board]))))
    yield "csv", next(row["notes"] for row in rows if row["model"] == "new")
    yield "json", " ".join(json.loads(board_export.to_json([board]))["boards"][0]["notes"])
    methods = methods_of([new], "seed")
    yield (
        "methods",
        shown(lambda screen: print_methods(screen, old, methods, [TASK], "l2", "circular_micro", allow)),
    )
    yield "html", render_page(assemble(old, [new], allow=allow))
    gate = apply_policy(parse_policy({"rule": [RULE], "allow": allow}), old, new)
    yield "gate", shown(lambda screen: print_gate(screen, gate))
    yield "junit", gate_files.to_junit(gate)
    yield "summary", gate_files.to_summary(gate).replace("\\", "")
    yield "gate json", " ".join(json.loads(gate_files.to_json(gate))["notes"])
    yield "annotations", "\n".join(gate_files.workflow_commands(gate))
    yield (
        "gate html",
        render_page(assemble(old, [new], lead=gate_views(gate), allow=allow)).split('id="leaderboard"')[0],
    )


def told(text: str) -> bool:
    return "new and old differ, as allowed: " in text


@pytest.mark.parametrize(("name", "new"), CASES, ids=IDS)
def test_a_difference_is_refused_by_name_and_noted_where_it_is_allowed(name: str, new: Evaluated) -> None:
    old = run("old", values(0))
    message = rf"new and old cannot be compared on simulated: .* allow it by name: --allow {name}$"
    for first, second in ((old, new), (new, old)):
        with pytest.raises(UsageError, match=message.replace("new and old", ".* and .*")):
            compare_task(first, [second], TASK)
    in_policy = message.replace(f": --allow {name}", rf" in the policy: allow = \[\"{name}\"\]")
    with pytest.raises(UsageError, match=in_policy):
        apply_policy(parse_policy({"rule": [RULE]}), old, new)
    others = [each for each in NAMES if each != name]
    with pytest.raises(UsageError, match=message):
        compare_task(old, [new], TASK, allow=others)
    for notes in (
        compare_task(old, [new], TASK, allow=[name])[0].notes,
        apply_policy(parse_policy({"rule": [RULE], "allow": [name]}), old, new).notes,
    ):
        assert any(told(note) for note in notes)
    assert compare_task(old, [run("new", values(1))], TASK)[0].notes == ()


IN_EACH_OUTPUT = {"max_tokens", "dtype", "version", "data"}
"""Settings of the sampling, the engine, the task and the data; outputs print the notes of all settings alike."""


@pytest.mark.parametrize(
    ("name", "new"),
    [
        pytest.param(name, new, id=id, marks=[] if name in IN_EACH_OUTPUT else [pytest.mark.slow])
        for (name, new), id in zip(CASES, IDS, strict=True)
    ],
)
def test_every_output_has_the_note_of_an_allowed_difference(name: str, new: Evaluated) -> None:
    for output, text in outputs(run("old", values(0)), new, [name]):
        assert told(text), output


def test_probes_tell_it_too() -> None:
    old = run("old", values(0), probe=SSL)
    new = with_task(run("new", values(1), probe=SSL), sampling=Sampling(max_tokens=16))
    rows = probe_rows(old, [new], [TASK], allow=["max_tokens"])
    assert told(shown(lambda screen: print_boards(screen, [], rows, False)))
    assert told(board_export.to_markdown([], rows).replace("\\", ""))
    assert told(to_latex([], rows).replace("\\", ""))
    assert told(board_export.to_csv([], rows))
    assert told(board_export.to_json([], rows))
    assert told(render_page(assemble(old, [new], allow=["max_tokens"])))


def test_several_differences_are_named_together() -> None:
    old, new = run("old", values(0)), with_spec(run("new", values(1)), max_pixels=4000)
    new = with_task(new, sampling=Sampling(max_tokens=16))
    with pytest.raises(
        UsageError, match=r"\(16 and 2048\).*\(4000 and .* 12544\).*--allow max_tokens,max_pixels$"
    ):
        compare_task(old, [new], TASK)
    with pytest.raises(UsageError, match=r"--allow max_pixels$"):
        compare_task(old, [new], TASK, allow=["max_tokens"])
    (found,) = compare_task(old, [new], TASK, allow=["max_tokens", "max_pixels"])
    assert sum("differ, as allowed" in note for note in found.notes) == 1


def test_limits_that_come_to_the_same_are_the_same() -> None:
    """Asked for in one run, and the checkpoint's own in the other."""
    old, new = run("old", values(0)), run("new", values(1))
    same = with_spec(new, max_pixels=SERVED["max_pixels"])
    assert compare_task(old, [same], TASK)[0].notes == ()
    unknown = with_spec(old, served={})
    with pytest.raises(
        UsageError, match=r"\(12544 and the checkpoint's own, not recorded\).*--allow max_pixels$"
    ):
        compare_task(unknown, [same], TASK)


def test_what_a_run_did_not_record_is_told_and_not_refused() -> None:
    old, new = with_spec(run("old", values(0)), served={}), run("new", values(1))
    (found,) = compare_task(old, [new], TASK)
    assert found.notes == ("old did not record its chat template and its pixel limits, which may differ.",)
    kept = dataclasses.replace(old, result={"model": {"served": SERVED}, **old.result})
    assert compare_task(kept, [new], TASK)[0].notes == ()


def test_another_engine_or_version_or_seed_is_told() -> None:
    old, new = run("old", values(0)), run("new", values(1))
    moved = with_spec(new, engine="vllm", engine_version="0.31.0", seed=3)
    for output, text in outputs(old, moved, []):
        assert "new ran on vllm 0.31.0, old on hf 5.17.0" in text, output
        assert "new was sampled with seed 3, old with 0" in text, output
    newer = with_spec(new, engine_version="5.18.0")
    assert compare_task(old, [newer], TASK)[0].notes == ("new ran on hf 5.18.0, old on hf 5.17.0.",)


def test_a_mock_run_is_compared_with_mock_runs_only() -> None:
    mock = {"engine": "mock", "engine_version": "1 gold", "served": {}}
    old, new = run("old", values(0)), with_spec(run("new", values(1)), **mock)
    replay = {"engine": "replay", "served": {}}
    replayed = with_spec(run("again", values(1)), **replay, engine_options={"recorded_by": "mock"})
    for one, two in ((old, new), (new, old), (old, replayed)):
        with pytest.raises(
            UsageError, match="generated by the mock engine; a mock run is compared only with mock runs"
        ):
            compare_task(one, [two], TASK, allow=NAMES)
    compare_task(with_spec(old, **mock), [new, replayed], TASK)
    (found,) = compare_task(old, [with_spec(new, **replay)], TASK)
    assert any("new replays recorded replies" in note for note in found.notes)


def test_labels_carry_the_mark(tmp_path: Path) -> None:
    made = with_spec(run("gold", values(0)), engine="mock", engine_version="1 gold", served={})
    baseline_file.save_baseline_file(made, tmp_path / "base.json")
    assert baseline_file.load_baseline_file(tmp_path / "base.json").label == "gold (mock)"


def test_fields_that_are_left_out_are_fields_and_aliases_still_work() -> None:
    for cls, names in _NOT_COMPARED.items():
        assert set(names) <= {field.name for field in dataclasses.fields(cls)}
    assert check_allowed(["sampling"]) == {"temperature", "top_p", "top_k"}
    with pytest.raises(UsageError, match="did you mean max_pixels"):
        check_allowed(["max_pixel"])
    with pytest.raises(UsageError, match=r"allow max_pixel is unknown.*did you mean max_pixels"):
        parse_policy({"rule": [RULE], "allow": ["max_pixel"]})


IMPORTED = {"format": "vlmevalkit", "sha256": "0" * 64, "tool": "VLMEvalKit"}


def imported(made: Evaluated, *unknown: str) -> Evaluated:
    options = {"imported": {**IMPORTED, "unknown": list(unknown), "stated": {}}}
    return with_spec(made, engine="imported", engine_version="vlmevalkit 0", engine_options=options)


def test_unknown_settings_differ_from_every_value() -> None:
    old, new = run("old", values(0)), imported(run("new", values(1)), "temperature", "max_pixels")
    for first, second in ((old, new), (new, old)):
        with pytest.raises(
            UsageError,
            match=r"unknown settings of new: temperature, max_pixels; .*--allow temperature,max_pixels$",
        ):
            compare_task(first, [second], TASK)
    with pytest.raises(UsageError, match=r"unknown settings of new: max_pixels; .*--allow max_pixels$"):
        compare_task(old, [new], TASK, allow=["temperature"])
    both = imported(run("other", values(2)), "max_pixels")
    with pytest.raises(
        UsageError,
        match=r"unknown settings of new: temperature, unknown settings of new and of other: max_pixels;",
    ):
        compare_task(both, [new], TASK)


@pytest.mark.slow
def test_every_output_names_unknown_settings() -> None:
    old, new = run("old", values(0)), imported(run("new", values(1)), "temperature", "max_pixels")
    for output, text in outputs(old, new, ["temperature", "max_pixels"]):
        assert told(text) and "unknown settings of new: temperature, max_pixels." in text, output
        assert "new ran on an engine that is not known (imported from VLMEvalKit)" in text, output


def test_the_page_says_that_settings_are_unknown() -> None:
    facts = dict(run_facts(imported(run("new", values(1)), "max_pixels", "prompt", "max_tokens")).facts)
    assert facts["Pixels"] == "model default to unknown"
    assert "prompt unknown, temperature 0, at most unknown tokens" in facts["simulated"]
    assert facts["Imported"] == (
        "from VLMEvalKit, file 000000000000; unknown settings: max_pixels, prompt, max_tokens"
    )
