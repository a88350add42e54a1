"""Presets: the values of other projects, each with a source; what the user gives takes precedence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import bench

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.engines.base import EngineOptions
from ssl4rl_bench.evaluation import EvaluationPlan
from ssl4rl_bench.evaluation.presets import PIXELS, SETTINGS, load_preset, preset_names
from ssl4rl_bench.task.prompts import check_style

VALUES: dict[str, dict[str, Any]] = {
    "ssl4rl": {
        "prompt": "ssl4rl",
        "min_pixels": 35840,
        "max_pixels": 12845056,
        "temperature": 0.01,
        "top_k": 1,
        "max_tokens": 2048,
    },
    "vlmevalkit": {
        "prompt": "vlmevalkit",
        "min_pixels": 1280 * 28 * 28,
        "max_pixels": 16384 * 28 * 28,
        "temperature": 0.01,
        "top_p": 0.001,
        "top_k": 1,
        "max_tokens": 2048,
    },
    "lmms-eval": {
        "prompt": "lmms-eval",
        "min_pixels": 256 * 28 * 28,
        "max_pixels": 1605632,
        "temperature": 0,
        "max_tokens": 1024,
    },
    "qwen2.5-vl-card": {"min_pixels": 4 * 28 * 28, "max_pixels": 16384 * 28 * 28},
}


def test_the_values_are_pinned_and_each_has_a_source() -> None:
    assert preset_names() == list(VALUES)
    for name, values in VALUES.items():
        preset = load_preset(name)
        assert {key: setting.value for key, setting in preset.settings.items()} == values
        assert set(values) <= set(SETTINGS)
        assert preset.title and preset.note and all(setting.source for setting in preset.settings.values())
        if "prompt" in values:
            check_style(values["prompt"])


def plan(preset: str, options: EngineOptions | None = None, **settings: Any) -> EvaluationPlan:
    return EvaluationPlan.of([], ["scenes"], engine="mock", preset=preset, options=options, **settings)


@pytest.mark.parametrize("name", VALUES)
def test_a_plan_has_the_values_of_its_preset(name: str) -> None:
    made = plan(name)
    for key, value in VALUES[name].items():
        assert getattr(made.options if key in PIXELS else made, key) == value


def test_what_is_given_takes_precedence() -> None:
    made = plan("vlmevalkit", EngineOptions(max_pixels=2000000), prompt="cot", max_tokens=64)
    assert (made.prompt, made.max_tokens, made.options.max_pixels) == ("cot", 64, 2000000)
    assert (made.options.min_pixels, made.temperature, made.top_p) == (1003520, 0.01, 0.001)
    lines = made.preset_lines()
    assert "prompt cot, as given, instead of vlmevalkit" in lines
    assert "max_pixels 2000000, as given, instead of 12845056" in lines
    assert any(line.startswith("min_pixels 1003520: VLMEvalKit, vlmeval/config.py") for line in lines)
    assert lines[-1].startswith("note: ")


def test_another_temperature_leaves_out_the_rest_of_the_sampling() -> None:
    made = plan("vlmevalkit", temperature=0.7)
    assert (made.temperature, made.top_p, made.top_k) == (0.7, None, None)
    assert "top_k of the task, not 1, since another temperature is given" in made.preset_lines()


def test_pixel_limits_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match=r"min_pixels \(1003520\) is above max_pixels \(50000\)"):
        plan("vlmevalkit", EngineOptions(max_pixels=50000))


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UsageError) as error:
        plan("vlmeval")
    known = "ssl4rl, vlmevalkit, lmms-eval, qwen2.5-vl-card"
    assert str(error.value) == f"no preset 'vlmeval'; did you mean vlmevalkit? (there are {known})"


def test_the_spec_records_the_values_and_not_the_name(tmp_path: Path) -> None:
    run = sb.evaluate("gold", "scenes", engine="mock", preset="lmms-eval", limit=6, out=tmp_path / "run")
    text = (run.path / "spec.json").read_text()
    spec = json.loads(text)
    task = spec["tasks"]["ssl4rl_scenes"]
    assert (spec["pixels"], task["prompt"]) == ({"min": 200704, "max": 1605632}, "lmms-eval")
    assert task["sampling"] == {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "max_tokens": 1024}
    assert '"preset"' not in text
    limits = {"min_pixels": 200704, "max_pixels": 1605632}
    same = sb.evaluate(
        "gold",
        "scenes",
        engine="mock",
        options=limits,
        prompt="lmms-eval",
        temperature=0,
        max_tokens=1024,
        limit=6,
        out=tmp_path / "run",
    )
    assert same.path == run.path


def test_a_dry_run_shows_the_values_and_their_sources() -> None:
    asked = ("run", "--engine", "mock", "--tasks", "scenes", "--limit", "6", "--dry-run")
    shown = " ".join(bench(*asked, "--preset", "vlmevalkit", "--max-tokens", "99").out.split())
    assert "preset vlmevalkit" in shown
    assert "min_pixels 1003520: VLMEvalKit, vlmeval/config.py: 1280 * 28 * 28" in shown
    assert "max_tokens 99, as given, instead of 2048" in shown
    assert "Please select the correct answer from the options above." in shown
    assert "preset" not in bench(*asked).out


def test_the_help_names_each_preset() -> None:
    shown = " ".join(bench("run", "--help").out.split())
    assert all(name in shown for name in VALUES)


def test_a_preset_without_a_wording_for_a_task_says_what_to_use() -> None:
    done = bench(
        "run",
        "--engine",
        "mock",
        "--tasks",
        "ssl_rotation_90",
        "--limit",
        "4",
        "--dry-run",
        "--preset",
        "lmms-eval",
    )
    assert done.code == 2
    assert "SSL tasks have no prompt style 'lmms-eval': use one of direct, cot, ssl4rl, boxed." in done.err
