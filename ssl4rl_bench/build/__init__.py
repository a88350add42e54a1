"""Data sets of SSL samples on disk: the same bytes for any number of workers and any order of the images."""

from __future__ import annotations

from ssl4rl_bench.build.building import build
from ssl4rl_bench.build.formats import FORMATS
from ssl4rl_bench.build.manifest import Manifest

__all__ = ["FORMATS", "Manifest", "build"]
