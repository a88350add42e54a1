"""Files to start from: recipes, launch files, a policy and task files, which the command `examples` copies.

They come with every installation. The recipes and launch files are those of `train/recipes`; the others are in this
folder.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ssl4rl_bench.core.atomic import reporting, write_bytes
from ssl4rl_bench.core.errors import UsageError, did_you_mean

HERE = Path(__file__).parent
RECIPES = HERE.parent / "train" / "recipes"


@dataclass(frozen=True)
class ExampleFile:
    """A file that comes with the package."""

    name: str
    """Its path in the folder of copies, such as "accelerate/gpu8_fsdp2.yaml"."""
    path: Path
    """Where it is installed."""

    @property
    def title(self) -> str:
        """The first clause of the comment at the top of the file, without what is in parentheses."""
        if self.path.suffix == ".tsv":
            return f"The questions of {self.path.stem}.yaml"
        lines = self.path.read_text("utf-8").splitlines()
        comments = itertools.takewhile(lambda line: line.startswith("#"), lines)
        text = " ".join(line.lstrip("# ") for line in comments if not line.startswith("#!"))
        return re.split(r"[.:](?:\s|$)", re.sub(r" \([^)]*\)", "", text), maxsplit=1)[0]


def list_examples() -> tuple[ExampleFile, ...]:
    """Returns all examples: the policy, then the files of each folder, in alphabetical order."""
    return tuple(ExampleFile(name, path) for name, path in sorted(_files(), key=lambda pair: _order(pair[0])))


def select_examples(names: Iterable[str]) -> tuple[ExampleFile, ...]:
    """Returns the examples with these names, or in these folders of examples, without duplicates.

    Raises:
        UsageError: there is no example and no folder of that name.
    """
    examples = list_examples()
    selected: dict[str, ExampleFile] = {}
    for name in names:
        wanted = name.strip("/")
        chosen = [item for item in examples if wanted in (item.name, item.name.partition("/")[0])]
        if not chosen:
            chosen = [item for item in examples if wanted in (item.path.name, item.path.stem)]
        if not chosen:
            known = [item.name for item in examples]
            raise UsageError(
                f"there is no example {name!r}{did_you_mean(name, known)}; `ssl4rl-bench list examples` shows all"
            )
        selected |= {item.name: item for item in chosen}
    return tuple(selected.values())


def copy_examples(names: Iterable[str] = (), out: Path = Path("examples"), force: bool = False) -> list[Path]:
    """Copies examples into a folder and returns the paths of the copies, also of those that already existed.

    Args:
        names: examples or folders of examples; all of them by default.
        force: replaces files of the same name with other content.

    Raises:
        UsageError: an unknown name, or, without `force`, a file of that name with other content. Nothing is
            written in this case.
        StoreError: a file cannot be written.
    """
    examples = select_examples(names) or list_examples()
    targets = {item: out / item.name for item in examples}
    for item, target in targets.items():
        if not force and target.is_file() and target.read_bytes() != item.path.read_bytes():
            raise UsageError(f"{target} already exists with other content: give another --out, or --force")
    for item, target in targets.items():
        data = item.path.read_bytes()
        with reporting(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target, data, durable=False)
            target.chmod(0o755 if data.startswith(b"#!") else 0o644)
    return list(targets.values())


def _files() -> Iterator[tuple[str, Path]]:
    """Yields the name and the path of every example."""
    for path in RECIPES.glob("*.toml"):
        yield f"recipes/{path.name}", path
    for folder, pattern in ((RECIPES, "*/*"), (HERE, "*.toml"), (HERE, "tasks/*")):
        for path in folder.glob(pattern):
            if path.suffix in (".yaml", ".toml", ".tsv", ".sbatch", ".sh"):
                yield path.relative_to(folder).as_posix(), path


def _order(name: str) -> tuple[bool, str]:
    return "/" in name, name
