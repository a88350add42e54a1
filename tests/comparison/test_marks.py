"""Runs of the mock engine and replayed replies are marked in every table, whatever they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import invoke


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two runs of each mark, all called "mine"."""
    root = tmp_path_factory.mktemp("marks")
    asked = ("run", "--model", "mine", "--tasks", "scenes,ssl_rotation_90", "--limit", 20, "--engine")
    found = {}
    for at in (1, 2):
        for mark, more in (
            ("mock", ("mock", "--mock", "random")),
            ("replay of mock", ("replay", "--replies", root / "mock1")),
            ("replay", ("replay", "--replies", root / "journals")),
        ):
            name = f"{mark}{at}".replace(" ", "-")
            found[f"{mark}{at}"] = root / name
            said = invoke(*asked, *more, "--out", root / name)
            assert said.count(f"mine ({mark})") >= 2, said  # in the benchmark's table and in the probe's
            if name == "mock1":
                (root / "journals").mkdir()
                for path in (root / name / "journal").iterdir():
                    (root / "journals" / path.name).write_bytes(path.read_bytes())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("mark", ["mock", "replay", "replay of mock"])
def test_every_output_marks_it(made: dict[str, Path], tmp_path: Path, mark: str) -> None:
    one, two = made[f"{mark}1"], made[f"{mark}2"]
    shown = f"({mark})"
    for form in ("table", "markdown", "json"):
        text = invoke("show", one, "--format", form).replace("\\", "")
        assert (shown if form != "json" else '"engine"') in text and mark.split(maxsplit=1)[0] in text
    assert shown in invoke("show", one, "--leaves")
    assert shown in invoke("score", one, "--dry-run")
    assert shown in invoke("audit", "reading", one)
    assert f" {mark} " in invoke("list", "runs", "--root", one.parent)
    both = (one, two, "--allow", "partial")
    for form in ("table", "markdown", "latex", "csv", "json"):
        text = invoke("compare", *both, "--format", form).replace("\\", "")
        assert text.count(shown) >= 4, (form, text)
    page = tmp_path / "page.html"
    invoke("report", *both, "-o", page, "--no-samples")
    assert page.read_text().count(shown) > 10
    assert shown in invoke("report", *both, "--view", "transfer")
    policy = tmp_path / "gate.toml"
    policy.write_text('allow = ["partial"]\n[[rule]]\ntask = "scenes"\nkind = "no_worse_than"\nmargin = 60\n')
    names = {name: tmp_path / f"gate.{name}" for name in ("junit", "summary", "json", "html")}
    flags = [item for name, path in names.items() for item in (f"--{name}", path)]
    said = invoke("gate", "-b", one, "-c", two, "-p", policy, *flags)
    for name, text in {"terminal": said, **{name: path.read_text() for name, path in names.items()}}.items():
        assert text.replace("\\", "").count(shown) >= 2, name
    saved = tmp_path / "base.json"
    invoke("gate", "-c", one, "--save-baseline", saved)
    assert shown in invoke("gate", "-b", saved, "-c", two, "-p", policy)


def test_a_mock_run_is_refused_beside_others_on_every_path(made: dict[str, Path], tmp_path: Path) -> None:
    policy = tmp_path / "gate.toml"
    policy.write_text('allow = ["partial"]\n[[rule]]\ntask = "scenes"\nkind = "no_worse_than"\nmargin = 60\n')
    for mocked in ("mock1", "replay of mock1"):
        both = (made[mocked], made["replay1"])
        for args in (
            ("compare", *both, "--allow", "partial"),
            ("report", *both, "--allow", "partial", "-o", tmp_path / "x.html"),
            ("gate", "-b", both[0], "-c", both[1], "-p", policy),
            ("gate", "-b", both[1], "-c", both[0], "-p", policy),
        ):
            assert "a mock run is compared only with mock runs" in invoke(*args, code=2)
    invoke("compare", made["mock1"], made["replay of mock1"], "--allow", "partial")
    card = (
        "export",
        made["replay of mock1"],
        "--to",
        "model-card",
        "--model",
        "tiny-base",
        "--out",
        tmp_path,
    )
    assert "whose replies say nothing about a checkpoint" in invoke(*card, code=2)
    kept = ("export", made["replay1"], "--to", "model-card", "--model", "tiny-base", "--out", tmp_path)
    invoke(*kept)
    text = (tmp_path / "README.md").read_text().replace("\\", "")
    assert "Replies came from engine replay" in text and "(replay)" in text
