from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ssl4rl_bench.core.errors import EXIT_USAGE, SpecMismatch, StoreError
from ssl4rl_bench.core.types import EncodedImage, SampleRecord, Sampling
from ssl4rl_bench.run import rundir
from ssl4rl_bench.run.exec_info import ExecInfo
from ssl4rl_bench.run.journal import Journal
from ssl4rl_bench.run.rundir import RunDir, list_runs
from ssl4rl_bench.run.spec import RunSpec, TaskSpec

SPEC = RunSpec(
    model="some/model",
    fingerprint="ab" * 32,
    tasks={"ssl4rl_x": TaskSpec("1", "cd" * 32, "plain", 3, Sampling())},
    engine="mock",
    engine_version="1 gold",
    repeats=2,
)


def record(number: int, repeat: int, error: str | None = None) -> SampleRecord:
    return SampleRecord(str(number), repeat, "g", "k", "", "error" if error else "stop", 0, 0, 0.0, error)


def image(data: bytes) -> EncodedImage:
    return EncodedImage(data, hashlib.sha256(data).hexdigest())


def test_the_spec_is_written_first_and_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rundir, "lock", die)
        with pytest.raises(KeyboardInterrupt):
            RunDir.create(tmp_path / "deep" / "run", SPEC)
    assert [path.name for path in (tmp_path / "deep" / "run").iterdir()] == ["spec.json"]
    assert RunDir.open(tmp_path / "deep" / "run").spec == SPEC


def test_the_same_spec_goes_on_and_another_is_refused_by_its_keys(tmp_path: Path) -> None:
    RunDir.create(tmp_path, SPEC).close()
    RunDir.create(tmp_path, SPEC).close()
    before = (tmp_path / "spec.json").read_bytes()
    hot = replace(SPEC.tasks["ssl4rl_x"], sampling=Sampling(temperature=1.0))
    with pytest.raises(SpecMismatch) as caught:
        RunDir.create(tmp_path, replace(SPEC, fingerprint="00", tasks={"ssl4rl_x": hot}))
    assert "other model.fingerprint, tasks.ssl4rl_x.sampling.temperature" in str(caught.value)
    assert caught.value.exit_code == EXIT_USAGE
    assert (tmp_path / "spec.json").read_bytes() == before
    RunDir.create(tmp_path, SPEC).close()  # the refused one holds no lock


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with RunDir.create(tmp_path, SPEC):
        with pytest.raises(StoreError, match=f"run {tmp_path} is being written by another process"):
            RunDir.create(tmp_path, SPEC)
        assert RunDir.open(tmp_path).spec == SPEC
    RunDir.create(tmp_path, SPEC).close()


def test_a_directory_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match="not empty and contains no run"):
        RunDir.create(tmp_path, SPEC)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tasks": {"x": 1}}', "\xff"])
def test_a_damaged_spec_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "spec.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StoreError, match=r"spec\.json is damaged"):
        RunDir.open(tmp_path)


def test_no_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a run"):
        RunDir.open(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        RunDir.create(tmp_path / "file", SPEC)


def test_left_over_scratch_files_go(tmp_path: Path) -> None:
    RunDir.create(tmp_path, SPEC).close()
    (tmp_path / "images" / "ab").mkdir(parents=True)
    for name in (".result.json.0.tmp", ".exec.json.0.tmp", "images/ab/.abcd.0.tmp"):
        (tmp_path / name).write_text("half")
    with RunDir.create(tmp_path, SPEC) as run:
        run.save_image(image(b"x"))
    assert list(tmp_path.rglob("*.tmp")) == []


def test_an_image_is_written_once_and_again_if_it_is_cut(tmp_path: Path) -> None:
    picture = image(b"picture")
    with RunDir.create(tmp_path, SPEC) as run:
        run.save_image(picture)
        path = tmp_path / "images" / picture.sha256[:2] / picture.sha256
        assert path == run.image_path(picture.sha256) and path.read_bytes() == b"picture"
        inode = path.stat().st_ino
        run.save_image(picture)
        assert path.stat().st_ino == inode
        path.write_bytes(b"pic")
        run.save_image(picture)
        assert path.read_bytes() == b"picture"


def test_the_result_makes_a_run_complete(tmp_path: Path) -> None:
    with RunDir.create(tmp_path, SPEC) as run:
        assert run.result is None
        run.write_result({"schema": 1})
        assert RunDir.open(tmp_path).result == {"schema": 1}
        run.remove_result()
        run.remove_result()
        assert run.result is None


def test_a_sitting_is_added_and_replaced_when_it_ends(tmp_path: Path) -> None:
    first = ExecInfo("2030-01-01T00:00:00+00:00", ["run"], "3.11", {}, {}, {})
    second = replace(first, started="2030-01-02T00:00:00+00:00")
    with RunDir.create(tmp_path, SPEC) as run:
        run.record(first)
        run.record(second)
        run.record(second.ended("done", {"n_cached_prompt_tokens": 7}))
    sittings = json.loads((tmp_path / "exec.json").read_text())["sittings"]
    assert [item["measures"] for item in sittings] == [{}, {"n_cached_prompt_tokens": 7}]
    assert [(item["started"], item["outcome"]) for item in sittings] == [
        (first.started, None),
        (second.started, "done"),
    ]


def test_no_secret_reaches_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SERVICE_KEY", "plain looking value")
    secrets = ["plain looking value", "sk-abcdef123456", "hf_" + "Q" * 34, "pa55word"]
    text = f"{secrets[0]} {secrets[1]} {secrets[2]} https://me:{secrets[3]}@host/v1"
    with RunDir.create(tmp_path, replace(SPEC, model=text, engine_options={"url": text})) as run:
        run.record(ExecInfo.capture(["run", "--api-key", "pa55word", text], {"base_urls": (text,)}))
        run.log(text)
        run.write_result({"source": text})
    for path in tmp_path.glob("*.*"):
        written = path.read_text()
        assert "[redacted]" in written, path.name
        assert not [secret for secret in secrets if secret in written], path.name


def test_the_log_is_one_line_an_entry(tmp_path: Path) -> None:
    with RunDir.create(tmp_path, SPEC) as run:
        run.log("a\nb\x1b[31m\u2028c\ud800")
        run.log("second")
    lines = (tmp_path / "log.txt").read_text().split("\n")
    assert (
        len(lines) == 3
        and lines[0].endswith(r" a b\u001b[31m c\ud800")
        and lines[1].endswith("+00:00 second")
    )


def test_runs_are_listed_by_name_with_their_progress(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "file").write_text("")
    with RunDir.create(tmp_path / "b", SPEC) as run:
        run.write_result({})
    with RunDir.create(tmp_path / "a", SPEC) as run, Journal(run.journal_path("ssl4rl_x")) as journal:
        for item in (record(0, 0), record(0, 1), record(0, 1), record(1, 0, error="down")):
            journal.append(item)
    (tmp_path / "aa").mkdir()
    (tmp_path / "aa" / "spec.json").write_text("{")
    with pytest.raises(StoreError, match=r"aa/spec\.json is damaged"):
        list(list_runs(tmp_path))
    problems: list[StoreError] = []
    a, b = list_runs(tmp_path, problems.append)
    assert (a.path.name, a.complete, a.n_answered, a.n_total) == ("a", False, 2, 6)
    assert (b.path.name, b.complete, b.n_answered, b.n_total) == ("b", True, 6, 6)
    assert [str(tmp_path / "aa") in str(problem) for problem in problems] == [True]
    assert list(list_runs(tmp_path / "a")) == [a]
    assert list(list_runs(tmp_path / "none")) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="permission denied"):
        RunDir.create(tmp_path / "run", SPEC)
