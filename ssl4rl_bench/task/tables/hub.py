"""Reads data sets of the Hugging Face hub: chooses the configuration and split, and reads their rows.

The README.md of a data set lists the files of each configuration and split; without it, they are inferred
from the names of files and folders. Only the files of the chosen split are downloaded, and they are read
like local files. No code of a data set is run.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from ssl4rl_bench.core.errors import DataError, MissingDependency, did_you_mean
from ssl4rl_bench.core.names import HubName
from ssl4rl_bench.core.parsing import parse_yaml
from ssl4rl_bench.core.types import HubSource
from ssl4rl_bench.engines.hub import Repository
from ssl4rl_bench.task.tables.columns import MMBENCH, Columns, LocatedRow, OnShare
from ssl4rl_bench.task.tables.files import read_files
from ssl4rl_bench.task.tables.parquet import first_line

SplitFiles: TypeAlias = Mapping[str, Mapping[str, Sequence[str]]]
"""Maps each configuration to its splits, and each split to the paths of its files."""

_OURS = (".parquet", ".tsv")
_THEIRS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".arrow": "arrow"}
"""Suffixes of files that the `datasets` package reads, mapped to its names of their formats."""
_KINDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""The names that denote one split in file names, as in `datasets`."""
_SHARD = re.compile(r"(?:.*/)?data/(?P<split>\w[\w.]*)-[0-9]{5}-of-[0-9]{5}[^/]*")
_DEFAULT = "default"
_MAX_CARD_CHARS = 1 << 20
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class HubTable:
    """A downloaded split of a data set."""

    source: HubSource
    files: tuple[tuple[str, Path], ...]
    """The path of each file in the repository, and its local path."""

    def rows(
        self, *, columns: Columns = MMBENCH, images: bool = True, on_share: OnShare | None = None
    ) -> Iterator[LocatedRow]:
        """Returns the rows, each with its file and number as its place; images stay encoded.

        Raises:
            DataError: for a file that cannot be read.
            MissingDependency: for formats that need the `datasets` package.
        """
        if self.files[0][1].suffix.lower() in _OURS:
            return read_files(self.files, columns=columns, images=images, on_share=on_share)
        return _foreign_rows(self.source.asked, [path for _, path in self.files])


def open_table(
    name: HubName, *, config: str | None = None, split: str = "train", commit: str | None = None
) -> HubTable:
    """Downloads one split of a data set, or takes it from the local cache.

    Args:
        name: The requested data set. Parts that it does not name are chosen by `config` and `split`.
        config: The preferred configuration; None for any.
        split: The preferred split; "dev" and "validation" are equivalent.
        commit: The commit of an earlier call, instead of the one that the revision points to now.

    Raises:
        DataError: if there is no such data set, it cannot be downloaded completely, or the configuration or
            split is ambiguous.
        MissingDependency: without huggingface_hub.
    """
    repository = Repository("dataset", name.repo, commit or name.revision)
    listing = repository.listing()
    folder = repository.download(
        listing, ["README.md"]
    )  # even if there is none: this records the revision's commit in the cache
    card = _read_card(repository, folder / "README.md") if "README.md" in listing.sizes else {}
    parts = _parts(list(listing.sizes), card)
    if not parts:
        raise DataError(
            f"hub data set {name} has no parquet, TSV, CSV, JSON or Arrow files: download it and point --data at a "
            "TSV or parquet file"
        )
    chosen = _choose(name, parts, config, split)
    files = parts[chosen[0]][chosen[1]]
    pinned = Repository("dataset", name.repo, listing.commit)
    folder = pinned.download(listing, [glob.escape(file) for file in files])
    source = HubSource(str(name), listing.commit, *chosen)
    return HubTable(source, tuple((file, folder / file) for file in files))


def encoded(table: Any) -> Any:
    """Returns the `datasets.Dataset` with its images as bytes instead of decoded images."""
    import datasets

    for column, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(column, datasets.Image(decode=False))
    return table


def _foreign_rows(name: str, paths: Sequence[Path]) -> Iterator[LocatedRow]:
    try:
        import datasets
    except ImportError:
        raise MissingDependency.of(f"Reading {name} from the hub needs the datasets package", "hub") from None
    kind = _THEIRS[paths[0].suffix.lower()]
    try:
        table = datasets.load_dataset(kind, data_files=[str(path) for path in paths], split="train")
    except (OSError, ValueError, RuntimeError) as error:  # raised by datasets for damaged files
        raise DataError(
            f"hub data set {name} cannot be read as {kind} ({first_line(error)}): download it and point --data at a "
            "TSV or parquet file"
        ) from None
    for number, row in enumerate(encoded(table), start=1):
        yield f"row {number}", row


def _read_card(repository: Repository, path: Path) -> Mapping[str, Any]:
    """Returns the YAML at the head of README.md, or an empty mapping if there is none."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        text = file.read(_MAX_CARD_CHARS)
    match = re.match(r"---[ \t]*\n(.*?)\n---[ \t]*(\n|$)", text, re.DOTALL)
    try:
        card = parse_yaml(match[1].encode()) if match else {}
    except ValueError as reason:
        raise DataError(
            f"hub data set {repository} has a README.md with an invalid header: {reason}; download its data and "
            "point --data at that"
        ) from None
    return card if isinstance(card, dict) else {}


def _parts(names: Sequence[str], card: Mapping[str, Any]) -> SplitFiles:
    """Returns the configurations of a data set that have at least one readable file."""
    data = [name for name in sorted(names) if PurePosixPath(name).suffix.lower() in (*_OURS, *_THEIRS)]
    entries = card.get("configs")
    out: dict[str, dict[str, list[str]]] = {}
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict):
            continue
        root = str(entry.get("data_dir") or "").strip("./")
        inside = [name for name in data if not root or name.startswith(f"{root}/")]
        splits = _declared(entry.get("data_files"), inside, root) or _inferred(inside, root)
        if splits := {split: files for split, files in splits.items() if files}:
            out[str(entry.get("config_name", _DEFAULT))] = splits
    if not out and (splits := _inferred(data, "")):
        out[_DEFAULT] = splits
    return out


def _declared(value: Any, names: Sequence[str], root: str) -> dict[str, list[str]]:
    """Returns the splits of a `data_files` entry: a pattern, or a list of patterns or of {split, path}."""
    if isinstance(value, dict):
        value = [{"split": split, "path": path} for split, path in value.items()]
    elif isinstance(value, str):
        value = [value]
    patterns: dict[str, list[str]] = {}
    for item in value if isinstance(value, list) else []:
        paths = item.get("path") if isinstance(item, dict) else item
        split = str(item.get("split", "train")) if isinstance(item, dict) else "train"
        patterns.setdefault(split, []).extend(map(str, paths if isinstance(paths, list) else [paths]))
    return {
        split: [name for name in names if any(_matches(pattern, name, root) for pattern in wanted)]
        for split, wanted in patterns.items()
    }


def _matches(pattern: str, name: str, root: str) -> bool:
    """Whether a path matches a glob pattern in which `**` crosses folders and `*` does not."""
    pattern = f"{root}/{pattern.removeprefix('./')}" if root else pattern.removeprefix("./")
    translated = re.sub(
        r"\*\*/|\*\*|\*|\?|\[[^\]/]+\]|.",
        lambda match: {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(
            match[0], match[0] if len(match[0]) > 1 else re.escape(match[0])
        ),
        pattern,
        flags=re.DOTALL,
    )
    return re.fullmatch(translated, name) is not None


def _inferred(names: Sequence[str], root: str) -> dict[str, list[str]]:
    """Infers splits from the names of files and folders, for the first format of `_OURS` and `_THEIRS`."""
    suffixes = {PurePosixPath(name).suffix.lower() for name in names}
    suffix = next((suffix for suffix in (*_OURS, *_THEIRS) if suffix in suffixes), None)
    names = [name for name in names if PurePosixPath(name).suffix.lower() == suffix]
    splits: dict[str, list[str]] = {}
    for name in names:
        if match := _SHARD.fullmatch(name):
            splits.setdefault(match["split"], []).append(name)
    if splits or not names:
        return splits
    for name in names:
        words = re.split("[^a-z]+", name.removeprefix(root).lower())
        for word in words:
            if any(word in kind for kind in _KINDS.values()):
                splits.setdefault(word, []).append(name)
                break
    return splits or {"train": list(names)}


def _choose(name: HubName, parts: SplitFiles, config: str | None, split: str) -> tuple[str, str]:
    """Returns the configuration and split that the arguments select.

    Raises:
        DataError: there is none, or the choice is ambiguous; the message lists those that exist.
    """
    head, slash, tail = (name.part or "").rpartition("/")
    if not slash and tail in parts:  # a single name is a configuration if there is one, else a split
        head, tail = tail, ""
    held = _config(parts, config) if not head else head if head in parts else None
    if held is not None:
        known = _split(parts[held], split) if not tail else tail if tail in parts[held] else None
        if known is not None:
            return held, known
    pairs = [f"{held}/{known}" for held, splits in parts.items() for known in splits]
    more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    wanted = name.part or "/".join(filter(None, (config, split)))
    clear = f"has no {wanted}" if name.part else f"has nothing that is clearly {wanted}"
    example = HubName(name.repo, name.revision, pairs[0])
    suggestion = did_you_mean(wanted, pairs) if name.part else ""
    raise DataError(
        f"hub data set {HubName(name.repo, name.revision)} {clear}{suggestion}; "
        f"it has {', '.join(pairs[:_SHOWN])}{more}: name one after #, such as {example}"
    )


def _config(parts: SplitFiles, wanted: str | None) -> str | None:
    """Returns the wanted configuration, or the default or only one; None if the choice is not clear."""
    if wanted is not None:
        return wanted if wanted in parts else _DEFAULT if list(parts) == [_DEFAULT] else None
    return _DEFAULT if _DEFAULT in parts else next(iter(parts)) if len(parts) == 1 else None


def _split(splits: Iterable[str], wanted: str) -> str | None:
    """Returns the wanted split or a synonym; or else the only split, if it or the wanted one is "train"."""
    known = list(splits)
    alike = next((names for names in _KINDS.values() if wanted in names), (wanted,))
    for name in (wanted, *alike):
        if name in known:
            return name
    return known[0] if len(known) == 1 and "train" in (wanted, known[0]) else None
