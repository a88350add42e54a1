"""The core stays light: it imports without the packages that only engines and trainers need."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "vllm", "datasets", "trl", "pandas", "lmms_eval")


def loaded_after(code: str) -> set[str]:
    report = f"{code}\nimport sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.slow
def test_scoring_tables_and_engines_list_need_nothing_heavy() -> None:
    modules = (
        "evaluation run.runner run.rundir score.scoring task.registry task.validate task.scenes task.extract "
        "engines engines.chat engines.checkpoints.weights comparison.compare gating.judge reports.result.tables"
    )
    assert loaded_after("\n".join(f"import ssl4rl_bench.{name}" for name in modules.split())) == set()


def test_the_command_line_starts_without_numpy_or_pillow() -> None:
    code = (
        "from ssl4rl_bench.cli import app\nimport sys; assert not {'numpy', 'PIL', 'yaml'} & set(sys.modules)"
    )
    assert loaded_after(code) == set()


@pytest.mark.slow
def test_comparing_runs_imports_neither_pandas_nor_scipy_s_statistics() -> None:
    code = (
        "import ssl4rl_bench.cli.compare_print, ssl4rl_bench.cli.report_views, ssl4rl_bench.reports.html\n"
        "from ssl4rl_bench.stats.multiple import benjamini_hochberg; benjamini_hochberg([0.1, 0.2])\n"
        "import sys; assert not {'pandas', 'scipy.stats'} & set(sys.modules)"
    )
    assert loaded_after(code) == set()
