"""Remembers the selection of the built-in images in the user's cache folder, without the images.

Their order is that of the hashes of their bytes, so the first N are known only after all have been drawn (3 s).
A probe with a limit calls `recall`, and draws only what it shows.
"""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from ssl4rl_bench.core import atomic
from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.task.pictures.drawn import question_of
from ssl4rl_bench.task.pictures.located import Dropped, ImageLocation
from ssl4rl_bench.task.pictures.perceptual import T_BITS, T_COLOUR, Perceptual
from ssl4rl_bench.task.pictures.selection import REDUCED, Picture, Selection
from ssl4rl_bench.task.ssl.base import MIN_SIDE

CACHE = "SSL4RL_CACHE_DIR"
"""The environment variable that names another folder than ~/.cache/ssl4rl-bench ($XDG_CACHE_HOME)."""
_FORMAT = 1
"""Raised whenever the content of the file changes."""


@dataclass(frozen=True, slots=True)
class Drawing(ImageLocation):
    """A built-in image, which is drawn when it is read. Its name is "stream/leaf/number"."""

    def read(self) -> bytes:
        from ssl4rl_bench.task import scenes

        question = question_of(self.name)
        assert question is not None
        return scenes.png(question.drawn)


def cache_file() -> Path:
    """Returns the path of the file; its name depends on everything that may change the images or their selection.

    Raises:
        RuntimeError: the user has no home.
    """
    from PIL import features

    from ssl4rl_bench.task import scenes

    named = os.environ.get(CACHE)
    caches = os.environ.get("XDG_CACHE_HOME")
    folder = Path(named) if named else (Path(caches) if caches else Path.home() / ".cache") / "ssl4rl-bench"
    versions = {name: str(features.version(name)) for name in features.get_supported()}
    leaves = [[leaf.name, leaf.n_dev] for leaf in scenes.LEAVES]
    limits = [REDUCED, T_BITS, T_COLOUR, MIN_SIDE]
    key = sha256_json([_FORMAT, scenes.VERSION, leaves, limits, platform.machine(), versions])
    return folder / f"scenes-{key[:16]}.json"


def remember(selection: Selection) -> None:
    """Writes the selection of all built-in images; does nothing if the folder cannot be written."""
    content = {
        "source": selection.source,
        "n_seen": selection.n_seen,
        "dropped": [astuple(drop) for drop in selection.dropped],
        "pictures": [
            {**asdict(picture), "perceptual": picture.perceptual.hex()}
            | {"located": [picture.located.name, picture.located.length]}
            for picture in selection.pictures
        ],
    }
    with suppress(OSError, RuntimeError, StoreError):
        path = cache_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        data = json.dumps({"sha256": sha256_json(content), "content": content})
        atomic.write_bytes(path, data.encode(), durable=False)


def recall() -> Selection | None:
    """Returns the selection that an earlier process wrote, or None if there is none or it is damaged.

    An image that is no longer drawn in the same way raises DataError when it is read, as a changed file does.
    """
    try:
        saved = json.loads(cache_file().read_bytes())
        content = saved["content"]
        if saved["sha256"] != sha256_json(content):
            return None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return None
    return Selection(
        source=content["source"],
        pictures=tuple(_picture(item) for item in content["pictures"]),
        dropped=tuple(Dropped(*drop) for drop in content["dropped"]),
        n_seen=content["n_seen"],
    )


def _picture(item: dict[str, Any]) -> Picture:
    name, length = item["located"]
    raw = bytes.fromhex(item["perceptual"])
    perceptual = Perceptual(int.from_bytes(raw[:8], "big"), raw[8:])
    return Picture(**item | {"located": Drawing(name, "", 0, length), "perceptual": perceptual})
