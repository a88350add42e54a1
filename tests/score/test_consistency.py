"""Files of a newer version, and parts that contradict each other, are refused by name and left as they are."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import invoke

from ssl4rl_bench.comparison import published
from ssl4rl_bench.core.errors import BenchError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.versioned import check_schema, parse_object
from ssl4rl_bench.datasets.place import check_destination as check_place
from ssl4rl_bench.engines.checkpoints.origin import read_origin
from ssl4rl_bench.gating import baseline as baseline_file
from ssl4rl_bench.gating import series
from ssl4rl_bench.gating.policy import parse_policy
from ssl4rl_bench.run.rundir import RunDir
from ssl4rl_bench.run.spec import RunSpec
from ssl4rl_bench.watch.history import Entry, History, best_run, decode_entry, encode_entry

TASK, PROBE = "ssl4rl_scenes", "ssl4rl_ssl_rotation_90"
ENTRY = Entry("a", 1, 0, "f" * 64, "a", "t", "pass", None, 1, 0.05, True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("consistency")
    args = ("run", "--engine", "mock", "--tasks", "scenes,ssl_rotation_90", "--limit", 24)
    invoke(*args, "--mock", "random", "--out", root / "run")
    invoke(*args, "--mock", "gold", "--out", root / "other")
    invoke("gate", "-c", root / "run", "--save-baseline", root / "base.json")
    return root


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(path.read_bytes())
    edit(value)
    path.write_text(json.dumps(value))
    return path.read_bytes()


def opened(made: Path, run: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Commands that read a finished run."""
    policy = run.parent / "gate.toml"
    policy.write_text('allow = ["partial"]\n[[rule]]\ntask = "scenes"\nkind = "no_worse_than"\nmargin = 50\n')
    yield "show", ("show", run)
    yield "compare", ("compare", made / "other", run, "--allow", "partial")
    yield "report", ("report", made / "other", run, "--allow", "partial", "-o", run.parent / "x.html")
    yield "gate", ("gate", "-b", made / "other", "-c", run, "-p", policy)
    yield "save", ("gate", "-c", run, "--save-baseline", run.parent / "b.json")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["result.json", "spec.json", "outcomes.json"])
@pytest.mark.parametrize("number", [2, 99])
def test_a_newer_file_of_a_run_is_refused_and_kept(made: Path, run: Path, name: str, number: int) -> None:
    data = change(run / name, lambda value: value.update(schema=number))
    for command, args in opened(made, run):
        said = invoke(*args, code=2)
        wanted = (
            f"{name} was written by a newer ssl4rl-bench (schema {number}; this one reads up to 1): upgrade"
        )
        assert wanted in said, command
    assert (run / name).read_bytes() == data


def test_a_newer_exec_json_is_refused(run: Path) -> None:
    change(run / "exec.json", lambda value: value.update(schema=2))
    with pytest.raises(BenchError, match=r"exec\.json was written by a newer ssl4rl-bench \(schema 2"):
        RunDir.open(run).sittings()
    assert "exec.json was written by a newer" in invoke("score", run, code=2)


def newer(tmp_path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    def put(name: str, value: Any) -> Path:
        (tmp_path / name).write_text(json.dumps(value))
        return tmp_path / name

    kept = {"schema": 7, "kind": baseline_file.KIND}
    base = put("base.json", kept)
    (tmp_path / "base.json.gz").write_bytes(gzip.compress(json.dumps(kept).encode()))
    put("family.json", {"schema": 7, "baseline": "b", "alpha": 0.05, "candidates": []})
    card = put("card.json", {"schema": 7})
    put("ssl4rl.json", {"schema": 7})
    (tmp_path / "data").mkdir()
    put("data/manifest.json", {"schema": 7, "kind": "ssl4rl-bench data set"})
    line = encode_entry(ENTRY).replace('"schema": 1', '"schema": 7')
    body = line[: line.rindex(', "crc"')] + "}"
    import zlib

    policy = parse_policy({"rule": [{"task": "scenes", "kind": "not_significantly_worse"}]})
    (tmp_path / "history.jsonl").write_text(f'{body[:-1]}, "crc": "{zlib.crc32(body.encode()):08x}"}}\n')
    yield "base.json", lambda: baseline_file.load_baseline_file(base)
    yield "base.json.gz", lambda: baseline_file.load_baseline_file(tmp_path / "base.json.gz")
    yield "family.json", lambda: series.turn(tmp_path, "family", "b", "c", policy).__enter__()
    yield "family.json", lambda: series.order(tmp_path, "family")
    yield "card.json", lambda: published.load_published(card)
    yield "ssl4rl.json", lambda: read_origin(tmp_path)
    yield "manifest.json", lambda: check_place(tmp_path / "data", force=True)
    yield "history.jsonl", lambda: best_run(tmp_path)
    yield "history.jsonl", lambda: History(tmp_path)


def test_every_other_file_with_a_number_is_refused_alike(tmp_path: Path) -> None:
    for name, read in newer(tmp_path):
        data = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(BenchError) as caught:
            read()
        said = str(caught.value)
        assert f"{name} was written by a newer ssl4rl-bench (schema 7; this one reads up to" in said, said
        assert said.endswith(": upgrade") and caught.value.exit_code == 2
        assert {path: path.read_bytes() for path in data} == data


@pytest.mark.parametrize("number", [0, -1, "1", 1.5, True, None, [1]])
def test_what_is_no_schema_number_is_damage(number: Any) -> None:
    with pytest.raises(BenchError, match=r"x\.json is damaged: it has schema "):
        check_schema({"schema": number}, "x.json", 3)
    with pytest.raises(BenchError, match=r"x\.json is damaged: it has no schema"):
        parse_object(b"{}", "x.json", 3)
    with pytest.raises(BenchError, match=r"x\.json is damaged: it is not a JSON object"):
        parse_object(b"[1]", "x.json", 3)
    assert decode_entry(encode_entry(ENTRY).encode().rstrip(b"\n")) == ENTRY


def cell(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    found: dict[str, Any] = value["tasks"][TASK]["aggregates"]
    for key in keys:
        found = found[key]
    return found


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "the average": lambda v: cell(v, "circular_micro", "overall").update(value=0.93, ci95=[0.8, 0.99]),
    "beyond its interval": lambda v: cell(v, "circular_micro", "overall").update(value=0.99),
    "no fraction": lambda v: cell(v, "row_micro", "overall").update(value=53.5, ci95=[40, 60]),
    "an ability": lambda v: cell(v, "row_micro", "l2", "coarse_perception").update(value=1.0, ci95=[0, 1]),
    "its n": lambda v: cell(v, "row_micro", "l2", "coarse_perception").update(n=999),
    "unread": lambda v: cell(v, "row_micro", "overall").update(n_unread=7),
    "a category gone": lambda v: cell(v, "circular_micro", "l2").pop("coarse_perception"),
    "status counts": lambda v: v["tasks"][TASK]["status"].update(tag=7),
    "other statuses": lambda v: v["tasks"][TASK].update(
        status={"lenient": sum(v["tasks"][TASK]["status"].values())}
    ),
    "samples": lambda v: v["tasks"][TASK].update(n_samples=4),
    "prompt": lambda v: v["tasks"][TASK].update(prompt="direct"),
    "extractor": lambda v: v["tasks"][PROBE].update(extractor="strict"),
    "image": lambda v: v["tasks"][TASK].update(image="blank"),
    "the spec": lambda v: v.update(spec_sha256="0" * 64),
    "the weights": lambda v: v["model"].update(fingerprint="0" * 64),
    "not partial": lambda v: v.update(partial=False),
    "no reasons": lambda v: v.update(partial_reasons=[]),
    "another task": lambda v: v["tasks"].update(other=v["tasks"][TASK]),
    "a probe": lambda v: v["tasks"][PROBE]["probe"]["accuracy"].update(value=0.99),
    "no cells": lambda v: v["tasks"][TASK].update(aggregates={"circular_micro": {}}),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_result_is_refused(made: Path, run: Path, name: str) -> None:
    change(run / "result.json", EDITS[name])
    for command, args in opened(made, run):
        if name == "extractor" and command != "show":
            continue  # replies are read again for a result of another extractor
        assert "contradicts itself" in invoke(*args, code=2), command


def test_an_edited_spec_is_refused(made: Path, run: Path) -> None:
    change(run / "spec.json", lambda v: v["tasks"][TASK]["sampling"].update(max_tokens=16))
    for command, args in opened(made, run):
        said = invoke(*args, code=2)
        assert "result.json and spec.json differ (spec_sha256)" in said, command


@pytest.mark.parametrize("key", ["values", "status"])
def test_edited_outcomes_are_refused(made: Path, run: Path, key: str) -> None:
    def edit(value: dict[str, Any]) -> None:
        own = value["tasks"][TASK]
        own["values"][0] = [1] * len(own["values"][0]) if key == "values" else own["values"][0]
        own["status"][0] = "n" * len(own["status"][0]) if key == "status" else own["status"][0]

    change(run / "outcomes.json", edit)
    for command, args in opened(made, run):
        assert "contradicts itself" in invoke(*args, code=2), command
    (run / "outcomes.json").unlink()
    invoke("show", run)


def test_an_edited_journal_is_refused(made: Path, run: Path) -> None:
    path = run / "journal" / f"{TASK}.jsonl"
    text = path.read_bytes()
    path.write_bytes(text.replace(b"<answer>A<", b"<answer>B<", 1))
    assert path.read_bytes() != text
    for command, args in opened(made, run):
        said = invoke(*args, code=2)
        assert f"{path} contradicts result.json: 1 lines are damaged or were edited (first: line" in said, (
            command
        )
    same = ("run", "--engine", "mock", "--tasks", "scenes,ssl_rotation_90", "--limit", 24, "--mock", "random")
    invoke(*same, "--out", run)
    assert numbers(run) == numbers(made / "run")
    invoke("show", run)


def numbers(run: Path) -> Any:
    return json.loads((run / "result.json").read_bytes())["tasks"][TASK]["aggregates"]


def test_a_baseline_whose_parts_disagree_is_refused_even_with_a_new_checksum(
    made: Path, tmp_path: Path
) -> None:
    value = json.loads((made / "base.json").read_bytes())
    place = tmp_path / "base.json"
    for name, edit in EDITS.items():
        changed = json.loads(json.dumps(value))
        edit(changed["result"])
        place.write_text(json.dumps(changed))
        with pytest.raises(BenchError, match="checksum differs"):
            baseline_file.load_baseline_file(place)
        content = {key: changed[key] for key in ("label", "spec", "result", "outcomes")}
        place.write_text(json.dumps(changed | {"sha256": sha256_json(content)}))
        if name == "the weights":
            continue  # only the checksum tells these
        with pytest.raises(BenchError, match=r"contradicts itself|is damaged"):
            baseline_file.load_baseline_file(place)
    place.write_bytes((made / "base.json").read_bytes())
    assert baseline_file.load_baseline_file(place).label == "mock:random (mock)"


def test_old_runs_stay_readable(made: Path, run: Path) -> None:
    """A run from before a spec.json knew what its checkpoint serves."""
    value = json.loads((run / "spec.json").read_bytes())
    assert "served" not in value["model"]
    spec = RunSpec.from_json(value)
    served = {"chat_template": "0" * 16}
    knowing = RunSpec.from_json(value | {"model": value["model"] | {"served": served}})
    assert knowing.served == served and knowing.sha256 == spec.sha256 and not knowing.diff(spec)
    with RunDir.create(run, knowing) as again:
        assert again.result is not None
