"""Finding checkpoints, telling damaged ones, fingerprints, and the hub behind a stand-in."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import pytest
from tensor_files import tensors

from ssl4rl_bench.core.errors import MissingDependency, ModelError
from ssl4rl_bench.engines import hub
from ssl4rl_bench.engines.checkpoints import weights
from ssl4rl_bench.engines.checkpoints.files import weight_files
from ssl4rl_bench.engines.checkpoints.weights import fingerprint, resolve_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    (path / "tokenizer.json").write_text("{}")
    (path / "chat_template.jinja").write_text("{{ messages }}")
    (path / "model.safetensors").write_bytes(tensors())
    return path


def shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    for i, name in enumerate("ab"):
        (folder / f"model-{i}.safetensors").write_bytes(tensors(names=(name,)))
    index = {"weight_map": {"a": "model-0.safetensors", "b": "model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def error_of(name: str | Path) -> str:
    with pytest.raises(ModelError) as caught:
        resolve_model(str(name))
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.exit_code == 2
    return text


def test_a_folder_resolves_to_itself(folder: Path) -> None:
    model = resolve_model(str(folder))
    assert (model.name, model.path, model.revision) == (str(folder), folder, None)
    assert len(model.fingerprint) == 64


def test_a_home_folder_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert resolve_model("~/model").path == folder


def test_a_snapshot_folder_of_the_hub_cache_tells_its_commit(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "snapshots" / COMMIT
    place.parent.mkdir()
    folder.rename(place)
    assert resolve_model(str(place)).revision == COMMIT


def test_the_fingerprint_does_not_depend_on_the_place(folder: Path, tmp_path: Path) -> None:
    before = fingerprint(folder)
    assert fingerprint(folder.rename(tmp_path / "elsewhere")) == before


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_each_side_file_counts(folder: Path, name: str) -> None:
    before = fingerprint(folder)
    (folder / name).write_text('{"changed": 1}')
    assert fingerprint(folder) != before


@pytest.mark.parametrize(
    "name", ["generation_config.json", "preprocessor_config.json", "processor_config.json"]
)
def test_an_added_side_file_counts(folder: Path, name: str) -> None:
    before = fingerprint(folder)
    (folder / name).write_text("{}")
    assert fingerprint(folder) != before


def test_other_files_do_not_count(folder: Path) -> None:
    before = fingerprint(folder)
    (folder / "README.md").write_text("hello")
    (folder / "optimizer.pt").write_bytes(b"state")
    assert fingerprint(folder) == before


def test_an_overwritten_checkpoint_is_another_model(folder: Path) -> None:
    """Same names, shapes and size: only the values differ."""
    before = fingerprint(folder)
    (folder / "model.safetensors").write_bytes(tensors(fill=1))
    assert fingerprint(folder) != before


def test_only_the_full_digest_sees_the_end_of_a_tensor(folder: Path) -> None:
    path = folder / "model.safetensors"
    sampled, full = fingerprint(folder), fingerprint(folder, full_digest=True)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert fingerprint(folder) == sampled
    assert fingerprint(folder, full_digest=True) != full
    assert sampled != full


def test_shards_resolve_and_a_missing_one_is_named(folder: Path) -> None:
    shard(folder)
    assert [path.name for path in weight_files(folder)] == [
        "model-0.safetensors",
        "model-1.safetensors",
    ]
    resolve_model(str(folder))
    (folder / "model-1.safetensors").unlink()
    assert "lacks model-1.safetensors" in error_of(folder)


def test_a_shard_outside_the_folder_is_refused(folder: Path) -> None:
    shard(folder)
    index = {"weight_map": {"a": "../model-0.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "not a file name" in error_of(folder)


@pytest.mark.parametrize("cut", [1, 5_000, 20_050])
def test_a_truncated_file_is_told(folder: Path, cut: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-cut])
    assert "truncated" in error_of(folder)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "truncated"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\xff" * 100, "truncated or not a safetensors"),
        (struct.pack("<Q", 4) + b"{x}{", "damaged header"),
        (struct.pack("<Q", 7) + b'{"a":1}', "damaged header"),
        (struct.pack("<Q", 4) + b"[1] ", "damaged header"),
        (tensors() + b"more", "too long"),
    ],
)
def test_a_damaged_file_is_told(folder: Path, data: bytes, words: str) -> None:
    (folder / "model.safetensors").write_bytes(data)
    assert words in error_of(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pytorch_model.bin", "convert them to safetensors"),
        ("adapter_config.json", "LoRA adapter"),
        ("model_world_size_8_rank_0.pt", "verl.model_merger"),
        ("notes.txt", "no weights"),
    ],
)
def test_weights_of_another_kind_say_how_to_convert(folder: Path, name: str, words: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"x")
    assert words in error_of(folder)
    (folder / "config.json").unlink()
    if name not in ("pytorch_model.bin", "notes.txt"):
        assert words in error_of(folder)


def test_a_folder_without_config_is_told(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "no config.json" in error_of(folder)


def test_a_broken_config_is_told(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert "config.json is not a JSON object" in error_of(folder)


def test_a_folder_of_checkpoints_names_one(folder: Path) -> None:
    assert f"such as {folder}" in error_of(folder.parent)


def test_a_file_is_not_a_checkpoint(folder: Path) -> None:
    assert "name the folder" in error_of(folder / "model.safetensors")


@pytest.fixture
def bundled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = folder.parent / "bundled"
    root.mkdir()
    folder.rename(root / "tiny-base")
    monkeypatch.setattr(weights, "_bundled_root", lambda: root)
    return root


def test_a_bundled_name_resolves(bundled: Path) -> None:
    assert weights.bundled_names() == ["tiny-base"]
    model = resolve_model("tiny-base")
    assert (model.name, model.path) == ("tiny-base", bundled / "tiny-base")


def test_a_wrong_name_gets_a_suggestion(bundled: Path) -> None:
    text = error_of("tinybase")
    assert "did you mean tiny-base?" in text
    assert "network" in text


def test_an_existing_folder_wins_over_a_bundled_name(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny-base").mkdir()
    assert "no config.json" in error_of("tiny-base")


def test_a_path_that_is_not_there_is_no_hub_id(tmp_path: Path) -> None:
    for name in (str(tmp_path / "gone"), "./gone", "../gone/x", "a/b/c"):
        assert "no model" in error_of(name)


def test_without_the_library_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependency, match="pip install"):
        hub.snapshot("org/name")


@pytest.mark.parametrize("task", ["contrastive", "jigsaw", "position", "rotation"])
def test_trained_checkpoints_come_with_the_package(task: str) -> None:
    model = resolve_model(f"tiny-{task}")
    assert sum(path.stat().st_size for path in model.path.iterdir()) < 12_000_000
    origin = json.loads((model.path / "ssl4rl.json").read_text())
    assert origin["base"]["fingerprint"] == resolve_model("tiny-base").fingerprint
    assert [name.split("_")[1] for name in origin["recipe"]["tasks"]] == [task]
    assert 0 < origin["interpolated"]["share"] < 1
    for name in ("README.md", "ssl4rl.json", "config.json"):
        assert "/build/" not in (model.path / name).read_text()
