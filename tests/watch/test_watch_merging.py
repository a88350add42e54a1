"""Shards and adapters that a watch merges: which command runs, what stays, and what is never done twice.

verl is replaced by a module of its name that writes the weights that the shards stand for.
"""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path

import pytest
import trainer_folders as made
from fake_checkpoints import asked, files, plan

from ssl4rl_bench.cli import watching
from ssl4rl_bench.core.errors import DataError, Interrupted, ModelError, UsageError
from ssl4rl_bench.engines.checkpoints.unmerged import Unmerged
from ssl4rl_bench.engines.checkpoints.weights import fingerprint
from ssl4rl_bench.evaluation import running
from ssl4rl_bench.reports.figures.sheet import Sheet
from ssl4rl_bench.watch.find import Checkpoint
from ssl4rl_bench.watch.history import History
from ssl4rl_bench.watch.merging import Merger, check_command

VERL = """
import argparse, pathlib, sys, zipfile
parser = argparse.ArgumentParser()
parser.add_argument("operation", choices=["merge", "test"])
parser.add_argument("--backend", required=True, choices=["fsdp", "megatron"])
parser.add_argument("--local_dir", required=True)
parser.add_argument("--target_dir", default="tmp")
asked = parser.parse_args()
target, source = pathlib.Path(asked.target_dir), pathlib.Path(asked.local_dir)
target.mkdir(parents=True, exist_ok=True)
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
for path in (source / "huggingface").glob("*.json"):
    (target / path.name).write_bytes(path.read_bytes())
sys.path[:0] = {path!r}
import tensor_files
first = zipfile.ZipFile(source / "model_world_size_2_rank_0.pt").read("data.pkl")[0]
(target / "model.safetensors").write_bytes(tensor_files.tensors(first, size=100))
"""


@pytest.fixture(autouse=True)
def no_curves_as_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sheet, "png", lambda sheet: b"curves")


@pytest.fixture
def merges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Installs a verl that logs its arguments to the file that is returned."""
    package, log = tmp_path / "site" / "verl" / "model_merger", tmp_path / "merges.txt"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").write_text("")
    path = [str(Path(__file__).parents[1])]
    (package / "__main__.py").write_text(VERL.format(log=str(log), path=path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    log.write_text("")
    return log


def unmerged(folder: Path, digest: str = "d") -> Checkpoint:
    return Checkpoint("global_step_50", folder, 50, 0, digest, Unmerged("fsdp", folder, "verl"))


def merger(out: Path, command: str = "auto", stop: threading.Event | None = None) -> Merger:
    return Merger(out / "merged", command, lambda line: None, stop or threading.Event())


@pytest.mark.slow
def test_the_command_of_verl_is_run_once(merges: Path, tmp_path: Path) -> None:
    folder = made.verl(tmp_path / "run", 50) / "actor"
    place = merger(tmp_path / "out").merge(unmerged(folder))
    assert place == tmp_path / "out" / "merged" / "global_step_50"
    assert fingerprint(place) == fingerprint(made.write(tmp_path / "same", files(50)))
    (line,) = merges.read_text().splitlines()
    assert line.startswith(f"merge --backend fsdp --local_dir {folder} --target_dir ")
    again = merger(tmp_path / "out")
    assert again.merge(unmerged(folder)) == place and again.known(unmerged(folder)) == fingerprint(place)
    assert merges.read_text().count("\n") == 1
    assert again.known(unmerged(folder, "other files")) is None
    again.merge(unmerged(folder, "other files"))
    assert merges.read_text().count("\n") == 2
    assert sorted(path.name for path in place.parent.iterdir()) == ["global_step_50", "global_step_50.json"]


def test_a_command_of_the_user_gets_both_folders(merges: Path, tmp_path: Path) -> None:
    folder = made.verl(tmp_path / "run of mine", 50) / "actor"
    options = "--backend=fsdp --local_dir={source} --target_dir {target}"
    command = f"'{sys.executable}' -m verl.model_merger merge {options}"
    assert (merger(tmp_path, command).merge(unmerged(folder)) / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_command_without_a_target_writes_where_easy_r1_does(merges: Path, tmp_path: Path) -> None:
    folder = made.easy_r1(tmp_path / "run", 50) / "actor"
    command = f"{sys.executable} -m verl.model_merger merge --backend fsdp --local_dir {{source}} "
    with pytest.raises(ModelError, match=r"wrote no weights to .*actor/huggingface"):
        merger(tmp_path, f"{command} --target_dir {tmp_path}/elsewhere").merge(unmerged(folder))
    place = merger(tmp_path, f"{command} --target_dir {folder}/huggingface").merge(unmerged(folder))
    assert place == folder / "huggingface" and fingerprint(place)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "no-such-program {source} {target}",
            "no-such-program, which --merge names, cannot be run: no such file",
        ),
        ("false {source} {target}", r"ended with exit code 1 \(no output\)"),
        ("true {source} {target}", "wrote nothing to"),
        ("mkdir -p {target} {source}", "has no config.json"),
        (
            f"{sys.executable} -c \"import sys; print('x'); sys.exit('bad \\x1b[31mtensor')\" {{source}} {{target}}",
            r"exit code 1 \(bad .*tensor\)",
        ),
    ],
)
def test_a_merge_that_fails_is_one_sentence_and_leaves_nothing(
    command: str, message: str, tmp_path: Path
) -> None:
    folder = made.verl(tmp_path / "run", 50) / "actor"
    with pytest.raises(ModelError, match=message) as caught:
        merger(tmp_path, command).merge(unmerged(folder))
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert not list((tmp_path / "merged").iterdir())


def test_without_verl_the_other_environment_is_asked_for(tmp_path: Path) -> None:
    folder = made.verl(tmp_path / "run", 50) / "actor"
    with pytest.raises(ModelError, match=r"No module named 'verl'.*; for another environment, .*--merge"):
        merger(tmp_path).merge(unmerged(folder))


def test_the_script_of_easy_r1_is_asked_for(tmp_path: Path) -> None:
    folder = made.easy_r1(tmp_path / "run", 50) / "actor"
    checkpoint = Checkpoint("global_step_50", folder, 50, 0, "d", Unmerged("fsdp", folder, "EasyR1"))
    with pytest.raises(
        ModelError, match=r"--merge \"python EasyR1/scripts/model_merger\.py --local_dir {source}\""
    ):
        merger(tmp_path).merge(checkpoint)


def test_a_stop_ends_the_command(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    command = f'{sys.executable} -c "import time; time.sleep(60)" {{source}} {{target}}'
    with pytest.raises(Interrupted):
        merger(tmp_path, command, stop).merge(unmerged(made.verl(tmp_path / "run", 50) / "actor"))
    assert not list((tmp_path / "merged").iterdir())


@pytest.mark.parametrize("command", ["verl", "merge {target}", 'merge "{source}'])
def test_a_command_that_cannot_be_right_is_refused(command: str) -> None:
    with pytest.raises(UsageError, match="--merge"):
        check_command(command)


@pytest.mark.slow
def test_a_watch_merges_evaluates_and_removes(
    merges: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    for step in (50, 100, 1000):
        made.verl(run, step)
    with pytest.raises(DataError, match=r"3 folders .* hold FSDP shards of verl: merge each, or let --merge"):
        watching.watch_and_print(plan(), asked(run, out), [])
    assert watching.watch_and_print(plan(), asked(run, out, merge="auto"), []) == 0
    assert merges.read_text().count("\n") == 3
    with History(out) as history:
        assert [entry.step for entry in history.entries] == [50, 100, 1000]
        assert [entry.fingerprint for entry in history.entries] == [
            fingerprint(made.write(tmp_path / str(step), files(step % 256))) for step in (50, 100, 1000)
        ]
        best = history.best
    assert best is not None
    left = [path.name for path in (out / "merged").iterdir() if path.is_dir()]
    assert left == [best.name] and (out / "best").resolve() == (out / "merged" / best.name).resolve()
    assert watching.watch_and_print(plan(), asked(run, out, merge="auto"), []) == 0, "nothing is new"
    assert merges.read_text().count("\n") == 3
    shutil.rmtree(run / "global_step_100")
    made.verl(run, 100)
    assert watching.watch_and_print(plan(), asked(run, out, merge="auto"), []) == 0
    assert merges.read_text().count("\n") == 4, "other files are merged again"
    with History(out) as history:
        assert len(history.entries) == 3, "the same weights are not evaluated again"
    capsys.readouterr()


@pytest.mark.slow
def test_a_merge_that_fails_does_not_end_the_watch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    made.verl(run, 50)
    made.verl(run, 100, merged=True)
    assert watching.watch_and_print(plan(), asked(run, out, merge="auto"), []) == 4
    assert "global_step_50 was not evaluated: the command that merges" in capsys.readouterr().out
    with History(out) as history:
        assert [entry.name for entry in history.entries] == ["global_step_100"]


def aborted(*args: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_a_watch_that_ends_after_a_merge_continues_with_its_result(
    merges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    made.verl(run, 50)
    with monkeypatch.context() as patch:
        patch.setattr(running, "evaluate_one", aborted)
        with pytest.raises(KeyboardInterrupt):
            watching.watch_and_print(plan(), asked(run, out, merge="auto"), [])
    assert (out / "merged" / "global_step_50").is_dir() and not (out / "history.jsonl").exists()
    assert watching.watch_and_print(plan(), asked(run, out, merge="auto"), []) == 0
    assert merges.read_text().count("\n") == 1
