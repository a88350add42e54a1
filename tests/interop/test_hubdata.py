"""Hub data sets: read through `datasets` from a local folder, which it treats like a repository."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
from mmbench_data import located, picture, questions, write_parquet

from ssl4rl_bench.errors import DataError, MissingDependency
from ssl4rl_bench.interop.hubdata import hub_rows
from ssl4rl_bench.mmbench_rows import parse_rows

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("base64_images", [False, True])
def test_rows_as_from_the_file(tmp_path: Path, base64_images: bool) -> None:
    rows = questions(2)
    folder = tmp_path / "repository"
    folder.mkdir()
    write_parquet(folder / "validation-00000-of-00001.parquet", rows, base64_images=base64_images)
    parsed = parse_rows("hub", hub_rows(str(folder), split="validation"))
    assert parsed.rows == parse_rows("memory", located(rows)).rows
    assert parsed.rows[0].where == "row 1"


def test_images_stay_as_they_were_encoded(tmp_path: Path) -> None:
    """Also when the data set declares them as pictures, which `datasets` would decode."""
    rows = [row | {"image": {"bytes": picture(3, "JPEG"), "path": "3.jpg"}} for row in questions(1)]
    features = datasets.Features({key: datasets.Value("string") for key in rows[0]})
    features["image"], features["index"] = datasets.Image(), datasets.Value("int64")
    folder = tmp_path / "repository"
    folder.mkdir()
    datasets.Dataset.from_list(rows, features=features).to_parquet(folder / "train.parquet")
    (_, row), *_ = hub_rows(str(folder), split="train")
    assert row["image"]["bytes"] == picture(3, "JPEG")


@pytest.mark.parametrize("name", ["no-such-owner/no-such-data", "no-such-folder"])
def test_a_data_set_that_cannot_be_had_is_one_sentence(name: str) -> None:
    with pytest.raises(DataError, match="cannot be had from the hub") as error:
        list(hub_rows(name, split="dev"))
    assert "\n" not in str(error.value)
    assert "--data" in str(error.value)


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", questions(1))
    with pytest.raises(DataError, match="cannot be had"):
        list(hub_rows(str(tmp_path), split="test"))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependency, match=r"pip install 'ssl4rl-bench\[hub\]'$"):
        list(hub_rows("lmms-lab/MMBench", split="dev"))
