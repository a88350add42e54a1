"""The commands that install packages: they name the environment that runs the program, and need no index for it."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssl4rl_bench.core import installing
from ssl4rl_bench.core.errors import MissingDependency
from ssl4rl_bench.core.installing import OVERRIDES, Installer, installer

HF = "'ssl4rl-bench[hf]'"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment with neither pip nor uv, of which the current folder is the parent."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr(sys, "prefix", str(folder.parent))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setattr(installing.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    installer.cache_clear()
    monkeypatch.setattr(installing, "_is_installed", lambda: True)
    yield folder
    installer.cache_clear()


def program(path: Path) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def has_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing.importlib.util, "find_spec", lambda name: name == "pip" or None)  # type: ignore[attr-defined]


def test_pip_of_an_environment_that_is_not_active_is_called_by_its_path(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_pip(monkeypatch)
    assert installer().extra("hf") == f".venv/bin/python -m pip install {HF}"
    monkeypatch.chdir("/")
    assert Installer(installer().pip).extra("") == ".venv/bin/python -m pip install ssl4rl-bench"


def test_pip_of_the_active_environment_is_called_pip(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_pip(monkeypatch)
    program(environment / "pip")
    monkeypatch.setenv("PATH", str(environment))
    assert installer().extra("hf") == f"pip install {HF}"


def test_without_pip_uv_is_given_the_interpreter(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(environment / "uv")
    assert installer().extra("hf") == f".venv/bin/uv pip install --python .venv/bin/python {HF}"
    assert installer().uninstall("vllm") == ".venv/bin/uv pip uninstall --python .venv/bin/python vllm"
    installer.cache_clear()
    monkeypatch.setenv("PATH", str(environment))
    monkeypatch.setenv("VIRTUAL_ENV", str(environment.parent))
    assert installer().extra("hf") == f"uv pip install {HF}"
    assert installer().install("a==1", again=True) == "uv pip install --reinstall a==1"


def test_without_any_installer_pip_is_made_first(environment: Path) -> None:
    assert installer().extra("hf") == (
        f".venv/bin/python -m ensurepip && .venv/bin/python -m pip install {HF}"
    )


def test_a_clone_that_is_not_installed_is_named_by_its_folder(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing, "_is_installed", lambda: False)
    root = Path(__file__).parents[2]
    assert installer().extra("hf").endswith(f"pip install '{root}[hf]'")


@pytest.mark.parametrize("uv", ["", "uv"])
def test_vllm_on_a_cpu_is_installed_by_uv_with_the_overrides_of_the_project(
    uv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no path is then relative
    command = Installer(uv=uv).extra("cpu")
    assert command.startswith("" if uv else "pip install uv && ")
    assert f"uv pip install --python {sys.executable} --override " in command
    assert command.endswith("core/overrides.txt 'ssl4rl-bench[cpu]'")
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["uv"]
    trackers = ["pillow>=11"]  # for trackio, which the extra cpu does not install
    assert trackers + OVERRIDES.read_text().split() == settings["override-dependencies"]


def test_a_missing_package_is_reported_with_the_command() -> None:
    installer.cache_clear()
    message = str(MissingDependency.of("videos need PyAV", "video", "or nothing"))
    assert message == f"videos need PyAV: {installer().extra('video')} (or nothing)"
    assert shutil.which(message.removeprefix("videos need PyAV: ").split()[0])
