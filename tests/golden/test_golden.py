"""Golden files: what the command line computed when they were written is what it computes today.

They hold the program still while its modules move: this file calls `ssl4rl-bench` and imports only what `drawn_once`
replaces.
Pinned in `tests/data/golden/`:

- `checkpoints.json.gz`: tiny-base and tiny-rotation answer `scenes` as recorded. Both runs' files,
  comparisons, gates, tables, views, a page and a model card.
- `all_checkpoints.json.gz`: the other three bundled checkpoints, all five beside each other, and their probes.
- `replies.json.gz`: MMBench's schema. Made-up replies of every kind, read by every extractor; repeats; blank images.
- `data_sets.json.gz`: `build` of every SSL task as JSONL, and of the four of `ssl_probes` in every format.
- `tasks.json.gz`: lists, checks, prompts, a data set of `scenes`, an exported TSV, a plan.

Inputs there: `replies/` (what the bundled checkpoints answered) and `pictures/`.

Compared are texts, so that key order, row order and spelling count. Numbers with many digits may differ by 1e-12,
absolute or relative. What `documents.NORMAL` lists is replaced first; it says why.

After a change that is meant to change outputs, write the files anew, and read the differences that git does not show
(`--diff` prints them):

    python tests/golden/test_golden.py --diff
    python tests/golden/test_golden.py --write

The replies were recorded by `python tests/golden/test_golden.py --record FOLDER`, which needs torch and a quarter of
an hour, and makes or resumes the runs in FOLDER.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib.metadata
import json
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from documents import Documents, Workshop, differences, pin_data_set, sha256, tsv_text
from mmbench_data import picture, questions, questions_by_ability, write_tsv

from ssl4rl_bench.task.ssl import probe

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
    "ssl_caption_easy",
    "ssl_caption_hard",
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


@contextlib.contextmanager
def drawn_once() -> Iterator[None]:
    """Makes all commands within use the same samples of a probe, which take seconds to draw."""
    drawn: dict[tuple[object, ...], Any] = {}
    draw = probe.load

    def load(task: Any, pictures: Any, **asked: Any) -> Any:
        key = (task.name, pictures.source, *sorted(asked.items()))
        if key not in drawn:
            drawn[key] = draw(task, pictures, **asked)
        return drawn[key]

    with mock.patch.object(probe, "load", load):
        yield


def all_checkpoints(shop: Workshop) -> None:
    """The other three, all five beside each other, and the probes."""
    replay(shop, FIVE[0], "probes")
    pin_twice(shop, f"{FIVE[0]}-probes")  # drawn by both commands
    with drawn_once():
        beside_each_other(shop)


def pin_twice(shop: Workshop, run: str) -> None:
    """Pins a run, and what `score` makes of its journal."""
    shop.pin_run(run)
    shop.pin_again(run)


def beside_each_other(shop: Workshop) -> None:
    Path("rules.toml").write_text(RULES)
    Path("probe-rules.toml").write_text(PROBE_RULES)
    scenes = [replay(shop, model, "scenes") for model in FIVE]
    probes = [f"{FIVE[0]}-probes", *(replay(shop, model, "probes") for model in FIVE[1:])]
    for run in (*scenes[len(TWO) :], *probes[1:]):
        pin_twice(shop, run)
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
    """The images of a data set: `ssl_flip` needs larger ones than the pinned pictures, and captions need drawings."""
    if task.startswith("ssl_caption"):
        return ("--images", "scenes:golden:12:attribute_recognition")
    return ("--images", "scenes", "--limit", "12") if task == "ssl_flip" else ("--images", "pictures")


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
