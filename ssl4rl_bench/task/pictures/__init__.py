"""Image sets for the SSL tasks: from any source, without duplicates, split and ordered by content hash."""

from __future__ import annotations

from ssl4rl_bench.task.pictures.located import Dropped, ImageLocation, ImageSource
from ssl4rl_bench.task.pictures.making import Made, make, seed_for
from ssl4rl_bench.task.pictures.selection import Picture, Selection, select, split_of
from ssl4rl_bench.task.pictures.sources import open_source

__all__ = [
    "Dropped",
    "ImageLocation",
    "ImageSource",
    "Made",
    "Picture",
    "Selection",
    "make",
    "open_source",
    "seed_for",
    "select",
    "split_of",
]
