"""Data sets of a hub: which configuration and split are meant, at which commit, and what is told if it is unclear."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
from loopback_hub import GATE_TOKEN, Fault, LoopbackHub, dead_endpoint
from mmbench_data import question, questions, write_parquet, write_tsv
from pictures import encoded

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.names import HubName
from ssl4rl_bench.task.registry import load_task
from ssl4rl_bench.task.tables import hub as hubdata

pytest.importorskip("huggingface_hub")
from hub_child import tasks

pytestmark = pytest.mark.slow

REPO = "someone/MMBench"
CARD = """---
license: apache-2.0
configs:
- config_name: en
  data_files:
  - {split: dev, path: en/dev-*}
  - {split: test, path: "en/test-*"}
- config_name: cn
  data_files:
  - {split: dev, path: cn/dev-*}
---
# MMBench
"""


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        yield hub


def parquet(tmp_path: Path, rows: list[dict[str, Any]], **how: Any) -> bytes:
    return write_parquet(tmp_path / "made.parquet", rows, **how).read_bytes()


def by_language(tmp_path: Path) -> dict[str, bytes]:
    """The layout of lmms-lab's copy: configurations en and cn, the first split in two shards."""
    rows = {name: questions(3, question=name) for name in ("en", "cn", "test")}
    return {
        "README.md": CARD.encode(),
        "en/dev-00000-of-00002.parquet": parquet(tmp_path, rows["en"][:5]),
        "en/dev-00001-of-00002.parquet": parquet(tmp_path, rows["en"][5:], base64_images=True),
        "en/test-00000-of-00001.parquet": parquet(tmp_path, rows["test"]),
        "cn/dev-00000-of-00001.parquet": parquet(tmp_path, rows["cn"]),
    }


def test_the_rows_and_the_commit(hub: LoopbackHub, tmp_path: Path) -> None:
    commit = hub.add("dataset", REPO, by_language(tmp_path))
    hub.tag("dataset", REPO, "v1.0", commit)
    local = {
        name: load_task("mmbench_dev_en", data=str(write_tsv(tmp_path / name, questions(3, question=name))))
        for name in ("en", "cn", "test")
    }
    asked = [REPO, f"{REPO}@v1.0", f"{REPO}@{commit}", f"{REPO}#cn", f"{REPO}@main#en/test", f"{REPO}#test"]
    wanted = ["en/dev", "en/dev", "en/dev", "cn/dev", "en/test", "en/test"]
    answers = tasks(hub.environment(tmp_path / "home"), *asked)
    for name, part, (found, error) in zip(asked, wanted, answers, strict=True):
        assert error is None
        digest, n_samples, source = found
        assert source == [name, commit, *part.split("/")]
        assert (digest, n_samples) == (local["test" if part == "en/test" else part[:2]].data_sha256, 12)
    assert not any("cn/" in request for request in hub.requests[: len(hub.requests) // 4])
    for dead in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": dead_endpoint()}):
        assert tasks(hub.environment(tmp_path / "home", **dead), *asked) == answers


def test_what_is_not_cached_or_not_there(hub: LoopbackHub, tmp_path: Path) -> None:
    commit = hub.add("dataset", REPO, by_language(tmp_path))
    hub.add("dataset", "someone/gated", by_language(tmp_path))
    hub.close_off("dataset", "someone/gated", gated=True)
    hub.add("dataset", "someone/pictures", {"a.png": b"png"})
    asked = [
        "someone/none",
        f"{REPO}@v9",
        "someone/gated",
        "someone/pictures",
        f"{REPO}#en/dev2",
        f"{REPO}#dee",
    ]
    none, revision, gated, pictures, split, lone = (
        error for _, error in tasks(hub.environment(tmp_path / "home"), *asked)
    )
    assert "no data set 'someone/none'" in none
    assert "has no revision 'v9'" in revision
    assert "is gated: accept its terms at https://huggingface.co/datasets/someone/gated" in gated
    assert "no parquet, TSV, CSV, JSON or Arrow files" in pictures
    assert "has no en/dev2; did you mean en/dev?; it has en/dev, en/test, cn/dev" in split
    assert "has no dee" in lone
    assert all(
        error.startswith("DataError: ") and "\n" not in error for error in (none, revision, gated, split)
    )
    (opened,) = tasks(hub.environment(tmp_path / "home", HF_TOKEN=GATE_TOKEN), "someone/gated")
    assert opened[1] is None
    offline = hub.environment(tmp_path / "home", HF_HUB_OFFLINE="1")
    cached, never = tasks(offline, f"{REPO}#cn/dev", "other/data")
    assert "is only partly in the local cache" in cached[1]
    assert "no data set 'other/data'" in never[1] and "HF_HUB_OFFLINE is set" in never[1]
    assert commit


def test_a_cut_shard_is_never_read(hub: LoopbackHub, tmp_path: Path) -> None:
    files = by_language(tmp_path)
    hub.add("dataset", REPO, files)
    hub.faults.append(Fault("HEAD .*en/dev-00001", without=("ETag", "X-Linked-Etag")))
    ((_, cut),) = tasks(hub.environment(tmp_path / "home"), REPO)
    assert "could not be downloaded completely, since its response ended early" in cut
    ((_, offline),) = tasks(hub.environment(tmp_path / "home", HF_HUB_OFFLINE="1"), REPO)
    assert "only partly in the local cache" in offline
    hub.faults.clear()
    ((found, _),) = tasks(hub.environment(tmp_path / "home"), REPO)
    assert found[1] == 12


def test_other_formats_go_through_datasets(hub: LoopbackHub, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    import base64

    rows = [row | {"image": base64.b64encode(row["image"]).decode()} for row in questions(2)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    hub.add("dataset", "someone/lines", {"dev.jsonl": lines})
    hub.add("dataset", "someone/table", {"dev.tsv": write_tsv(tmp_path / "a.tsv", questions(2)).read_bytes()})
    (lines_read, _), (table_read, _) = tasks(
        hub.environment(tmp_path / "home"), "someone/lines", "someone/table"
    )
    assert lines_read[:2] == table_read[:2]


SPLITS = {"dev": ["f"], "test": ["f"]}


@pytest.mark.parametrize(
    ("parts", "config", "split", "part", "chosen"),
    [
        ({"en": SPLITS, "cn": SPLITS}, "en", "dev", None, ("en", "dev")),
        ({"en": SPLITS, "cn": SPLITS}, "en", "dev", "cn", ("cn", "dev")),
        ({"en": SPLITS, "cn": SPLITS}, "en", "dev", "cn/", ("cn", "dev")),
        ({"en": SPLITS, "cn": SPLITS}, "en", "dev", "/test", ("en", "test")),
        ({"en": SPLITS, "cn": SPLITS}, "en", "dev", "test", ("en", "test")),
        ({"en": SPLITS, "cn": SPLITS}, "ru", "dev", None, None),
        ({"cn": SPLITS}, "en", "dev", None, None),  # another language is not meant
        ({"default": SPLITS}, "en", "dev", None, ("default", "dev")),
        ({"default": {"validation": ["f"], "test": ["f"]}}, "en", "dev", None, ("default", "validation")),
        ({"default": {"train": ["f"]}}, "en", "dev", None, ("default", "train")),
        ({"default": {"dev": ["f"]}}, "en", "test", None, None),  # dev is not test
        ({"default": {"train": ["f"], "extra": ["f"]}}, "en", "dev", None, None),
        ({"pictures": {"all": ["f"]}}, None, "train", None, ("pictures", "all")),
        ({"a": SPLITS, "b": SPLITS}, None, "train", None, None),
        ({"default": SPLITS, "b": SPLITS}, None, "dev", None, ("default", "dev")),
        ({"default": SPLITS}, "en", "dev", "en/dev", None),
    ],
)
def test_which_part_is_meant(
    parts: Any, config: str | None, split: str, part: str | None, chosen: tuple[str, str] | None
) -> None:
    name = HubName("a/b", "v1", part)
    if chosen is not None:
        assert hubdata._choose(name, parts, config, split) == chosen
        return
    with pytest.raises(DataError, match=r"it has .*: name one after #, such as a/b@v1#\w+/\w+$"):
        hubdata._choose(name, parts, config, split)


@pytest.mark.parametrize(
    ("names", "card", "parts"),
    [
        (["data/dev-00000-of-00001.parquet", "README.md"], {}, {"default": {"dev": 1}}),
        (["data/a_b-00000-of-00002.parquet", "data/a_b-00001-of-00002.parquet"], {}, {"default": {"a_b": 2}}),
        (["MMBench_DEV_EN.tsv", "MMBench_TEST_EN.tsv"], {}, {"default": {"dev": 1, "test": 1}}),
        (["en.parquet", "more/cn.parquet"], {}, {"default": {"train": 2}}),
        (["a.parquet", "a.csv", "b.csv"], {}, {"default": {"train": 1}}),
        (["a.csv", "b.csv"], {}, {"default": {"train": 2}}),
        (["a.bin", ".gitattributes"], {}, {}),
        (
            ["x/train/a.parquet", "x/b.parquet", "y/a.parquet"],
            {"configs": [{"config_name": "x", "data_dir": "x"}, {"config_name": "y", "data_files": "y/*"}]},
            {"x": {"train": 1}, "y": {"train": 1}},
        ),
        (
            ["p/q/a.parquet", "p/b.parquet"],
            {"configs": [{"config_name": "x", "data_files": ["p/*.parquet"]}]},
            {"x": {"train": 1}},
        ),
        (
            ["p/q/a.parquet", "p/b.parquet"],
            {
                "configs": [
                    {"config_name": "x", "data_files": {"dev": "**/*.parquet"}},
                    "?",
                    {"data_files": 7},
                ]
            },
            {"x": {"dev": 2}, "default": {"train": 2}},
        ),
        (["a.parquet"], {"configs": "nonsense"}, {"default": {"train": 1}}),
    ],
)
def test_what_a_data_set_holds(names: list[str], card: Any, parts: dict[str, dict[str, int]]) -> None:
    found = hubdata._parts(names, card)
    assert {c: {s: len(files) for s, files in splits.items()} for c, splits in found.items()} == parts


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a/b", HubName("a/b")),
        ("a/b@main", HubName("a/b", "main")),
        ("a/b@refs/pr/1#en/dev", HubName("a/b", "refs/pr/1", "en/dev")),
        ("a/b#dev", HubName("a/b", None, "dev")),
        ("a/b.tsv", None),
        ("a/b.parquet@main", None),
        ("a", None),
        ("a/b/c", None),
        ("./a/b", None),
        ("a/b@", None),
        ("a/b#", None),
    ],
)
def test_names(text: str, name: HubName | None) -> None:
    assert HubName.parse(text) == name
    assert name is None or str(name) == text


def test_images_of_an_ssl_task(hub: LoopbackHub, tmp_path: Path) -> None:
    rows = [row | {"image": encoded(int(row["index"]))} for row in questions(3, options=["a"])]
    commit = hub.add("dataset", "someone/pictures", {"train.parquet": parquet(tmp_path, rows)})
    asked = f"someone/pictures@{commit[:10]}#train"
    home = tmp_path / "home"
    answers = tasks(hub.environment(home), asked, "someone/pictures", task="ssl_rotation_90")
    assert [found[2] for found, _ in answers] == [
        [asked, commit, "default", "train"],
        ["someone/pictures", commit, "default", "train"],
    ]
    assert answers[0][0][:2] == answers[1][0][:2] and answers[0][0][1] == 3
    hub.add("dataset", "someone/pictures", {"train.parquet": parquet(tmp_path, rows[:1])})
    (again,) = tasks(hub.environment(home), "someone/pictures", task="ssl_rotation_90", commit=commit)
    assert again[0] == answers[1][0]


def run(hub: LoopbackHub, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.run(
        [sys.executable, "-m", "ssl4rl_bench", *arguments],
        env=hub.environment(tmp_path / "home"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_run_records_what_was_asked_and_what_answered(hub: LoopbackHub, tmp_path: Path) -> None:
    files = by_language(tmp_path)
    first = hub.add("dataset", REPO, files)
    command = ["run", "--engine", "mock", "--tasks", "mmbench_dev_en", "--data", f"{REPO}@main", "--out", "r"]
    done = run(hub, tmp_path, *command)
    assert done.returncode == 0, done.stderr
    spec, result = (json.loads((tmp_path / "r" / name).read_text()) for name in ("spec.json", "result.json"))
    recorded = {"asked": f"{REPO}@main", "commit": first, "config": "en", "split": "dev"}
    assert spec["tasks"]["ssl4rl_mmbench_dev_en"]["hub"] == recorded
    assert result["tasks"]["ssl4rl_mmbench_dev_en"]["hub"] == recorded
    local = write_tsv(tmp_path / "en.tsv", questions(3, question="en"))
    assert run(hub, tmp_path, *command[:-3], str(local), "--out", "file").returncode == 0
    same = json.loads((tmp_path / "file" / "result.json").read_text())
    assert same["spec_sha256"] == result["spec_sha256"]  # the commit is no part of the identity

    second = hub.add("dataset", REPO, files | {"LICENSE": b"changed"})
    moved = run(hub, tmp_path, *command)
    assert moved.returncode == 0
    assert (
        f"note: {REPO}@main was commit {first[:12]} and is {second[:12]} now, with the same" in moved.stderr
    )
    more = parquet(tmp_path, question(9, question="en"))
    third = hub.add("dataset", REPO, files | {"en/dev-00002-of-00002.parquet": more})
    refused = run(hub, tmp_path, *command)
    assert refused.returncode == 2
    assert f"{REPO}@main was commit {first[:12]} and is {third[:12]} now" in " ".join(refused.stderr.split())
    before = (tmp_path / "r" / "result.json").read_bytes()
    assert run(hub, tmp_path, "score", "r").returncode == 0  # at the commit of the run
    assert (tmp_path / "r" / "result.json").read_bytes() == before


HOSTILE_HEADS = {
    "deep": "configs: " + "[" * 20_000,
    "aliases": "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(9)),
    "twice": "configs: []\nconfigs: []",
    "broken": "configs: [",
    "pickle": "configs: !!python/object/apply:os.system [true]",
}


def test_a_hostile_card_is_one_sentence(hub: LoopbackHub, tmp_path: Path) -> None:
    files = by_language(tmp_path)
    for name, head in HOSTILE_HEADS.items():
        readme = {"README.md": f"---\n{head}\n---\n".encode()}
        hub.add("dataset", f"someone/{name}", files | readme)
    asked = [f"someone/{name}" for name in HOSTILE_HEADS]
    for name, (found, error) in zip(asked, tasks(hub.environment(tmp_path / "home"), *asked), strict=True):
        assert found is None and error is not None, name
        assert error.startswith(f"DataError: hub data set {name} has a README.md with an invalid header")
        assert "\n" not in error
