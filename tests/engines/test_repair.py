"""What the messages about broken checkpoints recommend does repair them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoint_folders import BROKEN, INDEX, load, make
from tensor_files import tensors

from ssl4rl_bench.core.errors import ModelError, UsageError
from ssl4rl_bench.engines.checkpoints import repair
from ssl4rl_bench.engines.checkpoints.files import weight_map
from ssl4rl_bench.engines.checkpoints.weights import resolve_model

REPAIRED = [kind for kind, (_, words) in BROKEN.items() if "ssl4rl_bench.repair" in " ".join(words)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*REPAIRED, "an extra tensor", "a tied head that differs"])
def test_the_command_in_the_message_repairs(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    BROKEN[kind][0](tmp_path / "model")
    with pytest.raises(ModelError) as caught:
        resolve_model(str(tmp_path / "model"))
    command = re.search(r"python -m ssl4rl_bench\.repair (.*)$", str(caught.value))
    assert command is not None, caught.value
    words = [str(tmp_path / "new") if word == "NEW" else word for word in shlex.split(command[1])]
    assert repair.main(words) == 0, capsys.readouterr().err
    resolve_model(str(tmp_path / "new"), chat=True)
    made = {
        name.removeprefix("model.").replace("language_model.", ""): raw
        for path in (tmp_path / "new").glob("*.safetensors")
        for name, raw in load(path).items()
    }
    assert made == {name.removeprefix("model."): raw for name, raw in load().items()}
    assert (tmp_path / "new" / INDEX).is_file() == (
        (tmp_path / "new" / "model.safetensors").is_file() is False
    )


def test_what_renaming_cannot_repair_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    BROKEN["no final norm"][0](tmp_path / "model")
    assert repair.main([str(tmp_path / "model"), str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert (
        error.startswith("error: ") and "model.language_model.norm.weight" in error and error.count("\n") == 1
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_in_the_way_and_an_unknown_tensor_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "model")
    with pytest.raises(UsageError, match="already exists"):
        repair.repair_checkpoint(folder, folder)
    with pytest.raises(UsageError, match="has no nothing"):
        repair.repair_checkpoint(folder, tmp_path / "new", ["nothing"])


def shards(folder: Path, *names: tuple[str, ...], index: bool = True) -> Path:
    """Writes a checkpoint of another family, which has one file for each tuple of names of tensors."""
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    files = {f"model-{number}-of-9.safetensors": own for number, own in enumerate(names)}
    for file, own in files.items():
        (folder / file).write_bytes(tensors(names=own, size=10))
    if index:
        places = {name: file for file, own in files.items() for name in own}
        (folder / INDEX).write_text(json.dumps({"weight_map": places}))
    return folder


def refused(folder: Path, **how: bool) -> str:
    with pytest.raises((ModelError, UsageError)) as caught:
        repair.repair_checkpoint(folder, folder.with_name("new"), **how)
    assert not folder.with_name("new").exists()
    return str(caught.value).replace(str(folder), "FOLDER")


def test_what_is_not_known_of_a_family_is_asked_for(tmp_path: Path) -> None:
    folder = shards(tmp_path / "model", ("a", "b"), ("c",))
    words = "FOLDER: the tensors that its config.json asks for are unknown; name the ones to leave out with --drop"
    assert refused(folder, only_known=True) == words
    new = repair.repair_checkpoint(folder, tmp_path / "new", drop=["b"])
    assert weight_map(new) == {
        "a": "model-00001-of-00002.safetensors",
        "c": "model-00002-of-00002.safetensors",
    }


def test_files_of_two_saves_are_refused(tmp_path: Path) -> None:
    folder = shards(tmp_path / "one", ("a",), ("a",))
    assert refused(folder) == "FOLDER/model-1-of-9.safetensors holds a again: delete the stale file first"
    both = shards(tmp_path / "two", ("a",), ("b",))
    (both / "model.safetensors").write_bytes(tensors(names=("a",), size=10))
    words = "FOLDER contains both model.safetensors and shards: delete the stale ones first"
    assert refused(both) == words
    assert refused(shards(tmp_path / "three", index=False)) == "FOLDER contains no safetensors files"


def test_it_needs_no_torch(tmp_path: Path) -> None:
    folder = make(tmp_path / "model")
    code = (
        "import sys; from ssl4rl_bench import repair\n"
        "repair.main(sys.argv[1:]); print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", code, str(folder), str(tmp_path / "new")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
