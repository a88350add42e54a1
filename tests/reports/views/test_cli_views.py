from __future__ import annotations

from pathlib import Path

import pytest
from commands import invoke


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The mock engine's runs have no weights, so that all of them count as runs of one."""
    root = tmp_path_factory.mktemp("views")
    made = {}
    for name, behaviour, tasks, more in (
        ("base", "random", "scenes,ssl_rotation_90,ssl_rotation_45", ()),
        ("tiny-rotation", "gold", "scenes,ssl_rotation_90", ()),
        ("blind", "constant:A", "scenes", ("--image", "blank")),
    ):
        made[name] = root / name
        args = ("--engine", "mock", "--mock", behaviour, "--tasks", tasks, "--limit", 24, "--out", made[name])
        invoke("run", "--model", name, *args, *more)
    return made


@pytest.mark.slow
def test_views_are_printed_and_drawn(runs: dict[str, Path], tmp_path: Path) -> None:
    places = runs["base"], runs["tiny-rotation"], runs["blind"]
    out = tmp_path / "new" / "figures"
    args = ("--view", "transfer,goldilocks", "--allow", "partial", "--figures", out)
    text = invoke("report", *places, *args, "--trained", "tiny-rotation=ssl_rotation_45")
    assert "Transfer: what each training changed against base" in text
    assert "rotation 45" in text
    assert "On rotation base (mock) is" in text
    assert sorted(path.name for path in out.iterdir()) == [
        "goldilocks.png",
        "goldilocks.svg",
        "transfer.png",
        "transfer.svg",
    ]


@pytest.mark.slow
def test_what_is_wrong_is_one_sentence(runs: dict[str, Path]) -> None:
    two = runs["base"], runs["tiny-rotation"], "--allow", "partial"
    assert (
        "no --view tranfer (known: transfer, goldilocks, additivity, bias, attend); did you mean transfer?"
        in invoke("report", *two, "--view", "tranfer", code=2)
    )
    assert "--view additivity needs a checkpoint" in invoke("report", *two, "--view", "additivity", code=2)
    assert "--view attend needs attend.json next to the run of base" in invoke(
        "report", *two, "--view", "attend", code=2
    )
    assert "nobody is not among the runs" in invoke(
        "report", *two, "--view", "transfer", "--trained", "nobody=rotation", code=2
    )
    file = runs["base"] / "spec.json"
    assert "cannot write" in invoke("report", *two, "--view", "transfer", "--figures", file, code=2)
