"""The Python code of all pages, and the notebook, work in order with the bundled checkpoints."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pages import all_blocks, blocks
from pictures import encoded

import ssl4rl_bench as sb

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = pytest.mark.engine


def python_of(page: str) -> list[str]:
    return [block.text for block in blocks(page) if block.language == "python"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all of this file runs: what the page evaluated, the notebook resumes."""
    return tmp_path_factory.mktemp("python")


def test_the_page(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    text = (DOCS / "python.md").read_text()
    scope: dict[str, object] = {}
    assert len(python_of("docs/python.md")) >= 4
    for block in python_of("docs/python.md"):
        exec(compile(block, "docs/python.md", "exec"), scope)  # noqa: S102
    (value,) = scope["reward"](["<answer>90</answer>"], target=["90"], task=["ssl_rotation_90"])  # type: ignore[operator]
    assert value == 1.0
    assert set(re.findall(r"^\| `(\w+)", text, re.MULTILINE)) <= {*sb.__all__}


def test_no_other_page_has_python_code() -> None:
    assert {block.page for block in all_blocks("python")} == {
        "docs/python.md",
        "docs/ask.md",
        "docs/other-tools.md",
    }


def test_the_callback_stops_a_trainer_when_the_file_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import TrainerControl

    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    (block,) = (text for text in python_of("docs/other-tools.md") if "StopOnFile" in text)
    exec(compile(block, "docs/other-tools.md", "exec"), scope)  # noqa: S102
    control = TrainerControl()
    scope["StopOnFile"]().on_step_end(None, None, control)
    assert not control.should_training_stop and not control.should_save
    Path("stop.json").write_text("{}")
    scope["StopOnFile"]().on_step_end(None, None, control)
    assert control.should_training_stop and control.should_save


def test_the_page_on_asking(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    Path("scene.png").write_bytes(encoded(1))
    chats = [[{"role": "user", "content": question}] for question in ("Who are you?", "What is this?")]
    scope: dict[str, object] = dict(zip(("messages1", "messages2"), chats, strict=True))
    for block in python_of("docs/ask.md"):
        exec(compile(block.replace("MODEL", "tiny-base"), "docs/ask.md", "exec"), scope)  # noqa: S102
    assert len(capsys.readouterr().out.splitlines()) >= 3


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
