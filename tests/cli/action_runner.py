"""A stand-in for a CI runner: its folders, its environment, and git repositories."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import forked
import yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
EXPRESSION = re.compile(r"\$\{\{ *([^}]*?) *\}\}")


class Runner:
    """A runner's folders and environment, with stand-ins for the programs that need a network."""

    def __init__(self, root: Path) -> None:
        self.root, self.work, self.temp, self.bin = root, root / "work", root / "temp", root / "bin"
        for path in (self.work, self.temp, self.bin, self.place / "venv" / "bin"):
            path.mkdir(parents=True)
        (self.place / "key").write_text("key\n")
        (self.work / "x").mkdir()
        self.link(self.place)
        self.event: dict[str, Any] = {}

    @property
    def place(self) -> Path:
        return self.temp / "ssl4rl-gate-key"

    def link(self, place: Path) -> None:
        """Puts the program where `install` would."""
        (place / "venv" / "bin").mkdir(parents=True, exist_ok=True)
        self.write("ssl4rl-bench", forked.in_shell("-m", "ssl4rl_bench"), place / "venv" / "bin")

    def write(self, name: str, body: str, folder: Path | None = None) -> None:
        path = (folder or self.bin) / name
        path.write_text(f"#!/usr/bin/env bash\n{body}\n")
        path.chmod(0o755)

    def step(self, name: str, code: int | None = 0, **env: str) -> str:
        """Runs a step; returns what it printed."""
        (self.root / "event.json").write_text(json.dumps(self.event))
        shell = {key: os.environ[key] for key in ("HOME", "LANG", "LC_ALL") if key in os.environ}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", ROOT / ".github" / "gate" / f"{name}.sh"],
            cwd=self.work,
            capture_output=True,
            text=True,
            env={
                **shell,
                "PATH": f"{self.bin}:{os.environ['PATH']}",
                "COLUMNS": "120",
                "GITHUB_ACTIONS": "true",
                "GITHUB_ACTION_PATH": str(ROOT),
                "GITHUB_EVENT_PATH": str(self.root / "event.json"),
                "GITHUB_OUTPUT": str(self.root / "output"),
                "GITHUB_REPOSITORY": "org/repo",
                "GITHUB_STEP_SUMMARY": str(self.root / "summary.md"),
                "GATE_PLACE": str(self.place),
                "RUNNER_TEMP": str(self.temp),
                **env,
            },
        )
        text = done.stdout + done.stderr
        if code is not None:
            assert done.returncode == code, text
        assert not list(self.root.rglob("pwned")) and (self.work / "x").is_dir(), "an input was executed"
        return text

    @property
    def outputs(self) -> dict[str, str]:
        path = self.root / "output"
        lines = path.read_text().splitlines() if path.exists() else []
        return dict(line.split("=", 1) for line in lines)

    def action(self, given: Mapping[str, str], github: Mapping[str, str]) -> int:
        """Runs the scripts of action.yml with its own environment for them, except install; returns the exit code.

        Args:
            given: the inputs, as a workflow names them.
            github: the values of `github.*` that defaults use.
        """
        defaults = {name: str(value.get("default", "")) for name, value in ACTION["inputs"].items()}
        context = {f"github.{name}": value for name, value in github.items()}
        context |= {
            f"inputs.{name}": fill(value, context) for name, value in (defaults | dict(given)).items()
        }
        for step in ACTION["runs"]["steps"]:
            name = Path(step.get("run", "").split(" ")[-1].strip('"')).stem
            if not name or name == "install" or (name == "comment" and context["inputs.comment"] != "true"):
                continue
            env = {key: fill(value, context) for key, value in step["env"].items()}
            try:
                self.step(name, **env)
            except AssertionError:
                if name != "verdict":
                    raise
                return {"fail": 1, "inconclusive": 3}[self.outputs["verdict"]]
            context |= {f"steps.{step.get('id')}.outputs.{key}": value for key, value in self.outputs.items()}
            if name == "check":
                self.link(Path(self.outputs["place"]))
        return 0


def fill(text: str, context: Mapping[str, str]) -> str:
    """Returns a value with each expression replaced by the first of its alternatives that is not empty."""

    def value(match: re.Match[str]) -> str:
        names = [part.strip() for part in match[1].split("||")]
        return next((found for name in names if (found := context.get(name, ""))), "")

    return EXPRESSION.sub(value, text)


def git(*args: str | Path, cwd: Path) -> None:
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"]
    subprocess.run(
        ["git", *who, *args], cwd=cwd, check=True, capture_output=True, env={**os.environ, **settings}
    )
