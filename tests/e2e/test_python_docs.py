"""What docs/python.md and the notebook beside it show works, in order, with the bundled checkpoints."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path

import pytest

import ssl4rl_bench as sb

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of this file runs: what the page evaluated, the notebook resumes."""
    return tmp_path_factory.mktemp("python")


def test_the_page(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    text = (DOCS / "python.md").read_text()
    scope: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), scope)  # noqa: S102
    (value,) = scope["reward"](["<answer>90</answer>"], target=["90"], task=["ssl_rotation_90"])  # type: ignore[operator]
    assert value == 1.0
    assert set(re.findall(r"^\| `(\w+)", text, re.MULTILINE)) <= {*sb.__all__}


def test_the_example_of_evaluate(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    (test,) = doctest.DocTestFinder(recurse=False).find(
        sb.evaluate, "evaluate", globs={"evaluate": sb.evaluate}
    )
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0


def test_the_notebook_runs_and_its_stored_figures_are_those_of_today(place: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    stored = nbformat.read(DOCS / "python.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    run = NotebookClient(
        nbformat.read(DOCS / "python.ipynb", as_version=4),  # type: ignore[no-untyped-call]
        timeout=900,
        resources={"metadata": {"path": str(place)}},
    ).execute()
    assert plain(run) == plain(stored)


def plain(notebook: object) -> list[list[str]]:
    """The text of every cell's outputs; pictures and warnings are left out."""
    cells = json.loads(json.dumps(notebook))["cells"]
    return [
        [
            re.sub(r"-[0-9a-f]{8}\b", "-HASH", "".join(output.get("text") or output["data"]["text/plain"]))
            for output in cell.get("outputs", [])
            if output.get("name") != "stderr"
        ]
        for cell in cells
        if cell["cell_type"] == "code"
    ]
