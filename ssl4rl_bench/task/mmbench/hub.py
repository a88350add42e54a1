"""Data sets of the Hugging Face hub: which configuration and split are meant, and their rows.

A data set says in its README.md which files belong to which configuration and split; without that, names of files and
folders tell. Only the files of the chosen one are downloaded, and read as local ones are. None of its code is run.
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
from ssl4rl_bench.task.mmbench.files import OnShare, first_line, read_files
from ssl4rl_bench.task.mmbench.rows import Located

Parts: TypeAlias = Mapping[str, Mapping[str, Sequence[str]]]
"""Configuration to split to the paths of its files."""

_OURS = (".parquet", ".tsv")
_THEIRS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".arrow": "arrow"}
"""Read by the `datasets` package, as the formats of that name."""
_KINDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Names that mean one split, as `datasets` reads them in file names."""
_SHARD = re.compile(r"(?:.*/)?data/(?P<split>\w[\w.]*)-[0-9]{5}-of-[0-9]{5}[^/]*")
_DEFAULT = "default"
_MAX_CARD_CHARS = 1 << 20
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class HubTable:
    """One split of a data set, downloaded."""

    source: HubSource
    files: tuple[tuple[str, Path], ...]
    """Path in the repository, and on this machine."""

    def rows(self, *, images: bool = True, on_share: OnShare | None = None) -> Iterator[Located]:
        """The rows, each with its file and number; images stay encoded.

        Raises:
            DataError: for a file that cannot be read.
            MissingDependency: for formats that need the `datasets` package.
        """
        if self.files[0][1].suffix.lower() in _OURS:
            return read_files(self.files, images=images, on_share=on_share)
        return _foreign_rows(self.source.asked, [path for _, path in self.files])


def open_table(
    name: HubName, *, config: str | None = None, split: str = "train", commit: str | None = None
) -> HubTable:
    """Downloads one split of a data set, or takes it from the local cache.

    Args:
        name: What was asked. What it does not say is chosen by `config` and `split`.
        config: The configuration that is wanted; None for any.
        split: The split that is wanted; "dev" and "validation" are one.
        commit: The commit of an earlier call, instead of what the revision stands for now.

    Raises:
        DataError: if there is no such data set, it cannot be had whole, or the configuration or split is not clear.
        MissingDependency: without huggingface_hub.
    """
    repository = Repository("dataset", name.repo, commit or name.revision)
    listing = repository.listing()
    folder = repository.download(
        listing, ["README.md"]
    )  # also without one: the cache learns the revision's commit
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
    """The same `datasets.Dataset` with its images as bytes instead of decoded pictures."""
    import datasets

    for column, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(column, datasets.Image(decode=False))
    return table


def _foreign_rows(name: str, paths: Sequence[Path]) -> Iterator[Located]:
    try:
        import datasets
    except ImportError:
        raise MissingDependency(
            f"Reading {name} from the hub needs the datasets package: pip install 'ssl4rl-bench[hub]'"
        ) from None
    kind = _THEIRS[paths[0].suffix.lower()]
    try:
        table = datasets.load_dataset(kind, data_files=[str(path) for path in paths], split="train")
    except (OSError, ValueError, RuntimeError) as error:  # what datasets raises for damaged files
        raise DataError(
            f"hub data set {name} cannot be read as {kind} ({first_line(error)}): download it and point --data at a "
            "TSV or parquet file"
        ) from None
    for number, row in enumerate(encoded(table), start=1):
        yield f"row {number}", row


def _read_card(repository: Repository, path: Path) -> Mapping[str, Any]:
    """The YAML at the head of README.md; empty where there is none."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        text = file.read(_MAX_CARD_CHARS)
    match = re.match(r"---[ \t]*\n(.*?)\n---[ \t]*(\n|$)", text, re.DOTALL)
    try:
        card = parse_yaml(match[1].encode()) if match else {}
    except ValueError as reason:
        raise DataError(
            f"hub data set {repository} has a README.md whose head cannot be used: {reason}; download its data and "
            "point --data at that"
        ) from None
    return card if isinstance(card, dict) else {}


def _parts(names: Sequence[str], card: Mapping[str, Any]) -> Parts:
    """What a data set holds; configurations without any file that can be read are left out."""
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
    """The splits of a `data_files` entry: a pattern, a list of patterns, or one of {split, path}."""
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
        lambda found: {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(
            found[0], found[0] if len(found[0]) > 1 else re.escape(found[0])
        ),
        pattern,
        flags=re.DOTALL,
    )
    return re.fullmatch(translated, name) is not None


def _inferred(names: Sequence[str], root: str) -> dict[str, list[str]]:
    """Splits by the names of files and folders, of the first format of `_OURS` and `_THEIRS` that is there."""
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


def _choose(name: HubName, parts: Parts, config: str | None, split: str) -> tuple[str, str]:
    """The configuration and split that are meant.

    Raises:
        DataError: there is none, or it is not clear which; lists what there is.
    """
    head, slash, tail = (name.part or "").rpartition("/")
    if not slash and tail in parts:  # one name alone: a configuration, else a split
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


def _config(parts: Parts, wanted: str | None) -> str | None:
    """The wanted configuration, or else the unnamed one of a data set that has no other."""
    if wanted is not None:
        return wanted if wanted in parts else _DEFAULT if list(parts) == [_DEFAULT] else None
    return _DEFAULT if _DEFAULT in parts else next(iter(parts)) if len(parts) == 1 else None


def _split(splits: Iterable[str], wanted: str) -> str | None:
    """The wanted split, or another name of it, or the only one where that says nothing ("train")."""
    known = list(splits)
    alike = next((names for names in _KINDS.values() if wanted in names), (wanted,))
    for name in (wanted, *alike):
        if name in known:
            return name
    return known[0] if len(known) == 1 and "train" in (wanted, known[0]) else None
