"""The manifest, lists and card of a data set, which do not depend on paths, the time or the workers."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.atomic import to_text
from ssl4rl_bench.datasets.files import DataFile
from ssl4rl_bench.datasets.work import Record, SampleSettings
from ssl4rl_bench.task.pictures import Dropped, Selection

FILE, CARD = "manifest.json", "README.md"
KIND = "ssl4rl-bench data set"
SCHEMA = 1
IMAGES, DROPPED = "images.jsonl", "dropped.jsonl"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of `manifest.json`."""

    data: Mapping[str, Any]

    @property
    def n_samples(self) -> int:
        """The number of samples in all splits."""
        return sum(self.data["counts"]["samples"].values())

    @property
    def counts(self) -> Mapping[str, Any]:
        """The numbers of images by outcome, of samples by split, and of targets by split."""
        counts: Mapping[str, Any] = self.data["counts"]
        return counts


@dataclass(slots=True)
class Tally:
    """Counts samples as they are written and collects what was dropped."""

    targets: dict[str, Counter[str]] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)

    def add(self, record: Record) -> None:
        """Counts a sample that was written."""
        self.targets.setdefault(record.split, Counter())[record.made.target] += 1

    def unusable(self) -> dict[str, int]:
        """Returns the reasons why no sample could be made, with their counts, the most frequent first."""
        reasons = Counter(drop.reason for drop in self.dropped if drop.kind == "unusable")
        return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def write_manifest(
    folder: Path,
    recipe: SampleSettings,
    selection: Selection,
    tally: Tally,
    files: Iterable[DataFile],
    settings: Mapping[str, Any],
) -> Manifest:
    """Writes the manifest, the data card, and the lists of kept and of dropped images (with reasons)."""
    drops = sorted((*selection.dropped, *tally.dropped), key=lambda drop: (drop.name, drop.kind, drop.reason))
    entries = (
        {
            "sha256": picture.sha256,
            "name": picture.located.name,
            "split": picture.split,
            "width": picture.width,
            "height": picture.height,
            "perceptual": picture.perceptual.hex(),
        }
        for picture in selection.pictures
    )
    rows = ({"name": drop.name, "kind": drop.kind, "reason": drop.reason} for drop in drops)
    lists = [_jsonl(folder / IMAGES, entries), _jsonl(folder / DROPPED, rows)]
    late = Counter(drop.kind for drop in tally.dropped)
    images = selection.counts()
    images["unreadable"] += late["unreadable"]
    images["kept"] -= late["unreadable"]
    data = {
        "schema": SCHEMA,
        "kind": KIND,
        "task": recipe.name,
        **settings,
        "identity": recipe.task.identity,
        "difficulty": recipe.task.difficulty,
        "chance": recipe.task.chance,
        "prompt": recipe.style,
        "samples_per_image": recipe.per_image,
        "source": selection.source,
        **({"hub": asdict(selection.hub)} if selection.hub is not None else {}),
        "counts": {
            "images": images,
            "samples": {split: sum(targets.values()) for split, targets in tally.targets.items()},
            "targets": {split: dict(sorted(targets.items())) for split, targets in tally.targets.items()},
            "unusable": tally.unusable(),
        },
        "files": {
            file.name: {"samples": file.n_samples, "bytes": file.n_bytes, "sha256": file.sha256}
            for file in files
        },
        "lists": {
            file.name: {"images": file.n_samples, "bytes": file.n_bytes, "sha256": file.sha256}
            for file in lists
        },
        "versions": package_versions(),
    }
    (folder / FILE).write_text(to_text(data), "utf-8")
    (folder / CARD).write_text(_card(data), "utf-8")
    return Manifest(data)


def _card(data: Mapping[str, Any]) -> str:
    """Returns the card, which `datasets.load_dataset(FOLDER)` needs to tell data files from lists."""
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for name in data["files"]:
        lines += [f"  - split: {Path(name).stem}", f"    path: {name}"]
    samples = ", ".join(f"{n} {split}" for split, n in data["counts"]["samples"].items())
    lines += [
        "---",
        "",
        f"# {data['task']}",
        "",
        f"Samples of an SSL task ({data['difficulty']}); a blind guess gets {data['chance']:.4g} of them right.",
        f"Written by ssl4rl-bench {data['versions']['ssl4rl-bench']} in the format `{data['format']}`: {samples}.",
        f"`{FILE}` has the counts, settings, hashes and versions.",
        "",
    ]
    return "\n".join(lines)


def package_versions() -> dict[str, str]:
    """Returns the versions of all software that the files' bytes depend on."""
    import numpy
    import PIL
    import pyarrow
    from PIL import features

    from ssl4rl_bench import __version__

    return {
        "ssl4rl-bench": __version__,
        "pillow": PIL.__version__,
        "libjpeg": str(features.version("jpg")),
        "libwebp": str(features.version("webp")),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "numpy": numpy.__version__,
        "pyarrow": pyarrow.__version__,
    }


def _jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> DataFile:
    n = 0
    with path.open("x", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            n += 1
    return DataFile.of(path, n)
