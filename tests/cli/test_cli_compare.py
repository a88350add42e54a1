from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from commands import invoke


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("compare")
    made = {}
    for name, behaviour, tasks, more in (
        ("base", "random", "scenes,ssl_rotation_90", ()),
        ("gold", "gold", "scenes,ssl_rotation_90", ()),
        ("probe", "gold", "ssl_position", ()),
        ("direct", "gold", "scenes", ("--prompt", "direct")),
    ):
        place = root / name
        args = ("--engine", "mock", "--mock", behaviour, "--tasks", tasks, "--limit", 24, "--out", place)
        invoke("run", "--model", name, *args, *more)
        made[name] = place
    return made


@pytest.mark.slow
def test_two_runs_are_compared_on_all_that_both_have(runs: dict[str, Path]) -> None:
    shown = invoke("compare", runs["base"], runs["gold"], "--allow", "partial")
    assert "gold (mock) minus base (mock)" in shown and "ssl_rotation" in shown
    assert "gold (mock) is better than base (mock) on scenes (circular_micro)" in shown
    assert "note:" in shown and "limited to 24" in shown


@pytest.mark.slow
def test_a_limited_run_is_refused_unless_allowed(runs: dict[str, Path]) -> None:
    message = invoke("compare", runs["base"], runs["gold"], code=2)
    assert "partial" in message and message.endswith("--allow partial") and "\n" not in message


def test_formats_and_files(runs: dict[str, Path], tmp_path: Path) -> None:
    both = (runs["base"], runs["gold"], "--allow", "partial")
    card = json.loads(files("ssl4rl_bench.reports").joinpath("published/ssl4rl_mmbench.json").read_text())
    (tmp_path / "p.json").write_text(json.dumps(card | {"benchmark": ["scenes"]}))
    value = json.loads(invoke("compare", *both, "--format", "json"))
    assert value["boards"][0]["task"] == "ssl4rl_scenes" and len(value["probes"]) == 2
    for form in ("markdown", "latex", "csv", "table"):
        out = tmp_path / f"out.{form}"
        assert (
            invoke("compare", *both, "--format", form, "--out", out, "--published", tmp_path / "p.json") == ""
        )
        text = out.read_text().replace("\\", "")
        assert "gold (mock)" in text and "(published)" in text and "is partial (limited to 24" in text
    said = invoke("compare", *both, "--published", "ssl4rl_mmbench", code=2)
    assert "belongs to mmbench_dev_en, and the runs to scenes" in said
    assert "cannot" in invoke("compare", *both, "--out", tmp_path / "none" / "x.txt", code=2)


def test_leaves_use_benjamini_hochberg_and_methods_their_seeds(runs: dict[str, Path]) -> None:
    both = (runs["base"], runs["gold"], "--allow", "partial")
    assert "· bh" in invoke("compare", *both, "--by", "l3", "--tasks", "scenes")
    shown = invoke("compare", *both, "--group-by", "seed")
    assert "SD of seeds" in shown
    assert "leave out --format json" in invoke(
        "compare", *both, "--group-by", "seed", "--format", "json", code=2
    )


@pytest.mark.parametrize(
    ("names", "more", "message"),
    [
        (("base",), (), "one run cannot be compared"),
        (("base", "probe"), (), "the runs share no task"),
        (("base", "gold"), ("--baseline", "glod"), "did you mean gold"),
        (("base", "gold"), ("--aggregation", "micro"), "no aggregation micro"),
        (("base", "gold"), ("--tasks", "scene"), "did you mean ssl4rl_scenes"),
        (("base", "direct"), ("--allow", "partial"), "another prompt style (direct and ssl4rl)"),
        (("base", "gold"), ("--published", "nothing"), "nothing"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    runs: dict[str, Path], names: tuple[str, ...], more: tuple[str, ...], message: str
) -> None:
    said = invoke("compare", *(runs[name] for name in names), *more, code=2)
    assert message in said and "\n" not in said
