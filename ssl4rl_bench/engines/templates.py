"""Renders each prompt under limits first, since a chat template is an untrusted program from a checkpoint.

A template can loop, multiply text or call itself, and Jinja's sandbox limits neither time nor memory.
Therefore a child process with limited memory renders every prompt before transformers does so in this
process, with the same input. If the child takes too long, runs out of memory or writes far more than it was
given, the checkpoint is refused. Each prompt costs a fraction of a millisecond, and the start of the child a
tenth of a second.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import EngineError, ModelError

SECONDS = 5.0
"""The time limit for one prompt, in seconds; real templates take milliseconds."""
MEMORY_BYTES = 512 * 2**20
"""The limit on the child's address space, of which Python and jinja2 take about a tenth."""
CHARACTERS = 1_000_000
"""The limit on the length of a prompt, in addition to eight times the length of its input."""
_START_S = 60.0
_FIX = "copy chat_template.jinja from the base that it was trained from"
_WORDS = {
    "time": f"takes more than {SECONDS:g} s for one prompt, as if it looped forever",
    "memory": f"takes more than {MEMORY_BYTES >> 20} MiB of memory for one prompt",
    "recursion": "calls itself endlessly",
    "length": f"makes a prompt of more than {CHARACTERS:,} characters from a short question",
    "crash": "crashes the program that renders it",
}
_USUAL: tuple[list[dict[str, Any]], ...] = (
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}],
    [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "Who are you?"}]},
    ],
)


class TemplateGuard:
    """Renders prompts with a template under limits. Safe for use by several threads.

    Args:
        template: the Jinja source.
        name: the name of the checkpoint, for messages.
    """

    def __init__(self, template: str, name: str) -> None:
        self._template = template
        self._name = name
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def check_usual(self) -> None:
        """Renders typical prompts.

        Raises:
            ModelError: if the template is not valid Jinja or a prompt exceeds the limits. Errors that the
                template itself raises are ignored here; they fail the requests that cause them.
        """
        for messages in _USUAL:
            self.check({"messages": messages, "add_generation_prompt": True})

    def check(self, variables: Mapping[str, Any]) -> None:
        """Renders one prompt. Raises the same errors as `check_usual`."""
        with self._lock:
            if self._child is None or self._owner != os.getpid():
                self._start()
            result = self._ask({"variables": variables})
        if result.get("error") in _WORDS:
            self._refuse(_WORDS[result["error"]])

    def close(self) -> None:
        """Ends the child process."""
        child, self._child = self._child, None
        if child is not None and self._owner == os.getpid():
            child.kill()
            child.communicate()

    def _start(self) -> None:
        setup = {
            "path": _path_of_jinja(),
            "bytes": MEMORY_BYTES,
            "seconds": SECONDS,
            "chars": CHARACTERS,
        }
        self._owner = os.getpid()
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("template_child.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,  # so that Ctrl-C does not reach the child
        )
        atexit.register(self.close)
        if error := self._ask(setup, _START_S).get("error"):
            raise EngineError(f"the process that tests chat templates does not start ({error})")
        result = self._ask({"template": self._template})
        if result.get("error") == "raised":
            self._refuse(f"is not a Jinja template ({' '.join(result['message'].split())})")
        if result.get("error"):
            self._refuse(_WORDS[result["error"]])

    def _ask(self, question: Mapping[str, Any], seconds: float | None = None) -> dict[str, Any]:
        """Returns the child's answer; without one, ends the child and returns the reason as the error."""
        assert self._child and self._child.stdin and self._child.stdout
        until = time.monotonic() + (SECONDS if seconds is None else seconds)
        line = b""
        try:
            self._child.stdin.write(json.dumps(question, default=str).encode() + b"\n")
            self._child.stdin.flush()
            while not line.endswith(b"\n"):
                left = until - time.monotonic()
                if left <= 0 or not select.select([self._child.stdout], [], [], left)[0]:
                    self.close()
                    return {"error": "time"}
                if not (more := os.read(self._child.stdout.fileno(), 65536)):
                    self.close()
                    return {"error": "crash"}
                line += more
        except OSError:
            self.close()
            return {"error": "crash"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _refuse(self, why: str) -> None:
        self.close()
        raise ModelError(f"the chat template of {self._name} {why}; {_FIX}")


_cached: dict[tuple[str, str], TemplateGuard] = {}


def guard(template: str, name: str) -> TemplateGuard:
    """Returns the guard for a checkpoint's template. Only the most recent guard and its child are cached."""
    if (template, name) not in _cached:
        for old in _cached.values():
            old.close()
        _cached.clear()
        _cached[template, name] = TemplateGuard(template, name)
    return _cached[template, name]


def _path_of_jinja() -> list[str]:
    """Returns the folders of jinja2 and markupsafe, which the isolated child adds to its sys.path."""
    specs = [importlib.util.find_spec(name) for name in ("jinja2", "markupsafe")]
    return sorted({str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin})
