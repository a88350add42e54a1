"""Measures what an engine waits for while it runs (`capabilities.Waits`)."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Literal

from ssl4rl_bench.core.capabilities import Waits

Reason = Literal["prompts", "model", "rest"]


class Stopwatch:
    """Adds up the seconds that an engine spends in each state. It stands still until the first `switch`."""

    def __init__(self) -> None:
        self._seconds: dict[Reason, float] = {"prompts": 0.0, "model": 0.0, "rest": 0.0}
        self._reason: Reason | None = None
        self._since = 0.0

    def switch(self, reason: Reason | None) -> None:
        """Begins another state; None if the engine has nothing to do."""
        now = time.perf_counter()
        if self._reason is not None:
            self._seconds[self._reason] += now - self._since
        self._reason, self._since = reason, now

    def waits(self) -> Waits:
        """Returns the seconds in each state, the present one included."""
        self.switch(self._reason)
        return Waits(self._seconds["prompts"], self._seconds["model"], self._seconds["rest"])

    def measures(self) -> dict[str, Any]:
        """Returns the seconds in each state and their shares, for `capabilities.Measures`; empty without any."""
        waits = self.waits()
        if not waits.total_s:
            return {}
        seconds = asdict(waits)
        return {
            "waits": {name: round(value, 3) for name, value in seconds.items()},
            "wait_shares": {
                name.removesuffix("_s"): round(value / waits.total_s, 4) for name, value in seconds.items()
            },
        }
