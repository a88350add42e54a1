"""Draws a contact sheet of the benchmark: `python -m ssl4rl_bench.task.scenes.sheet docs/scenes.png`."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ssl4rl_bench.core.exits import run_command
from ssl4rl_bench.task.scenes import LEAVES, Question, question
from ssl4rl_bench.task.scenes.draw import SIZE

COLUMNS = 6
SHOWN = 24
_CELL = (SIZE + 26, SIZE + 118)
_INK, _FAINT, _RIGHT = (30, 30, 36), (110, 112, 120), (20, 120, 60)


def sheet() -> Image.Image:
    """Draws 24 questions of the dev stream, at least one per leaf, with the right option in green."""
    chosen = [question("dev", leaf, number) for number in (1, 5) for leaf in LEAVES][:SHOWN]
    rows = -(-len(chosen) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * _CELL[0] + 10, rows * _CELL[1] + 10), (255, 255, 255))
    for place, q in enumerate(chosen):
        _cell(page, q, 18 + place % COLUMNS * _CELL[0], 14 + place // COLUMNS * _CELL[1])
    return page


def _cell(page: Image.Image, q: Question, x: int, y: int) -> None:
    draw = ImageDraw.Draw(page)
    page.paste(q.drawn.image, (x, y))
    draw.rectangle((x, y, x + SIZE - 1, y + SIZE - 1), outline=(205, 205, 210))
    small, text = ImageFont.load_default(10), ImageFont.load_default(12)
    draw.text((x, y + SIZE + 4), q.leaf.name, fill=_FAINT, font=small)
    line = y + SIZE + 18
    for part in wrapped(q.drawn.question, text, SIZE):
        draw.text((x, line), part, fill=_INK, font=text)
        line += 14
    for letter, option in q.choices().items():
        colour = _RIGHT if option == q.drawn.answer else _INK
        draw.text((x, line), f"{letter}. {option}", fill=colour, font=text)
        line += 14


def wrapped(sentence: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Returns the lines of a sentence, none of which is wider than `width` pixels if its words are not."""
    lines = [""]
    for word in sentence.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


if __name__ == "__main__":
    run_command(lambda: sheet().save(Path(sys.argv[1]), optimize=True))
