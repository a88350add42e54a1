"""Reports of benchmarks whose categories are not MMBench's, or that have none."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmbench_data import questions, write_tsv
from test_cli_views import invoke

CATEGORIES = {
    "none": {"category": "", "l2-category": ""},
    "foreign": {"category": "counting", "l2-category": "my ability"},
    "mixed": {"category": "counting", "l2-category": "coarse_perception"},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CATEGORIES)
@pytest.mark.parametrize("n", [1, 12])
def test_every_report_of_such_a_benchmark(kind: str, n: int, tmp_path: Path) -> None:
    data = write_tsv(tmp_path / "data.tsv", questions(n, **CATEGORIES[kind]))
    places = []
    for name, behaviour in (("base", "random"), ("tiny-rotation", "constant:A"), ("other", "gold")):
        places.append(tmp_path / name)
        args = ("--engine", "mock", "--mock", behaviour, "--tasks", "mmbench_dev_en", "--data", data)
        invoke("run", "--model", name, *args, "--out", places[-1])
    seen = [*places, "--data", data]
    page = tmp_path / "page.html"
    invoke("report", *seen, "--out", page)
    assert page.stat().st_size > 10_000
    text = invoke("report", *seen, "--view", "transfer", "--trained", "tiny-rotation=ssl_rotation_90")
    assert "Transfer" in text
    for form in ("table", "markdown", "latex", "csv", "json"):
        assert "tiny-rotation" in invoke("compare", *places, "--format", form)
