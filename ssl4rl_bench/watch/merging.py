"""Merges shards and adapters into weights that engines load, with the trainer's command or the user's.

Merged checkpoints are in `OUT/merged/NAME`, beside a file NAME.json that says of which files and with which result.
It stays when the weights are removed after their evaluation, so that nothing is merged twice.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import Interrupted, ModelError, UsageError
from ssl4rl_bench.core.neutral import one_line
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.engines.checkpoints.unmerged import Unmerged, has_weights
from ssl4rl_bench.engines.checkpoints.weights import fingerprint
from ssl4rl_bench.watch.find import Checkpoint

AUTO = "auto"
_POLL_S = 0.1
_LONGEST = 300
"""The number of characters that are shown of a command's last line."""


def check_command(command: str) -> None:
    """Checks the value of `--merge`.

    Raises:
        UsageError: if it is a command without {source}, or has unbalanced quotes.
    """
    if command == AUTO:
        return
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--merge {command!r} is not a command: {str(error).lower()}") from None
    if not any("{source}" in word for word in words):
        raise UsageError(
            f"--merge {command!r} lacks {{source}}: write auto, or a command with {{source}} and {{target}}"
        )


@dataclass(frozen=True)
class Merger:
    """Runs the command that makes a checkpoint of shards or an adapter."""

    folder: Path
    """The folder of merged checkpoints."""
    command: str
    """A command with {source} and {target}, or "auto". Without {target}, it writes to {source}/huggingface."""
    say: Callable[[str], None]
    stop: threading.Event

    def known(self, checkpoint: Checkpoint) -> str | None:
        """Returns the fingerprint of the weights that these files gave before; None if they were never merged."""
        record = self._record(checkpoint.name)
        return record["fingerprint"] if record.get("source") == checkpoint.fingerprint else None

    def merge(self, checkpoint: Checkpoint) -> Path:
        """Returns the folder of a checkpoint's merged weights, which are made unless they exist.

        Raises:
            ModelError: if the command fails, or its result is not a complete checkpoint.
            Interrupted: if `stop` was set while the command ran.
            StoreError: if the disk is full or permission is denied.
        """
        parts, target = checkpoint.unmerged, self.folder / checkpoint.name
        assert parts is not None
        if self.known(checkpoint) is not None and target.is_dir():
            return target
        if self.command != AUTO and "{target}" not in self.command:
            return self._merge_in_place(checkpoint, parts)
        with atomic.reporting(target):
            shutil.rmtree(target, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
        with atomic.created_folder(target) as made:
            # The commands of adapters refuse a folder that exists.
            inner = made / checkpoint.name
            self._run(parts, inner)
            if not inner.is_dir():
                raise ModelError(f"the command that merges {parts.folder} wrote nothing to {inner}")
            digest = fingerprint(inner)
            for path in list(inner.iterdir()):
                path.rename(made / path.name)
            inner.rmdir()
            atomic.write_json(
                self._record_path(checkpoint.name), {"source": checkpoint.fingerprint, "fingerprint": digest}
            )
        return target

    def places(self) -> dict[str, Path]:
        """Maps the names of checkpoints to the folders of their merged weights."""
        return {path.name: path for path in self.folder.glob("*") if path.is_dir()}

    def tidy(self, best: str | None) -> None:
        """Removes the merged weights of all checkpoints but the best."""
        for path in self.folder.glob("*"):
            if path.is_dir() and path.name != best:
                shutil.rmtree(path, ignore_errors=True)

    def _merge_in_place(self, checkpoint: Checkpoint, parts: Unmerged) -> Path:
        place = parts.folder / "huggingface"
        self._run(parts, place)
        if not has_weights(place):
            raise ModelError(f"the command that merges {parts.folder} wrote no weights to {place}")
        with atomic.reporting(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        atomic.write_json(
            self._record_path(checkpoint.name),
            {"source": checkpoint.fingerprint, "fingerprint": fingerprint(place)},
        )
        return place

    def _run(self, parts: Unmerged, target: Path) -> None:
        words = self._words(parts, target)
        self.say(f"merging {parts.folder}: {shlex.join(words)}")
        try:
            process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except OSError as error:
            reason = (error.strerror or "it cannot be run").lower()
            raise ModelError(f"{words[0]}, which --merge names, cannot be run: {reason}") from None
        output = self._output_of(process)
        if self.stop.is_set():
            raise Interrupted("the watch was stopped; the same command continues it")
        if process.returncode:
            lines = output.decode("utf-8", "replace").strip().splitlines() or ["no output"]
            raise ModelError(
                f"the command that merges {parts.folder} ended with exit code {process.returncode} "
                f"({one_line(lines[-1], _LONGEST)}); for another environment, give its command: "
                '--merge "COMMAND {source} {target}"'
            )

    def _output_of(self, process: subprocess.Popen[bytes]) -> bytes:
        """Waits for a command, and ends it if the watch is stopped."""
        with process:
            try:
                while True:
                    try:
                        return process.communicate(timeout=_POLL_S)[0]
                    except subprocess.TimeoutExpired:
                        if self.stop.is_set():
                            process.terminate()
            except BaseException:
                process.kill()
                raise

    def _words(self, parts: Unmerged, target: Path) -> list[str]:
        if self.command != AUTO:
            places = {"{source}": str(parts.folder), "{target}": str(target)}
            words = shlex.split(self.command)
            for key, value in places.items():
                words = [word.replace(key, value) for word in words]
            return words
        if parts.trainer == "EasyR1":
            raise ModelError(
                f"{parts.folder} is merged by a script in a checkout of EasyR1; name it: "
                '--merge "python EasyR1/scripts/model_merger.py --local_dir {source}"'
            )
        return [sys.executable, *parts.command_words(target)[1:]]

    def _record_path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _record(self, name: str) -> dict[str, Any]:
        try:
            value = parse_json(self._record_path(name).read_bytes())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) and isinstance(value.get("fingerprint"), str) else {}
