"""Documents for tasks of lmms-eval in every form of file; nothing that a row names is opened."""

from __future__ import annotations

import base64
import io
import json
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lmms_rows import drawing

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.names import HubName
from ssl4rl_bench.task.lmms.documents import Documents, open_documents

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("datasets") is None, reason="needs datasets"),
]

N = 3


def png(number: int) -> bytes:
    out = io.BytesIO()
    drawing(number).save(out, "PNG")
    return out.getvalue()


def read(path: Path) -> Documents:
    return open_documents(HubName("someone/pictures"), data=str(path), config=None, split="test", commit=None)


def write(path: Path) -> Path:
    texts = [base64.b64encode(png(number)).decode() for number in range(N)]
    rows = [{"image": text, "question": f"q{number}"} for number, text in enumerate(texts)]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".tsv":
        lines = [f"{row['image']}\t{row['question']}" for row in rows]
        path.write_text("\n".join(["image\tquestion", *lines]) + "\n")
    elif path.stem == "bytes":
        pq.write_table(pa.table({"image": [png(n) for n in range(N)], "question": ["q0", "q1", "q2"]}), path)
    else:
        cells = [{"bytes": png(n), "path": None} for n in range(N)]
        pq.write_table(pa.table({"image": cells, "question": ["q0", "q1", "q2"]}), path)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.tsv", "bytes.parquet", "struct.parquet"])
def test_pictures_of_every_form_are_decoded(name: str, tmp_path: Path) -> None:
    documents = read(write(tmp_path / name))
    assert documents.name == name
    assert [row["question"] for row in documents.table] == ["q0", "q1", "q2"]
    assert [row["image"].convert("RGB").tobytes() for row in documents.table] == [
        drawing(number).tobytes() for number in range(N)
    ]


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(2):
        write(tmp_path / "data" / f"struct-{number}.parquet")
    assert len(read(tmp_path / "data").table) == 2 * N


def test_a_picture_that_is_only_named_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(0))
    cells = [{"bytes": None, "path": str(tmp_path / "a.png")}]
    pq.write_table(pa.table({"image": cells}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="row 1: image names a file and has no bytes"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"x", "is not a table: give a file of one of .parquet"),
        ("a.parquet", b"x", "cannot be read as parquet"),
        ("a.jsonl", b"", "cannot be read as json|has no documents"),
    ],
)
def test_other_files(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read(tmp_path / name)


def test_neither_a_path_nor_a_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is neither a file or folder nor a hub id"):
        read(tmp_path / "missing.parquet")
