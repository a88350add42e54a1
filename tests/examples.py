"""How many examples a property test tries: all in CI, a fifth elsewhere, where each run draws new ones."""

from __future__ import annotations

import os

CI = bool(os.environ.get("CI"))


def examples(n: int) -> int:
    """Returns n in CI, else a fifth of it, at least 10."""
    return n if CI else max(min(n, 10), n // 5)
