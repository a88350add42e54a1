"""Files that this project exported are the same runs again, and are imports if a reply was changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from exported_runs import MIXED, PICTURES, run_of, write_data, write_mmbench
from mmbench_data import questions_by_ability

import ssl4rl_bench as sb
from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.interop.stored import STORED
from ssl4rl_bench.run.observing import Observer
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec
from ssl4rl_bench.score.runs import Run

WITH_SPEC = ("parquet", "lm-eval", "lmms-eval")
"""The formats that hold the specification of the run."""


class Said(Observer):
    """Collects what an import says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(text)


def exported(run: Run, to: str, folder: Path) -> Path:
    """The file with the replies."""
    return sb.export_run(run, to, folder).paths[-1]


def imported(file: Path, folder: Path, task: str = "mmstar", **options: Any) -> tuple[Run, str]:
    said = Said()
    run = sb.import_predictions(
        file, task, data=write_data(folder, task), out=folder / "again", progress=said, **options
    )
    return run, "\n".join(said.lines)


def spec_of(run: Run) -> RunSpec:
    return RunDir.open(run.path).spec


def replace_text(file: Path, old: str, new: str) -> None:
    """Replaces the text of replies in a file, and nothing else."""
    if file.suffix == ".parquet":
        table = pq.read_table(file)
        texts = [new if text == old else text for text in table["reply"].to_pylist()]
        place = table.schema.get_field_index("reply")
        pq.write_table(table.set_column(place, table.schema.field(place), [texts]), file)
        return
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    text = "".join(json.dumps(line).replace(json.dumps(old), json.dumps(new)) + "\n" for line in lines)
    file.write_text(text)


@pytest.mark.parametrize("to", WITH_SPEC)
def test_an_unchanged_file_is_the_run_that_was_exported(to: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, "mmstar", {"1": {"text": "<answer>C</answer>", "finish_reason": "length"}})
    again, said = imported(exported(run, to, tmp_path / "out"), tmp_path)
    assert spec_of(again) == spec_of(run) and again.model == run.model == "my/model (replay)"
    assert "the settings are those of the run" in said and "unknown" not in said
    assert again.result["tasks"] == run.result["tasks"]
    (sitting,) = RunDir.open(again.path).sittings()
    assert sitting["outcome"] == "imported" and "sha256" in sitting["engine_options"]
    sb.compare([run, again])  # no setting differs


@pytest.mark.parametrize("to", WITH_SPEC)
def test_a_file_with_another_reply_is_an_import(to: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, "mmstar", {"1": {"text": "<answer>C</answer>"}})
    file = exported(run, to, tmp_path / "out")
    replace_text(file, "<answer>C</answer>", "<answer>B</answer>")
    again, said = imported(file, tmp_path)
    assert again.model in ("my/model (imported)", f"{file.stem} (imported)")
    assert spec_of(again).unknown
    assert "does not apply (replies are not those that were exported, or some were left out)" in said


def test_the_same_questions_with_other_pictures_are_another_run(tmp_path: Path) -> None:
    run = run_of(tmp_path, "mmbench_dev_en", {})
    file = exported(run, "parquet", tmp_path / "out")
    other = next(PICTURES.rglob("*.png")).read_bytes()
    data = write_mmbench(tmp_path, [{**row, "image": other} for row in questions_by_ability(7)])
    said = Said()
    again = sb.import_predictions(file, "mmbench_dev_en", data=data, out=tmp_path / "again", progress=said)
    assert "does not apply (the task or its data is another one here)" in "\n".join(said.lines)
    assert spec_of(again).unknown


@pytest.mark.parametrize("to", ["parquet", "lmms-eval"])
def test_failed_and_cut_replies_of_a_limited_run_come_back(to: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, "mmbench_dev_en", MIXED, limit=5)
    again, _ = imported(exported(run, to, tmp_path / "out"), tmp_path, "mmbench_dev_en")
    assert spec_of(again) == spec_of(run)
    assert again.result["partial_reasons"] == run.result["partial_reasons"] != []
    assert (
        again.result["tasks"]["ssl4rl_mmbench_dev_en"]["status"]
        == run.result["tasks"]["ssl4rl_mmbench_dev_en"]["status"]
    )


def test_settings_of_a_known_run_are_not_stated_again(tmp_path: Path) -> None:
    file = exported(run_of(tmp_path, "mmstar", {}), "parquet", tmp_path / "out")
    with pytest.raises(UsageError, match="has the specification of its run: leave --set out"):
        imported(file, tmp_path, settings={"temperature": 0})


@pytest.fixture
def mock(tmp_path: Path) -> Run:
    made = sb.evaluate(
        "gold", "mmstar", data=write_data(tmp_path, "mmstar"), engine="mock", out=tmp_path / "run"
    )
    assert isinstance(made, Run)
    return made


@pytest.mark.parametrize("to", WITH_SPEC)
@pytest.mark.parametrize("edited", [False, True], ids=["unchanged", "edited"])
def test_made_up_replies_stay_made_up(to: str, edited: bool, mock: Run, tmp_path: Path) -> None:
    file = exported(mock, to, tmp_path / "out")
    if edited:
        (text, *_) = sorted(set(mock.samples().reply))
        replace_text(file, text, "<answer>D</answer> or so")
    again, _ = imported(file, tmp_path, model="mine")
    assert spec_of(again).mocked
    assert again.model == ("mine (imported from mock)" if edited else "mine (mock)")
    real = tmp_path / "real"
    real.mkdir()
    with pytest.raises(UsageError, match="generated by the mock engine"):
        sb.compare([run_of(real, "mmstar", {}), again])


def test_a_file_of_vlmevalkit_is_known_by_its_name(mock: Run, tmp_path: Path) -> None:
    file = exported(mock, "vlmevalkit", tmp_path / "out")
    assert imported(file, tmp_path, model="mine")[0].model == "mine (imported from mock)"


@pytest.mark.parametrize("damage", [{"spec": {}}, {"loading": 3}, {"replies_sha256": 5}])
def test_a_damaged_specification_is_one_sentence(damage: dict[str, Any], tmp_path: Path) -> None:
    file = exported(run_of(tmp_path, "mmstar", {}), "parquet", tmp_path / "out")
    table = pq.read_table(file)
    stored = json.loads(table.schema.metadata[STORED.encode()]) | damage
    pq.write_table(table.replace_schema_metadata({STORED: json.dumps(stored)}), file)
    with pytest.raises(DataError, match="has a specification of a run that cannot be read"):
        imported(file, tmp_path)
