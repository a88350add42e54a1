"""Each format as its readers read it."""

from __future__ import annotations

import base64
import csv
import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from pictures import write_folder
from PIL import Image

from ssl4rl_bench.core import images
from ssl4rl_bench.core.types import Completion
from ssl4rl_bench.datasets import build_dataset
from ssl4rl_bench.task import ssl

N = 10
NAME = "ssl4rl_ssl_jigsaw_2x2"
TASK = ssl.make_task("jigsaw", {"k": 2})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same samples in every format."""
    place = tmp_path_factory.mktemp("built")
    folder = write_folder(place / "photos", N, size=(160, 120))
    for format in ("parquet", "jsonl", "verl", "trl", "tsv"):
        build_dataset(TASK, NAME, str(folder), place / format, format=format, workers=1, split=0.6)
    return place


def table(built: Path, format: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return [
        row
        for split in ("train", "test")
        for row in pq.read_table(built / format / f"{split}.parquet").to_pylist()
    ]


def test_all_formats_hold_the_same_samples(built: Path) -> None:
    plain = {row["id"]: row for row in table(built, "parquet")}
    assert len(plain) == N
    for row in table(built, "trl"):
        same = plain.pop(row["id"])
        assert row["images"] == same["images"]
        assert (row["target"], row["task"]) == (same["target"], NAME)
        assert row["prompt"] == [{"role": "user", "content": same["prompt"]}]
    assert not plain


def test_a_right_reply_scores_1_and_pictures_are_whole(built: Path) -> None:
    for row in table(built, "parquet"):
        score = TASK.score(Completion(f"<answer>{row['target']}</answer>", "stop"), row["target"])
        assert score.value == 1.0
        assert len(row["images"]) == 4
        for image in row["images"]:
            assert images.decode(images.from_bytes(image["bytes"])).width >= 28


def test_pandas_reads_parquet(built: Path) -> None:
    import pandas as pd

    frame = pd.read_parquet(built / "parquet" / "train.parquet")
    assert list(frame) == ["id", "task", "images", "prompt", "target", "split", "index", "sources"]
    assert set(frame["split"]) == {"train"}
    assert isinstance(frame["images"][0][0]["bytes"], bytes)


@pytest.mark.parametrize("format", ["parquet", "verl", "trl"])
@pytest.mark.slow
def test_datasets_decodes_the_images_of_parquet(
    built: Path, format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(built / format), cache_dir=str(tmp_path))
    assert set(loaded) == {"train", "test"}
    assert len(loaded["train"]) + len(loaded["test"]) == N
    shown = loaded["train"][0]["images"]
    assert all(isinstance(image, Image.Image) and image.mode == "RGB" for image in shown)
    prompt = loaded["train"][0]["prompt"]
    assert isinstance(prompt, str) or [message["role"] for message in prompt] == ["user"]


@pytest.mark.parametrize("format", ["jsonl", "tsv"])
def test_datasets_reads_text_formats(built: Path, format: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(built / format), cache_dir=str(tmp_path))
    assert len(loaded["train"]) + len(loaded["test"]) == N


def test_verl_has_its_columns_and_a_placeholder_for_each_image(built: Path) -> None:
    for row in table(built, "verl"):
        assert list(row) == ["data_source", "prompt", "images", "ability", "reward_model", "extra_info"]
        assert row["data_source"] == NAME
        assert row["prompt"][0]["content"].count("<image>") == len(row["images"]) == 4
        assert row["prompt"][0]["content"].startswith("<image>" * 4)
        assert row["reward_model"]["style"] == "rule"
        assert row["extra_info"]["split"] in ("train", "test")
        assert isinstance(row["extra_info"]["index"], int)
        # What verl's reader does with an image that `datasets` has not decoded.
        assert Image.open(io.BytesIO(row["images"][0]["bytes"])).mode == "RGB"
    numbers = [row["extra_info"]["index"] for row in table(built, "verl")]
    assert len(set(numbers)) == N


def test_verl_s_reward_file_scores_the_rows(built: Path) -> None:
    pytest.importorskip("ssl4rl_bench.train.rewards")
    spec = importlib.util.spec_from_file_location("reward", built / "verl" / "reward.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for row in table(built, "verl"):
        target = row["reward_model"]["ground_truth"]
        assert (
            _value(module.compute_score(NAME, f"<answer>{target}</answer>", target, row["extra_info"])) == 1.0
        )
        wrong = TASK.wrong(target)
        assert (
            _value(module.compute_score(NAME, f"<answer>{wrong}</answer>", target, row["extra_info"])) == 0.0
        )
    sys.modules.pop("reward", None)


def _value(score: Any) -> float:
    return float(score["score"] if isinstance(score, dict) else score)


def test_jsonl_names_image_files_by_their_hash(built: Path) -> None:
    plain = {row["id"]: row for row in table(built, "parquet")}
    for split in ("train", "test"):
        for line in (built / "jsonl" / f"{split}.jsonl").read_text("utf-8").splitlines():
            row = json.loads(line)
            for name, image in zip(row["images"], plain[row["id"]]["images"], strict=True):
                data = (built / "jsonl" / name).read_bytes()
                assert data == image["bytes"]
                assert images.from_bytes(data).sha256 in name


def test_tsv_is_vlmevalkit_s_layout(built: Path) -> None:
    csv.field_size_limit(1 << 30)
    plain = {row["id"]: row for row in table(built, "parquet")}
    with (built / "tsv" / "train.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            same = plain[row["index"]]
            texts = json.loads(row["image"].replace("'", '"'))  # VLMEvalKit reads it as a list of Python
            assert [base64.b64decode(text) for text in texts] == [image["bytes"] for image in same["images"]]
            assert len(json.loads(row["image_path"].replace("'", '"'))) == len(texts)
            assert (row["question"], row["answer"]) == (same["prompt"], same["target"])
