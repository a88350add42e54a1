"""What the golden tests compare: the documents that commands make, and how two of them may differ."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import json
import math
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from commands import bench

VERSION = importlib.metadata.version("ssl4rl-bench")
NORMAL: tuple[tuple[str, str], ...] = (
    # The bytes of a journal: its lines say how long each reply took.
    (r'"journal":\d+', '"journal":N'),
    # A release changes the program's version, and no number.
    (rf"(?<![\d.]){re.escape(VERSION)}(?!\.?\d)", "VERSION"),
    # Libraries of this environment, in manifests and on pages.
    (r'"versions": \{[^}]*\}', '"versions": {}'),
    (r"(?m)^ssl4rl-bench VERSION, .*$", "PACKAGES"),
    # When and where a run was made.
    (r"(?m)^20\d\d-\d\d-\d\dT\S+ to 20\d\d-\d\d-\d\dT\S+, Python .*$", "EXECUTED"),
    # The day of a run, in its checkpoint's card.
    (r"(?<![\d-])20\d\d-\d\d-\d\d(?![\dT-])", "DATE"),
    # Parquet's bytes depend on the library that writes it; rows and pictures are compared instead.
    (r'(\.parquet": \{\s*"samples": \d+),\s*"bytes": \d+,\s*"sha256": "\w+"', r"\1"),
)
"""What is replaced before texts are compared, and why.

Paths need nothing: commands run in the folder that they write to, and name it relatively.
"""

Documents = dict[str, str]
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_FLOAT = re.compile(r"-?\d+(?:\.\d+(?:[eE][+-]?\d{1,3})?|[eE]-\d{1,3})")
_DIGITS = 10
"""A number printed with as many digits is one that nobody rounded."""


def normal(text: str) -> str:
    """The text without what may differ from run to run."""
    for pattern, word in NORMAL:
        text = re.sub(pattern, word, text)
    return text


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def differences(name: str, pinned: str, found: str) -> Iterator[str]:
    """Where two texts differ, with what stands around it; nothing where only numbers do, and by less than 1e-12."""
    if pinned == found:
        return
    old, new = list(_NUMBER.finditer(pinned)), list(_NUMBER.finditer(found))
    before = then = 0
    for one, other in zip(old, new, strict=False):
        if pinned[before : one.start()] != found[then : other.start()]:
            yield _around(name, pinned, found, before, then)
            return
        if not _same_number(one[0], other[0]):
            yield _around(name, pinned, found, one.start(), other.start())
        before, then = one.end(), other.end()
    if len(old) != len(new) or pinned[before:] != found[then:]:
        yield _around(name, pinned, found, before, then)


def _same_number(one: str, other: str) -> bool:
    if one == other:
        return True
    if not (_FLOAT.fullmatch(one) and _FLOAT.fullmatch(other)):
        return False
    unrounded = any("e" in text or sum(map(str.isdigit, text)) >= _DIGITS for text in (one, other))
    return unrounded and math.isclose(float(one), float(other), rel_tol=1e-12, abs_tol=1e-12)


def _around(name: str, pinned: str, found: str, at: int, then: int) -> str:
    start = max(0, at - 120)
    return (
        f"{name}, character {at}, after {pinned[start:at]!r}:\n"
        f"    pinned {pinned[at : at + 80]!r}\n    found  {found[then : then + 80]!r}"
    )


class Workshop:
    """A folder in which commands run, and the documents that come of them."""

    def __init__(self) -> None:
        self.documents: Documents = {}

    def call(self, *args: str | Path, codes: tuple[int, ...] = (0,)) -> str:
        """Standard output of a command, and the exit code if it is not 0.

        Raises:
            AssertionError: it exited with none of these codes.
        """
        env = {"COLUMNS": "150", "GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": ""}
        done = bench(*args, env=env)
        assert done.code in codes, f"{args} exited with {done.code}: {done.text[-2000:]}"
        return f"exit {done.code}\n{done.out}" if done.code else done.out

    def pin(self, name: str, text: str) -> None:
        assert name not in self.documents
        self.documents[name] = normal(text)

    def print(self, *args: str | Path) -> None:
        """Pins what a command prints, under its own words."""
        self.pin(" ".join(map(str, args)), self.call(*args))

    def pin_run(self, run: str) -> None:
        """Pins a run's files; of its journal a digest of what does not depend on the time it took."""
        for name in ("spec.json", "result.json", "outcomes.json"):
            self.pin(f"{run}/{name}", Path(run, name).read_text())
        for path in sorted(Path(run, "journal").glob("*.jsonl")):
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            kept = [{key: row[key] for key in row if key not in ("latency_s", "crc")} for row in rows]
            self.pin(f"{run}/journal/{path.name}", f"{len(kept)} lines {sha256(json.dumps(kept).encode())}")
        images = sorted(path.name for path in Path(run, "images").rglob("*") if path.is_file())
        self.pin(f"{run}/images", f"{len(images)} files {sha256(json.dumps(images).encode())}")

    def pin_again(self, run: str) -> None:
        """`score` derives the same bytes from the journal."""
        before = Path(run, "result.json").read_bytes()
        self.print("score", run)
        assert Path(run, "result.json").read_bytes() == before

    def gate(self, baseline: str, candidate: str, policy: str, *more: str) -> None:
        """Pins a verdict, as JSON, JUnit, Markdown, text and exit code."""
        files = {f"--{form}": f"gate.{form}" for form in ("json", "junit", "summary")}
        flags = [word for pair in files.items() for word in pair]
        args = ("gate", "-b", baseline, "-c", candidate, "-p", policy, *more)
        name = " ".join(args)
        self.pin(name, self.call(*args, *flags, codes=(0, 1, 3)))
        for flag, file in files.items():
            self.pin(f"{name} {flag}", Path(file).read_text())

    def page(self, *runs: str) -> None:
        """Pins the words of a leaderboard page."""
        self.call("report", *runs, "--no-samples", "-o", "page.html")
        words = Words()
        words.feed(Path("page.html").read_text())
        self.pin(" ".join(("report", *runs)), "\n".join(words.found))


class Words(HTMLParser):
    """The text of a page, a line for each piece; neither scripts nor styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None and data.strip():
            self.found.append(" ".join(data.split()))


def pin_data_set(shop: Workshop, folder: Path) -> None:
    """Pins each file's text; pictures as digests, where they lie in files, in columns, or in base64."""
    digests = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".parquet":
            shop.pin(str(path), parquet_text(path))
        elif path.suffix == ".tsv":
            shop.pin(str(path), tsv_text(path))
        elif path.parent != folder:
            digests.append(f"{name} {sha256(path.read_bytes())}")
        else:
            shop.pin(str(path), path.read_bytes().decode())
    if digests:
        shop.pin(f"{folder}/images", "\n".join(digests))


def parquet_text(path: Path) -> str:
    """Columns with their types, what `datasets` is told, and a line for each row."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    lines = [f"{field.name} {field.type}" for field in table.schema]
    lines.append((table.schema.metadata or {})[b"huggingface"].decode())
    for row in table.to_pylist():
        for image in row["images"]:
            image["bytes"] = sha256(image["bytes"])
        lines.append(json.dumps(row, ensure_ascii=False))
    return "\n".join(lines)


def tsv_text(path: Path) -> str:
    """The file's digest, and its rows with a digest for each picture."""
    csv.field_size_limit(sys.maxsize)
    lines = [sha256(path.read_bytes())]
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            told = row["image"].strip("[]").replace("'", "").split(", ")
            # A copy of a question names the row that has its picture.
            shown = [text if text.isdigit() else sha256(base64.b64decode(text)) for text in told]
            lines.append(json.dumps(row | {"image": shown}, ensure_ascii=False))
    return "\n".join(lines)
