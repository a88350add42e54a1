"""Draws contact sheets of SSL probes: the images that a model is shown, with the right answer below.

`python -m ssl4rl_bench.reports.result.probe_sheet docs` draws those of the documentation, one file per kind.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from ssl4rl_bench.core import images
from ssl4rl_bench.core.exits import run_command
from ssl4rl_bench.core.names import short_name
from ssl4rl_bench.core.types import Sample
from ssl4rl_bench.task.ssl.probe import ProbeTask

if TYPE_CHECKING:
    from PIL import Image

SHOWN = {
    "rotation": 4,
    "jigsaw": 7,
    "contrastive": 4,
    "position": 6,
    "pair": 6,
    "patch": 3,
    "mirror": 7,
    "count": 7,
    "caption": 5,
}
"""Number of samples per task in the documentation: about as many as fit in one line."""
HEIGHT = 148
"""Height in pixels of a sample's tallest image, or of its block of pieces."""
_GAP, _MARGIN, _LINE, _WIDTH = 6, 18, 15, 1340
_TEXT_WIDTH, _TEXT_LINE = 232, 14
_INK, _FAINT, _RIGHT, _FRAME = (30, 30, 36), (110, 112, 120), (20, 120, 60), (205, 205, 210)


def probe_sheet(tasks: Sequence[ProbeTask], n: int = 4) -> Image.Image:
    """Draws up to `n` samples of each task on white, one block of lines per task."""
    from PIL import Image, ImageDraw, ImageFont

    lines = [line for task in tasks for line in _lines(task, n)]
    height = _MARGIN + sum(line_height for _, line_height in lines)
    page = Image.new("RGB", (_WIDTH, height), (255, 255, 255))
    draw, title = ImageDraw.Draw(page), ImageFont.load_default(15)
    y = _MARGIN
    for content, line_height in lines:
        if isinstance(content, str):
            draw.text((_MARGIN, y), content, fill=_INK, font=title)
        else:
            x = _MARGIN
            for picture in content:
                page.paste(picture, (x, y))
                x += picture.width + 3 * _GAP
        y += line_height
    return page


def _spread(task: ProbeTask, n: int) -> list[Sample]:
    """Returns the first `n` samples, taken from each answer in turn so that many answers occur."""
    by_answer: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in task.samples:
        by_answer[sample.target].append(sample)
    rounds = zip_longest(*by_answer.values())
    return [sample for one in rounds for sample in one if sample][:n]


def _lines(task: ProbeTask, n: int) -> list[tuple[str | list[Image.Image], int]]:
    """Returns the task's title and its rows of pictures, each with its height in pixels."""
    lines: list[tuple[str | list[Image.Image], int]] = [(short_name(task.name), 24)]
    row: list[Image.Image] = []
    width = 0
    for picture in (_sample(task, sample) for sample in _spread(task, n)):
        if row and width + picture.width > _WIDTH - 2 * _MARGIN:
            lines.append((row, max(item.height for item in row) + _GAP))
            row, width = [], 0
        row.append(picture)
        width += picture.width + 3 * _GAP
    lines.append((row, max((item.height for item in row), default=0) + 2 * _GAP))
    return lines


def _sample(task: ProbeTask, sample: Sample) -> Image.Image:
    """Draws a sample's images with its text and answer below; a jigsaw's pieces form a block, in the order shown."""
    from PIL import Image, ImageDraw, ImageFont

    from ssl4rl_bench.task.scenes.sheet import wrapped

    shown = [images.decode(image) for image in sample.images]
    columns = task.ssl.columns(len(shown))
    rows = -(-len(shown) // columns)
    scale = (HEIGHT - (rows - 1) * _GAP) / (rows * max(image.height for image in shown))
    small = [
        image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale))),
            Image.Resampling.LANCZOS,
        )
        for image in shown
    ]
    wide = [max(image.width for image in small[column::columns]) for column in range(columns)]
    tall = max(image.height for image in small)
    font, faint = ImageFont.load_default(13), ImageFont.load_default(9)
    text = sample.target if len(sample.target) < 24 else sample.target.replace(",", " ")
    small_font = ImageFont.load_default(11)
    caption = wrapped(task.texts[sample.id], small_font, _TEXT_WIDTH) if sample.id in task.texts else []
    width = max(sum(wide) + (columns - 1) * _GAP, round(font.getlength(text)), _TEXT_WIDTH if caption else 0)
    below = rows * tall + (rows - 1) * _GAP
    page = Image.new("RGB", (width, below + len(caption) * _TEXT_LINE + _LINE + 5), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    for index, image in enumerate(small):
        x = sum(wide[: index % columns]) + index % columns * _GAP
        y = index // columns * (tall + _GAP)
        page.paste(image, (x, y))
        draw.rectangle((x, y, x + image.width - 1, y + image.height - 1), outline=_FRAME)
        if not task.ssl.few_targets and 1 < columns < 5:  # answers name pieces by number, so draw it
            draw.rectangle((x + 1, y + 1, x + 13, y + 12), fill=(255, 255, 255))
            draw.text((x + 3, y + 1), str(index + 1), fill=_FAINT, font=faint)
    for number, line in enumerate(caption):
        draw.text((0, below + 3 + number * _TEXT_LINE), line, fill=_INK, font=small_font)
    draw.text((0, page.height - _LINE - 2), text, fill=_RIGHT, font=font)
    return page


def main(folder: Path) -> None:
    """Draws the sheets of all bundled SSL tasks on the built-in images."""
    from ssl4rl_bench.task.registry import load_probe
    from ssl4rl_bench.task.ssl import KINDS
    from ssl4rl_bench.task.taskfile import group_names, load_taskfile

    names = [*group_names()["ssl4rl_ssl_difficulty"], "ssl4rl_ssl_caption_easy", "ssl4rl_ssl_caption_hard"]
    for kind in KINDS:
        of_kind = (name for name in names if (load_taskfile(name).ssl or {}).get("kind") == kind)
        tasks = [load_probe(name, limit=24) for name in of_kind]
        probe_sheet(tasks, n=SHOWN[kind]).save(folder / f"ssl_{kind}.png", optimize=True)


if __name__ == "__main__":
    run_command(lambda: main(Path(sys.argv[1])))
