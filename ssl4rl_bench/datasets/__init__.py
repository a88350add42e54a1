"""Builds data sets of SSL samples: byte-identical for any number of workers and any order of the images."""

from __future__ import annotations

from ssl4rl_bench.datasets.building import build_dataset
from ssl4rl_bench.datasets.formats import FORMATS
from ssl4rl_bench.datasets.manifest import Manifest

__all__ = ["FORMATS", "Manifest", "build_dataset"]
