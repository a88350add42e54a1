"""Golden files: what the command line computed when they were written is what it computes today.

They hold the program still while its modules move: this file calls `ssl4rl-bench` alone and imports none of them.
Pinned in `tests/data/golden/`:

- `checkpoints.json.gz`: tiny-base and tiny-rotation answer `scenes` as recorded. Both runs' files,
  comparisons, gates, tables, views, a page and a model card.
- `all_checkpoints.json.gz`: the other three bundled checkpoints, all five beside each other, and their probes.
- `replies.json.gz`: MMBench's schema. Made-up replies of every kind, read by every extractor; repeats; blank images.
- `data_sets.json.gz`: `build` of every SSL task as JSONL, and of the four of `ssl_probes` in every format.
- `tasks.json.gz`: lists, checks, prompts, a data set of `scenes`, an exported TSV, a plan.

Inputs there: `replies/` (what the bundled checkpoints answered) and `pictures/`.

Compared are texts, so that key order, row order and spelling count. Numbers with many digits may differ by 1e-12,
absolute or relative. What `NORMAL` lists is replaced first; it says why.

After a change that is meant to change outputs, write the files anew, and read the differences that git does not show
(`--diff` prints them):

    python tests/golden/test_golden.py --diff
    python tests/golden/test_golden.py --write

The replies were recorded by `python tests/golden/test_golden.py --record FOLDER`, which needs torch and a quarter of
an hour, and makes or resumes the runs in FOLDER.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import csv
import gzip
import hashlib
import importlib.metadata
import json
import math
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from commands import bench
from mmbench_data import picture, questions, questions_by_ability, write_tsv

DATA = Path(__file__).parents[1] / "data"
GOLDEN = DATA / "golden"
POLICY = Path(__file__).parents[2] / "ssl4rl_bench" / "examples" / "gate.toml"
"""The policy that the documentation starts from."""
TWO = ("tiny-base", "tiny-rotation")
FIVE = (*TWO, "tiny-jigsaw", "tiny-contrastive", "tiny-position")
ASKED = {"scenes": ("scenes",), "probes": ("ssl_probes", "--limit", "50")}
"""What the checkpoints were asked."""
N_QUESTIONS = 70
KEPT = ("id", "text", "finish_reason", "n_prompt_tokens", "n_completion_tokens")
"""Of a journal's line: what a recorded reply has."""
FORMATS = ("parquet", "jsonl", "verl", "trl", "tsv")
ONE_OF_EACH_FAMILY = ("ssl_rotation_90", "ssl_jigsaw_2x2", "ssl_contrastive_weak", "ssl_position")
SSL_TASKS = (
    *ONE_OF_EACH_FAMILY,
    "ssl_rotation_30",
    "ssl_rotation_45",
    "ssl_rotation_90_released",
    "ssl_jigsaw_2x2_released",
    "ssl_jigsaw_3x3",
    "ssl_jigsaw_4x4",
    "ssl_contrastive_strong",
    "ssl_contrastive_weak_released",
    "ssl_position_3x3",
    "ssl_position_aug",
    "ssl_position_released",
    "ssl_pair_1x2",
    "ssl_pair_2x1",
    "ssl_pair_3x3",
    "ssl_patch_easy",
    "ssl_patch_hard",
    "ssl_flip",
    "ssl_count",
)
EXTRACTORS = ("default", "strict", "vlmevalkit-2025-07", "vlmevalkit-2025-09", "vlmevalkit-2026-06")
RULES = """
allow = ["partial"]
[[rule]]
task = "scenes"
kind = "no_worse_than"
margin = 5
[[rule]]
task = "scenes"
kind = "not_significantly_worse"
level = "l2"
[[rule]]
task = "scenes"
kind = "at_least"
aggregation = "row_micro"
value = 40
[[rule]]
task = "scenes"
kind = "better_than"
level = "l3"
category = "ocr"
margin = 2
[guards]
unread = 2
truncated = 1
errors = 0
reply_length = [0.5, 2.0]
letters = 10
image_overlap = 0
"""
PROBE_RULES = """
allow = ["partial"]
correction = "bonferroni"
on_inconclusive = "fail"
[[rule]]
task = "ssl_rotation_90"
kind = "better_than"
level = "probe"
[[rule]]
task = "ssl_position"
kind = "no_worse_than"
level = "probe"
margin = 20
"""
PUBLISHED = """{
"schema": 2, "title": "Made up", "source": "nowhere", "benchmark": ["scenes"], "unit": "percent",
"columns": ["logic_reasoning", "coarse_perception", "average"],
"rows": [
{"name": "base", "model": "x", "values": [50, 60, 70]},
{"name": "new", "model": "y", "values": [51, 62, 73]}
]}
"""
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


def replay(shop: Workshop, model: str, kind: str) -> str:
    """A run of a bundled checkpoint's recorded replies; returns its folder."""
    replies = Path("replies", f"{model}.jsonl")
    if not replies.exists():
        replies.parent.mkdir(exist_ok=True)
        replies.write_bytes(gzip.decompress((GOLDEN / "replies" / f"{model}.jsonl.gz").read_bytes()))
    run = f"{model}-{kind}"
    engine = ("--engine", "replay", "--replies", replies)
    shop.call("run", "--model", model, *engine, "--tasks", *ASKED[kind], "--out", run)
    return run


def checkpoints(shop: Workshop) -> None:
    """Two bundled checkpoints: every kind of table, and every file that a command writes about runs."""
    Path("rules.toml").write_text(RULES)
    Path("published.json").write_text(PUBLISHED)
    base, new = (replay(shop, model, "scenes") for model in TWO)
    shop.pin_run(base)
    shop.pin_run(new)
    shop.pin_again(new)
    for form in ("json", "csv", "markdown", "latex", "table"):
        shop.print("compare", base, new, "--format", form)
    for by, aggregation, correction in (
        ("l3", "circular_micro", "bh"),
        ("l1", "row_micro", "max-t"),
        ("overall", "vanilla0_micro", "none"),
        ("l2", "row_l3_macro", "holm"),
    ):
        how = ("--by", by, "--aggregation", aggregation, "--correction", correction)
        shop.print("compare", base, new, *how, "--format", "json")
    shop.print("compare", base, new, "--group-by", r"tiny-(\w+)", "--intervals")
    shop.print("compare", base, new, "--published", "published.json", "--format", "csv")
    shop.gate(base, new, "rules.toml")
    shop.gate(new, base, "rules.toml")
    shop.call("gate", "-c", base, "--save-baseline", "base.json.gz")
    shop.pin("baseline file", gzip.decompress(Path("base.json.gz").read_bytes()).decode())
    shop.gate("base.json.gz", base, "rules.toml", "--family", "series")
    shop.gate("base.json.gz", new, "rules.toml", "--family", "series")
    for form in ("table", "markdown", "json"):
        shop.print("show", base, new, "--format", form)
    for aggregation in ("circular_micro", "row_micro", "vanilla0_micro", "row_l3_macro"):
        shop.print("show", base, "--leaves", "--aggregation", aggregation)
    shop.print("report", base, new, "--view", "transfer")
    shop.page(base, new)
    shop.call("export", base, "--to", "model-card", "--out", "card")
    shop.pin("card/README.md", Path("card/README.md").read_text())
    shop.print("audit", "card", "card/README.md", "--format", "json")


def all_checkpoints(shop: Workshop) -> None:
    """The other three, all five beside each other, and the probes."""
    Path("rules.toml").write_text(RULES)
    Path("probe-rules.toml").write_text(PROBE_RULES)
    scenes, probes = ([replay(shop, model, kind) for model in FIVE] for kind in ASKED)
    for run in (*scenes[len(TWO) :], *probes):
        shop.pin_run(run)
        shop.pin_again(run)
    for run in scenes[len(TWO) :]:
        shop.gate(scenes[0], run, "rules.toml")
    for run in probes[1:]:
        shop.gate(probes[0], run, "probe-rules.toml")
    for form in ("json", "csv", "markdown", "latex", "table"):
        shop.print("compare", *scenes, "--format", form)
        shop.print("compare", *probes, "--allow", "partial", "--format", form)
    for correction in ("holm", "max-t", "bh", "none"):
        shop.print("compare", *scenes, "--by", "l3", "--correction", correction, "--format", "json")
    shop.print("compare", *scenes, "--group-by", "(tiny-b|tiny)")
    shop.print("report", *scenes, "--view", "transfer")
    for runs in (scenes, probes):
        shop.print("show", *runs)
        shop.page(*runs, "--allow", "partial")
    for run in (scenes[1], scenes[-1], *probes):
        shop.print("audit", "reading", run, "--format", "json")


def made_replies(run: str, shift: int) -> Iterator[dict[str, Any]]:
    """A reply of some kind to each sample of a run: readable or not, cut off, failed, or reasoning alone."""
    rows = [
        json.loads(line)["reply"]
        for name in ("natural", "prose")
        for line in (DATA / f"replies_{name}.jsonl").read_text().splitlines()
    ]
    asked = Path(run, "journal", "ssl4rl_mmbench_dev_en.jsonl").read_text().splitlines()
    for at, line in enumerate(map(json.loads, asked), start=shift):
        letter = "ABCD"[at * 7 // 3 % 4]
        words = {"{L}": letter, "{l}": letter.lower(), "{F}": chr(ord(letter) + 0xFEE0), "{T}": "green"}
        text = rows[at * 5 % len(rows)]
        for mark, word in words.items():
            text = text.replace(mark, word)
        reply = {"id": line["id"], "text": text, "n_completion_tokens": len(text.split())}
        if at % 13 == 5:
            reply |= {"finish_reason": "length", "text": text[: len(text) // 2]}
        if at % 41 == 7:
            reply |= {"text": "", "reasoning": "It may be the first."}
        if at % 97 == 11:
            reply = {"id": line["id"], "error": "HTTP 500"}
        yield reply


def replies(shop: Workshop) -> None:
    """MMBench's schema: how replies are read, what repeats add, and the policy of the documentation."""
    shutil.copytree(GOLDEN / "pictures", "pictures")
    write_tsv(Path("mmbench.tsv"), questions_by_ability(N_QUESTIONS))
    shop.print("validate", "mmbench_dev_en", "--data", "mmbench.tsv")
    asked = ("--tasks", "mmbench_dev_en", "--data", "mmbench_dev_en=mmbench.tsv")
    rotation = ("--tasks", "ssl_rotation_90", "--data", "ssl_rotation_90=pictures")
    mocks = ("random", "gold", "constant:B")
    for name in mocks:
        shop.call(
            "run", "--model", name, "--engine", "mock", "--mock", name, *asked, *rotation, "--out", name
        )
        shop.pin_run(name)
    blank = ("--model", "random", "--image", "blank", "--out", "blank")
    shop.call("run", "--engine", "mock", "--mock", "random", *asked, *rotation, *blank)
    trained = ("gold=ssl_rotation_90", "constant:B=ssl_position", "both=ssl_rotation_90+ssl_position")
    shop.call(
        "run",
        "--model",
        "both",
        "--engine",
        "mock",
        "--mock",
        "constant:C",
        *asked,
        *rotation,
        "--out",
        "both",
    )
    views = [word for each in trained for word in ("--trained", each)]
    shop.print("report", *mocks, "both", "--view", "transfer,additivity", *views)
    shop.print("report", "random", "blank", "--view", "bias")
    drawn = ("--repeats", "3", "--temperature", "1", "--out", "repeats")
    shop.call("run", "--model", "drawn", "--engine", "mock", "--mock", "random", *asked, *drawn)
    shop.pin_run("repeats")
    shutil.copy(POLICY, "gate.toml")
    shop.gate("random", "constant:B", "gate.toml")
    shop.gate("random", "gold", "gate.toml")
    for form in ("json", "markdown"):
        shop.print("compare", *mocks, "--published", "ssl4rl_mmbench", "--format", form)
    for number, extractor in enumerate((*EXTRACTORS, "default")):
        model = "others" if number == len(EXTRACTORS) else "made"
        path = Path(f"{model}.jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in made_replies("random", len(model))))
        run = f"{model}-{extractor}"
        shop.call(
            *("run", "--model", model, "--engine", "replay", "--replies", path, *asked, "--out", run),
            *("--extractor", extractor, "--max-error-rate", "0.1"),
        )
        shop.pin_run(run)
    shop.print("audit", "reading", "made-default", "--format", "json")
    for by in ("l2", "l3"):
        shop.print("compare", "made-default", "others-default", "--by", by, "--format", "json")
    Path("floor.toml").write_text('[[rule]]\ntask = "mmbench_dev_en"\nkind = "at_least"\nvalue = 20\n')
    for run in ("gold", "random", "made-default"):
        shop.gate("random" if run != "made-default" else "others-default", run, "floor.toml")


def data_sets(shop: Workshop) -> None:
    """Every SSL task's data, from pictures of three formats, one twice, one damaged and one too small."""
    shutil.copytree(GOLDEN / "pictures", "pictures")
    first, *_ = sorted(Path("pictures").rglob("*.png"))
    Path("pictures/again.png").write_bytes(first.read_bytes())
    Path("pictures/torn.png").write_bytes(first.read_bytes()[:2000])
    Path("pictures/tiny.png").write_bytes(picture())
    for task in SSL_TASKS:
        for form in FORMATS if task in ONE_OF_EACH_FAMILY else ("jsonl",):
            out = f"{task}-{form}"
            how = ("--format", form, "--split", "0.6", *(("--per-image", "2") if form == "trl" else ()))
            shop.call("build", task, *images_for(task), *how, "--workers", "1", "--out", out)
            pin_data_set(shop, Path(out))


def images_for(task: str) -> tuple[str, ...]:
    """The images of a data set: `ssl_flip` needs larger ones than the pinned pictures."""
    return ("--images", "scenes", "--limit", "12") if task == "ssl_flip" else ("--images", "pictures")


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


def tasks(shop: Workshop) -> None:
    """What can be asked, and how it is asked."""
    for what in ("tasks", "engines", "recipes"):
        shop.print("list", what)
    shop.print("validate", "scenes")
    shutil.copytree(GOLDEN / "pictures", "pictures")
    for task in ONE_OF_EACH_FAMILY:
        shop.print("validate", task, "--images", "pictures", "--samples", "0")
    shop.call(
        "build", "ssl_position", "--limit", "6", "--format", "jsonl", "--workers", "1", "--out", "drawn"
    )
    pin_data_set(shop, Path("drawn"))
    write_tsv(Path("mmbench.tsv"), questions(2))
    sources = [word for task in SSL_TASKS for word in ("--data", f"{task}={images_for(task)[1]}")]
    sources += ["--data", "mmbench_dev_en=mmbench.tsv"]
    for style in ("direct", "cot", "ssl4rl"):
        asked = ("run", "--engine", "mock", "--dry-run", "--prompt", style, "--limit", "6", "--tasks")
        shop.pin(f"prompts {style}", shop.call(*asked, ",".join(("mmbench_dev_en", *SSL_TASKS)), *sources))
    steps = ("ssl_rotation_90", "ssl_rotation_45", "ssl_rotation_30")
    places = [word for step in steps for word in ("--tasks", step, "--data", f"{step}=pictures")]
    shop.call("run", "--engine", "mock", "--mock", "random", *places, "--out", "runs/random")
    shop.print("report", "random", "--view", "goldilocks")
    shop.print("list", "runs")
    shop.call("export", "scenes", "--to", "tsv", "--out", "scenes_mmbench.tsv")
    digest, *lines = tsv_text(Path("scenes_mmbench.tsv")).split("\n")
    shop.pin("export scenes", "\n".join([digest, sha256("\n".join(lines).encode()), *lines[:200]]))
    shop.print("train", "tiny_rotation", "--dry-run")


GROUPS: dict[str, Callable[[Workshop], None]] = {
    work.__name__: work for work in (checkpoints, all_checkpoints, replies, data_sets, tasks)
}
"""Name of a pinned file to what makes its documents."""


def made(group: str, folder: Path) -> Documents:
    """The documents of a group, made in an empty folder."""
    shop = Workshop()
    with contextlib.chdir(folder):
        GROUPS[group](shop)
    return shop.documents


def libraries() -> dict[str, str]:
    """What pictures' bytes and last digits may depend on; kept to be named beside differences, never compared."""
    names = ("numpy", "pandas", "pillow", "pyarrow", "scipy")
    return {name: importlib.metadata.version(name) for name in names} | {"zlib": zlib.ZLIB_RUNTIME_VERSION}


def pinned_file(group: str) -> Path:
    return GOLDEN / f"{group}.json.gz"


def check(group: str, found: Documents) -> list[str]:
    """Each difference between the pinned documents and those found."""
    path = pinned_file(group)
    assert path.is_file(), f"{path} is missing: restore it, or write it with --write"
    value = json.loads(gzip.decompress(path.read_bytes()))
    pinned: Documents = value["documents"]
    said = [f"{name}: no longer made" for name in pinned if name not in found]
    said += [f"{name}: not pinned" for name in found if name not in pinned]
    for name in pinned:
        said += differences(name, pinned[name], found.get(name, pinned[name]))
    if said and (here := libraries()) != value["libraries"]:
        said.append(f"pinned with {value['libraries']}, here are {here}")
    return said


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_outputs_are_as_pinned(group: str, tmp_path: Path) -> None:
    said = check(group, made(group, tmp_path))
    assert not said, f"{len(said)} differences\n" + "\n".join(said[:20])


def test_every_pinned_file_belongs_to_a_group() -> None:
    assert {path.name for path in GOLDEN.glob("*.gz")} == {pinned_file(group).name for group in GROUPS}
    names = {path.name for path in (GOLDEN / "replies").iterdir()}
    assert names == {f"{model}.jsonl.gz" for model in FIVE}


def test_only_last_digits_may_differ() -> None:
    text = '{"n":600,"value":0.3452345234523,"sha":"12e45","p":0.25,"q":1e-13}'

    def differs(old: str, new: str) -> bool:
        assert old in text
        return bool(list(differences("x", text, text.replace(old, new))))

    assert not differs("0.3452345234523", "0.34523452345230004") and not differs(
        "0.25", "0.24999999999999997"
    )
    for old, new in (
        ("0.3452345234523", "0.3452345234533"),
        ("0.25", "0.250"),
        ("0.25", "0.2500001"),
        ("600", "601"),
        ("600", "600.0"),
        ("12e45", "12e46"),
        (',"p":0.25', ""),
        ('"p":0.25,"q":1e-13', '"q":1e-13,"p":0.25'),
        ("}", ',"more":1}'),
    ):
        assert differs(old, new), (old, new)


def packed(text: str) -> bytes:
    """The same bytes for the same text, whenever it is written."""
    return gzip.compress(text.encode(), 9, mtime=0)


def record(folder: Path) -> None:
    """Asks the bundled checkpoints with transformers, or resumes that, and keeps what was replied."""
    (GOLDEN / "replies").mkdir(parents=True, exist_ok=True)
    shop = Workshop()
    with contextlib.chdir(folder):
        for model in FIVE:
            lines = []
            for kind, how in ASKED.items():
                run = f"{model}-{kind}"
                shop.call("run", "--model", model, "--engine", "hf", "--tasks", *how, "--out", run)
                for path in sorted(Path(run, "journal").glob("*.jsonl")):
                    for row in map(json.loads, path.read_text().splitlines()):
                        reply = {"task": path.stem} | {key: row[key] for key in KEPT}
                        lines.append(json.dumps(reply, ensure_ascii=False) + "\n")
            (GOLDEN / "replies" / f"{model}.jsonl.gz").write_bytes(packed("".join(lines)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write, or compare with, the golden files.")
    parser.add_argument(
        "groups", nargs="*", default=list(GROUPS), help=f"of {', '.join(GROUPS)}; default: all"
    )
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--write", action="store_true", help="write the files anew")
    how.add_argument("--diff", action="store_true", help="print every difference")
    how.add_argument("--record", type=Path, metavar="FOLDER", help="record the checkpoints' replies")
    args = parser.parse_args()
    if args.record is not None:
        record(args.record)
        return
    for group in args.groups:
        with tempfile.TemporaryDirectory() as folder:
            documents = made(group, Path(folder))
        if args.write:
            value = {"libraries": libraries(), "documents": documents}
            pinned_file(group).write_bytes(packed(json.dumps(value, ensure_ascii=False, indent=0)))
            print(f"{pinned_file(group).name}: {len(documents)} documents")
        else:
            print("\n".join([f"{group}:", *check(group, documents)]))


if __name__ == "__main__":
    main()
