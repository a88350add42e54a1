"""Checkpoints between a base and what was trained from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ssl4rl_bench.core.errors import ModelError, UsageError
from ssl4rl_bench.engines.checkpoints.weights import Model, resolve_model

pytestmark = pytest.mark.engine


def trained_from(base: Model, place: Path, fingerprint: str | None = None) -> Model:
    """A copy with noise in its weights, which says what it was trained from."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(base.path, place)
    weights = load_file(place / "model.safetensors")
    torch.manual_seed(0)
    moved = {name: (each + 0.01 * torch.randn(each.shape)).to(each.dtype) for name, each in weights.items()}
    save_file(moved, place / "model.safetensors", metadata={"format": "pt"})
    about = {"name": str(base.path), "fingerprint": fingerprint or base.fingerprint, "revision": None}
    origin = {
        "kind": "grpo",
        "name": "moved",
        "step": 7,
        "base": about,
        "recipe": {"tasks": {"ssl_position": 1}},
    }
    (place / "ssl4rl.json").write_text(json.dumps(origin))
    (place / "trainer").mkdir()
    return resolve_model(str(place))


@pytest.fixture(scope="module")
def base() -> Model:
    return resolve_model("tiny-base")


@pytest.fixture(scope="module")
def trained(base: Model, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return trained_from(base, tmp_path_factory.mktemp("trained") / "step-000007")


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_each_weight_lies_on_the_line(base: Model, trained: Model, tmp_path: Path, share: float) -> None:
    import torch
    from safetensors.torch import load_file

    from ssl4rl_bench.train.interpolate import interpolate_checkpoints

    out = interpolate_checkpoints(trained, share, tmp_path / "between")
    old, new, made = (load_file(path / "model.safetensors") for path in (base.path, trained.path, out))
    assert made.keys() == old.keys()
    for name, each in made.items():
        wanted = (old[name].float() + share * (new[name].float() - old[name].float())).to(each.dtype)
        assert torch.equal(each, wanted) if share in (0.0, 1.0) else torch.allclose(each, wanted, rtol=0.01)


def test_the_command_writes_a_checkpoint_that_says_what_it_is(trained: Model, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    from ssl4rl_bench.cli import app

    out = tmp_path / "half"
    done = CliRunner().invoke(app, ["interpolate", str(trained.path), "--share", "0.5", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert f"ssl4rl-bench run --model {out}" in done.output
    origin = json.loads((out / "ssl4rl.json").read_text())
    assert origin["interpolated"] == {"share": 0.5, "trained": trained.fingerprint}
    card = (out / "README.md").read_text()
    assert card.count("50% of the way from the base's") == 2
    assert not (out / "trainer").exists() and [path.name for path in tmp_path.iterdir()] == ["half"]
    AutoModelForImageTextToText.from_pretrained(out)


def test_another_base_is_refused(base: Model, tiny: Model, trained: Model, tmp_path: Path) -> None:
    from ssl4rl_bench.train.interpolate import interpolate_checkpoints

    with pytest.raises(ModelError, match=r"not the checkpoint that .* was trained from"):
        interpolate_checkpoints(trained, 0.5, tmp_path / "out", base=str(tiny.path))
    nameless = tmp_path / "nameless"
    shutil.copytree(base.path, nameless)
    (nameless / "ssl4rl.json").unlink()
    with pytest.raises(ModelError, match="--base"):
        interpolate_checkpoints(resolve_model(str(nameless)), 0.5, tmp_path / "out")
    with pytest.raises(ModelError, match=r"shape|no weights"):
        interpolate_checkpoints(resolve_model(str(nameless)), 0.5, tmp_path / "out", base=str(tiny.path))
    assert [path.name for path in tmp_path.iterdir()] == ["nameless"]


def test_a_share_off_the_line_and_a_folder_in_the_way_are_refused(trained: Model, tmp_path: Path) -> None:
    from ssl4rl_bench.train.interpolate import interpolate_checkpoints

    with pytest.raises(UsageError, match=r"0 \(the base\) to 1"):
        interpolate_checkpoints(trained, 1.5, tmp_path / "out")
    with pytest.raises(UsageError, match="--out"):
        interpolate_checkpoints(trained, 0.5, tmp_path)
