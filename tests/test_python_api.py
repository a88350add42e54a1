"""The public Python API: what its names are, that they stay light and callable, and that their examples hold."""

from __future__ import annotations

import ast
import doctest
import gzip
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import forked
import pytest
from commands import bench

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import BenchError, StoreError, UsageError

REPLIES = Path(__file__).parent / "data" / "golden" / "replies"
NAMES = [
    "Advice",
    "Comparisons",
    "Explanation",
    "Gate",
    "Progress",
    "Run",
    "Runs",
    "SSLReward",
    "TaskHandle",
    "advise",
    "compare",
    "evaluate",
    "explain",
    "export_run",
    "fetch",
    "gate",
    "import_predictions",
    "load_runs",
    "load_task",
    "make_reward",
    "merge",
    "open_run",
    "task_names",
]
"""Of the public API. Removing one breaks other people's code."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with runs of recorded replies, runs/base and runs/rotation, and a policy."""
    place = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name in ("base", "rotation"):
            replies = place / f"tiny-{name}.jsonl"
            replies.write_bytes(gzip.decompress((REPLIES / f"tiny-{name}.jsonl.gz").read_bytes()))
            sb.evaluate(
                f"tiny-{name}",
                "scenes",
                engine="replay",
                options={"replies": replies},
                out=f"runs/{name}",
            )
        rule = '[[rule]]\nkind = "no_worse_than"\ntask = "scenes"\nlevel = "overall"\nmargin = 5.0\n'
        (place / "gate.toml").write_text(rule)
        yield place


IMPORTS_ALL = """
import importlib, json, pkgutil, sys, types
import forked
import ssl4rl_bench as sb
sys.meta_path.insert(0, forked.Absent())
modules = [name for _, name, _ in pkgutil.walk_packages(sb.__path__, "ssl4rl_bench.", onerror=lambda _: None)]
imported = 0
for name in modules:
    if name.endswith("__main__"):
        continue
    try:
        importlib.import_module(name)
        imported += 1
    except ImportError:  # an extra that is not installed
        pass
public = {name: getattr(sb, name) for name in sb.__all__}
names = {name: callable(value) and not isinstance(value, types.ModuleType) for name, value in public.items()}
print(json.dumps([imported, names, sorted({name.split(".")[1] for name in modules})]))
"""


def test_the_names_are_pinned_and_said_once_to_python_and_once_to_type_checkers() -> None:
    stub = ast.parse((Path(sb.__file__).parent / "__init__.pyi").read_text())
    imported = [
        alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    assert sorted(sb.__all__) == sorted(imported) == NAMES
    for node in (node for node in stub.body if isinstance(node, ast.ImportFrom)):
        for alias in node.names:
            assert getattr(import_module(str(node.module)), alias.name) is getattr(sb, str(alias.asname))


def test_no_public_name_is_a_module_even_after_all_modules_are_imported() -> None:
    done = forked.run([sys.executable, "-c", IMPORTS_ALL], capture_output=True, text=True, check=True)
    imported, names, rooms = json.loads(done.stdout.splitlines()[-1])
    assert imported > 250 and names == dict.fromkeys(NAMES, True)
    assert not {*rooms} & {*NAMES}


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, ssl4rl_bench; print(sorted({'torch', 'numpy', 'pandas', 'typer', 'rich'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_unknown_name_is_an_attribute_error_and_dir_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'evalute'"):
        sb.evalute  # type: ignore[attr-defined]  # noqa: B018
    assert {*NAMES, "__version__"} <= {*dir(sb)}


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_says_what_it_is(name: str) -> None:
    thing = getattr(sb, name)
    assert inspect.getdoc(thing)
    if inspect.isfunction(thing) and name not in ("task_names",):
        assert "Raises:" in thing.__doc__ and "Example:" in thing.__doc__
        hints = inspect.get_annotations(thing)
        assert set(hints) == {*inspect.signature(thing).parameters, "return"}


@pytest.mark.parametrize(
    "name", ["open_run", "load_runs", "compare", "explain", "gate", "load_task", "make_reward"]
)
def test_the_example_of_a_docstring_holds(place: Path, name: str) -> None:
    """That of `evaluate` asks a real model: tests/e2e/test_python_docs.py runs it."""
    scope = {name: getattr(sb, name) for name in NAMES}
    examples = {name: scope[name]} | ({"score": sb.TaskHandle.score} if name == "load_task" else {})
    for called, function in examples.items():
        (test,) = doctest.DocTestFinder(recurse=False).find(function, called, globs=dict(scope))
        result = doctest.DocTestRunner().run(test)
        assert result.attempted and not result.failed


def test_a_run_has_the_figures_of_its_result(place: Path) -> None:
    run = sb.open_run("runs/base")
    assert (
        repr(run) == "<Run runs/base: tiny-base (replay) on scenes>"
        and run.complete
        and run.tasks == ["scenes"]
    )
    table = run.table()
    (overall,) = table.query("level == 'overall'").to_dict("records")
    cell = run.result["tasks"]["ssl4rl_scenes"]["aggregates"]["circular_micro"]["overall"]
    assert (overall["value"], [overall["low"], overall["high"]], overall["n"]) == (
        cell["value"],
        cell["ci95"],
        600,
    )
    assert len(table.query("level == 'l2'")) == 6 and len(table.query("level == 'l3'")) == 15
    rows = run.table("row_micro").query("level == 'overall'")
    assert rows.n.item() == 2234 and rows.aggregation.item() == "row_micro"
    with pytest.raises(UsageError, match="did you mean circular_micro"):
        run.table("circular_mirco")


def test_the_samples_of_a_run_are_its_journal_as_it_was_scored(place: Path) -> None:
    run = sb.open_run("runs/rotation")
    samples = run.samples()
    lines = [
        json.loads(line) for line in (run.path / "journal" / "ssl4rl_scenes.jsonl").read_text().splitlines()
    ]
    assert dict(zip(samples.id, samples.reply, strict=True)) == {line["id"]: line["text"] for line in lines}
    assert samples.score.mean() == pytest.approx(run.table("row_micro").value[0])
    assert samples.status.value_counts().to_dict() == {
        status: n for status, n in run.result["tasks"]["ssl4rl_scenes"]["status"].items() if n
    }
    by_group = samples.groupby("group").score.min().mean()
    assert by_group == pytest.approx(run.table().value[0])
    strict = run.samples("scenes", extractor="strict")
    assert (
        strict.score.mean() <= samples.score.mean() and (strict.answer.isna() >= samples.answer.isna()).all()
    )


def test_a_run_that_is_not_complete_shows_its_samples_and_has_no_table(place: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError):
        sb.evaluate("m", "scenes", limit=6, engine="mock", options={"mock_faults": 1.0}, out=tmp_path / "run")
    run = sb.open_run(tmp_path / "run")
    assert not run.complete and repr(run).endswith("incomplete>")
    assert run.samples().score.isna().all()
    with pytest.raises(StoreError, match="not complete"):
        run.table()
    assert len(sb.load_runs(tmp_path)) == 1 and sb.load_runs(tmp_path).table().empty


def test_the_same_call_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = sb.evaluate("m", ["scenes"], limit=6, engine="mock")
    written = (first.path / "journal" / "ssl4rl_scenes.jsonl").read_bytes()
    again = sb.evaluate("m", ["scenes"], limit=6, engine="mock")
    assert again == first and (first.path / "journal" / "ssl4rl_scenes.jsonl").read_bytes() == written


@pytest.mark.slow
def test_what_the_command_evaluates_the_call_finds_and_the_other_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = (
        "--temperature",
        "1",
        "--repeats",
        "2",
        "--seed",
        "3",
        "--set",
        "mock_latency=0",
        "--mock",
        "random",
    )
    done = bench("run", "-m", "m", "-t", "ssl_probes", "--limit", "2", "-e", "mock", *flags)
    assert done.code == 0
    how = {"temperature": 1.0, "repeats": 2, "seed": 3, "options": {"mock": "random", "mock_latency": 0.0}}
    run = sb.evaluate("m", "ssl_probes", limit=2, engine="mock", **how)  # type: ignore[arg-type]
    (only,) = sb.load_runs()
    assert isinstance(run, sb.Run) and only.path.resolve() == run.path.resolve() and run.complete
    assert len(run.samples()) > 0 and run.samples().repeat.max() == 1


def test_several_models_make_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = sb.evaluate(["a"], "scenes", limit=6, engine="mock")
    assert isinstance(runs, sb.Runs) and len(runs) == 1 and runs[0].model == "a (mock)"
    assert isinstance(runs[:1], sb.Runs) and list(runs[:1]) == list(runs)
    assert runs.table().run.unique().tolist() == [runs[0].path.name]


def test_differences_are_those_of_the_command(place: Path) -> None:
    compared = sb.compare(["runs/base", sb.open_run("runs/rotation")])
    table = compared.table()
    (printed,) = json.loads(bench("compare", "runs/base", "runs/rotation", "--format", "json").out)["boards"]
    (comparison,) = printed["comparisons"]
    assert len(table) == len(comparison["cells"]) == 7
    for row, cell in zip(table.to_dict("records"), comparison["cells"], strict=True):
        assert (row["category"], row["n"]) == (cell["name"], cell["n"])
        assert row["difference"] == pytest.approx(cell["value"], abs=1e-12)
        assert row["p_corrected"] == pytest.approx(cell["p_corrected"], abs=1e-12)
    assert (
        compared.baseline == "tiny-base (replay)" and len(compared) == 1 and list(compared) == [compared[0]]
    )
    assert "points, n 600" in repr(compared)


def test_a_single_run_or_a_misspelt_task_is_refused(place: Path) -> None:
    with pytest.raises(UsageError, match="name a second one"):
        sb.compare(["runs/base"])
    with pytest.raises(UsageError, match="did you mean ssl4rl_scenes"):
        sb.compare(["runs/base", "runs/rotation"], tasks=["scense"])


def test_a_verdict_is_that_of_the_command_and_a_series_shares_alpha(place: Path, tmp_path: Path) -> None:
    judged = sb.gate("runs/base", "runs/rotation", "gate.toml", family="s", family_dir=tmp_path)
    files = ("--family", "s", "--family-dir", tmp_path / "other", "--json", tmp_path / "gate.json")
    done = bench("gate", "-b", "runs/base", "-c", "runs/rotation", "-p", "gate.toml", *files)
    found = json.loads((tmp_path / "gate.json").read_text())
    assert (
        found["verdict"] == judged.verdict
        and done.code == {"pass": 0, "fail": 1, "inconclusive": 3}[judged.verdict]
    )
    assert judged.alpha == pytest.approx(0.025) and len(judged.table()) == len(judged.tested) == 1
    same = sb.gate(sb.open_run("runs/base"), sb.open_run("runs/base"), "gate.toml")
    assert same.verdict in ("pass", "inconclusive")


def test_a_task_scores_replies_by_name() -> None:
    rotation = sb.load_task("ssl4rl_ssl_rotation_90")
    assert repr(rotation).startswith("<Task ssl_rotation_90: ")
    assert rotation.score("I cannot tell.", "90").value == 0.0
    assert rotation.score("", "90", finish_reason="error").value is None
    with pytest.raises(UsageError, match="has no answer '91'"):
        rotation.score("<answer>91</answer>", "91")
    letters = sb.load_task("mmbench_dev_en")
    assert letters.score("The answer is B.", "B", {"A": "one", "B": "two"}).value == 1.0
    with pytest.raises(UsageError, match="give the choices"):
        letters.score("B", "B")
    with pytest.raises(UsageError, match="did you mean ssl4rl_ssl_rotation_90"):
        sb.load_task("ssl_rotation_09")
    assert len(sb.load_task("scenes").load(limit=6).samples) >= 6


def test_a_reward_pays_what_the_probe_scores() -> None:
    reward = sb.make_reward(
        ["ssl_rotation_90", "ssl_position"], weights={"ssl_position": 0.5}, format_weight=0.1
    )
    replies = ["<think>x</think> <answer>90</answer>", "<answer>90</answer>", "nothing"]
    assert reward(replies, target=["90"] * 3, task=["ssl4rl_ssl_rotation_90"] * 3) == pytest.approx(
        [1.1, 1.0, 0.0]
    )
    with pytest.raises(UsageError, match="not an SSL task"):
        sb.make_reward(["scenes"])
