"""Draws questions about what a picture shows: MMBench's three perception abilities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random

from PIL import Image, ImageFilter

from ssl4rl_bench.task.scenes.draw import (
    COLOURS,
    INK,
    QUADRANTS,
    SHAPES,
    SIZE,
    WHITE,
    Box,
    Canvas,
    Colour,
    Pen,
    Point,
    jitter,
    paper,
    rectangle,
    shade,
)
from ssl4rl_bench.task.scenes.icons import ACTIONS, MOODS, face, person
from ssl4rl_bench.task.scenes.question import (
    DrawnObject,
    DrawnQuestion,
    PlacedShape,
    other_names,
    pick,
    with_none,
)

Spot = tuple[str, str, str]
"""The shape, colour and quadrant of an object."""


def _spots(rng: Random, n: int, *, shapes: Sequence[str] | None = None) -> list[Spot]:
    """Chooses n objects with different shapes, colours and quadrants, in reading order."""
    shapes = shapes or pick(rng, list(SHAPES), n)
    colours = pick(rng, list(COLOURS), n)
    places = sorted(pick(rng, list(QUADRANTS), n), key=list(QUADRANTS).index)
    return list(zip(shapes, colours, places, strict=True))


def _placed(spots: Sequence[Spot]) -> tuple[PlacedShape, ...]:
    return tuple(PlacedShape(colour, shape, place) for shape, colour, place in spots)


def _described(spots: Sequence[Spot]) -> str:
    return ", ".join(f"{colour} {shape} {place}" for shape, colour, place in spots)


def _pens(canvas: Canvas, rng: Random, spots: Sequence[Spot]) -> Iterator[tuple[Pen, list[Point], Colour]]:
    """Yields for each object a pen in its quadrant, its outline and its colour."""
    for shape, colour, place in spots:
        x, y = QUADRANTS[place]
        pen = canvas.pen(x + jitter(rng), y + jitter(rng), rng.uniform(0.14, 0.18), rng.uniform(-8, 8))
        yield pen, SHAPES[shape], COLOURS[colour]


def _drawing(rng: Random, spots: Sequence[Spot]) -> tuple[Image.Image, list[Box]]:
    """Draws the objects; returns the picture, and the box of each of them."""
    canvas, boxes = paper(rng), []
    for pen, outline, colour in _pens(canvas, rng, spots):
        pen.polygon(outline, shade(rng, colour), INK, 0.07)
        boxes.append(pen.box)
    return canvas.finish(), boxes


def _objects(names: Iterable[str], boxes: Iterable[Box]) -> tuple[DrawnObject, ...]:
    return tuple(map(DrawnObject, names, boxes))


STYLES = ("pencil drawing", "flat colours", "pixel art", "blueprint", "chalkboard")


def image_style(rng: Random) -> DrawnQuestion:
    style = rng.choice(STYLES)
    spots = _spots(rng, rng.randint(2, 4))
    if style in ("flat colours", "pixel art"):
        image, _ = _drawing(rng, spots)
        if style == "pixel art":
            small = image.resize((20, 20), Image.Resampling.BOX)
            image = small.resize((SIZE, SIZE), Image.Resampling.NEAREST)
    else:
        ground, stroke = {
            "pencil drawing": (WHITE, (90, 90, 95)),
            "blueprint": ((28, 70, 150), (225, 235, 250)),
            "chalkboard": ((38, 66, 54), WHITE),
        }[style]
        canvas = Canvas(shade(rng, ground, 4))
        if style == "blueprint":
            for i in range(1, 12):
                for points in ([(i / 12, 0.0), (i / 12, 1.0)], [(0.0, i / 12), (1.0, i / 12)]):
                    canvas.pen(0, 0, 1).path(points, (60, 102, 180), 0.004)
        for pen, outline, (red, green, blue) in _pens(canvas, rng, spots):
            if style == "chalkboard":
                chalk = ((red + 255) // 2, (green + 255) // 2, (blue + 255) // 2)
                pen.polygon(outline, None, chalk, 0.14)
            else:
                pen.polygon(outline, None, stroke, 0.07)
            if style == "pencil drawing":
                for number in range(-2, 3):
                    pen.path([(number * 0.18 - 0.25, 0.3), (number * 0.18 + 0.1, -0.3)], stroke, 0.04)
        image = canvas.finish()
    wrong = tuple(pick(rng, other_names(STYLES, style), 3))
    return DrawnQuestion(
        image,
        "Which style is this picture made in?",
        style,
        wrong,
        caption=style,
        clue=f"the style is {style}",
        shapes=_placed(spots) if style == "flat colours" else (),
    )


FAULTS = ("blurred", "grainy", "too dark", "overexposed")
NO_FAULT = "nothing"


def image_quality(rng: Random) -> DrawnQuestion:
    fault = rng.choice((*FAULTS, NO_FAULT))
    spots = _spots(rng, rng.randint(2, 4))
    image, _ = _drawing(rng, spots)
    if fault == "blurred":
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(7, 10)))
    elif fault == "grainy":
        grain = Image.frombytes("L", (SIZE // 2, SIZE // 2), rng.randbytes(SIZE * SIZE // 4))
        grain = grain.resize((SIZE, SIZE), Image.Resampling.NEAREST)
        image = Image.blend(image, Image.merge("RGB", (grain, grain, grain)), rng.uniform(0.35, 0.45))
    elif fault == "too dark":
        image = image.point([round(v * 0.2) for v in range(256)] * 3)
    elif fault == "overexposed":
        image = image.point([min(255, round(195 + v * 0.25)) for v in range(256)] * 3)
    wrong = tuple(pick(rng, other_names(FAULTS, fault), 2 if fault != NO_FAULT else 3))
    question = "What is wrong with the quality of this picture?"
    return DrawnQuestion(
        image,
        question,
        fault,
        wrong,
        pinned=NO_FAULT,
        caption=f"quality: {fault}",
        clue=f"quality: {fault}",
        shapes=_placed(spots) if fault == NO_FAULT else (),
    )


def image_emotion(rng: Random) -> DrawnQuestion:
    mood = rng.choice(MOODS)
    canvas = paper(rng)
    skin = shade(rng, rng.choice([(250, 214, 90), (244, 200, 160), (205, 150, 105), (150, 200, 230)]))
    face(canvas.pen(0.5 + jitter(rng, 0.06), 0.5 + jitter(rng, 0.06), rng.uniform(0.32, 0.4)), skin, mood)
    options = with_none(rng, mood, MOODS)
    return DrawnQuestion(
        canvas.finish(), "How does this face look?", *options, f"{mood} face", f"the face is {mood}"
    )


def attribute_recognition(rng: Random) -> DrawnQuestion:
    spots = _spots(rng, rng.randint(2, 3))
    shape, colour, place = rng.choice(spots)
    if rng.random() < 0.6:
        question, right, names = f"What colour is the {shape}?", colour, list(COLOURS)
        clue = f"the {shape} is {colour}"
        called = [one for one, _, _ in spots]
    else:
        question, right, names = f"What shape is the {colour} object?", shape, list(SHAPES)
        clue = f"the {colour} object is a {shape}"
        called = [f"{one} object" for _, one, _ in spots]
    options = with_none(rng, right, names)
    image, boxes = _drawing(rng, spots)
    asked = spots.index((shape, colour, place))
    return DrawnQuestion(
        image,
        question,
        *options,
        _described(spots),
        clue,
        shapes=_placed(spots),
        objects=_objects(called, boxes),
        asked=asked,
    )


def object_localization(rng: Random) -> DrawnQuestion:
    if rng.random() < 0.5:
        spots = _spots(rng, rng.randint(2, 3))
        shape, colour, place = rng.choice(spots)
        image, boxes = _drawing(rng, spots)
        return DrawnQuestion(
            image,
            f"Where in the picture is the {shape}?",
            place,
            other_names(QUADRANTS, place),
            caption=_described(spots),
            clue=f"the {shape} is {place}",
            shapes=_placed(spots),
            objects=_objects((name for name, _, _ in spots), boxes),
            asked=spots.index((shape, colour, place)),
        )
    n = rng.randint(1, 4)
    shape = rng.choice(list(SHAPES))
    spots = _spots(rng, n, shapes=[shape] * n)
    plural = "crosses" if shape == "cross" else f"{shape}s"
    image, _ = _drawing(rng, spots)
    return DrawnQuestion(
        image,
        f"How many {plural} are in the picture?",
        str(n),
        other_names("1234", str(n)),
        caption=f"{_described(spots)}, {n} {plural}",
        clue=f"{n} {plural}",
    )


_SEGMENTS = {
    "0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "4": "fgbc",
    "5": "afgcd", "6": "afgedc", "7": "abc", "8": "abcdefg", "9": "abcdfg",
}  # fmt: skip
_LINES = {
    "a": ((-0.5, -0.95), (0.5, -0.95)), "b": ((0.55, -0.9), (0.55, -0.05)), "c": ((0.55, 0.05), (0.55, 0.9)),
    "d": ((-0.5, 0.95), (0.5, 0.95)), "e": ((-0.55, 0.05), (-0.55, 0.9)), "f": ((-0.55, -0.9), (-0.55, -0.05)),
    "g": ((-0.5, 0.0), (0.5, 0.0)),
}  # fmt: skip


def ocr(rng: Random) -> DrawnQuestion:
    """Draws a two-digit number on a seven-segment display."""
    number = f"{rng.randint(1, 9)}{rng.randint(0, 9)}"
    canvas = paper(rng)
    x, y = 0.5 + jitter(rng), 0.5 + jitter(rng, 0.06)
    canvas.pen(x, y, 0.44).polygon(rectangle(-1, -0.72, 1, 0.72), (32, 36, 40), (120, 120, 128), 0.06)
    glow = shade(rng, rng.choice([(255, 90, 70), (110, 240, 120), (120, 200, 255), (255, 200, 70)]))
    for i, digit in enumerate(number):
        pen = canvas.pen(x - 0.18 + 0.36 * i, y, 0.2)
        for name in _SEGMENTS[digit]:
            pen.path(_LINES[name], glow, 0.3)
    digits = pick(rng, other_names("0123456789", number[1]), 3)
    wrong = tuple((number[0] if rng.random() < 0.7 else str(rng.randint(1, 9))) + digit for digit in digits)
    return DrawnQuestion(
        canvas.finish(),
        "Which number does the display show?",
        number,
        wrong,
        caption=f"display {number[0]} {number[1]}",
        clue=f"the display shows {number[0]} {number[1]}",
    )


DIRECTIONS = ("left", "right", "above", "below")


def spatial_relationship(rng: Random) -> DrawnQuestion:
    shapes, colours = pick(rng, list(SHAPES), 2), pick(rng, list(COLOURS), 2)
    across = rng.random() < 0.5
    line = 0.5 + jitter(rng, 0.15)
    canvas = paper(rng)
    for i in range(2):
        along = (0.27, 0.73)[i] + jitter(rng, 0.04)
        x, y = (along, line) if across else (line, along)
        pen = canvas.pen(x, y, rng.uniform(0.15, 0.19), rng.uniform(-8, 8))
        pen.polygon(SHAPES[shapes[i]], shade(rng, COLOURS[colours[i]]), INK, 0.07)
    first = rng.randint(0, 1)
    one, other = shapes[first], shapes[1 - first]
    where = DIRECTIONS[first if across else 2 + first]
    shown = "left of" if across else "above"
    return DrawnQuestion(
        canvas.finish(),
        f"Where is the {one}, seen from the {other}?",
        where,
        other_names(DIRECTIONS, where),
        caption=f"{colours[0]} {shapes[0]} {shown} {colours[1]} {shapes[1]}",
        clue=f"the {one} is {where}",
    )


SAME_SIZE = "none of them"


def attribute_comparison(rng: Random) -> DrawnQuestion:
    canvas = paper(rng)
    if rng.random() < 0.5:
        same = rng.random() < 0.5
        colours = pick(rng, list(COLOURS), 2)
        if same:
            colours[1] = colours[0]
        shapes = pick(rng, list(SHAPES), 2)
        sizes, xs = [rng.uniform(0.15, 0.19)] * 2, [0.27, 0.73]
        question = f"Do the {shapes[0]} and the {shapes[1]} have the same colour?"
        answer, pinned = "yes" if same else "no", None
        wrong: tuple[str, ...] = ("no",) if same else ("yes",)
        clue = f"{colours[0]} and {colours[1]}"
    else:
        shapes, colours = pick(rng, list(SHAPES), 3), pick(rng, list(COLOURS), 3)
        big = rng.choice([0, 1, 2, None])
        sizes, xs = [0.13 if big is None else 0.18 if i == big else 0.085 for i in range(3)], [0.2, 0.5, 0.8]
        question, pinned = "Which shape is the largest?", SAME_SIZE
        right = SAME_SIZE if big is None else shapes[big]
        answer, wrong = right, other_names(shapes, right)
        clue = "equal" if big is None else f"the {right} is large"
    for i, (shape, colour) in enumerate(zip(shapes, colours, strict=True)):
        pen = canvas.pen(xs[i] + jitter(rng, 0.015), 0.5 + jitter(rng, 0.15), sizes[i], rng.uniform(-8, 8))
        pen.polygon(SHAPES[shape], shade(rng, COLOURS[colour]), INK, 0.07)
    words = [
        f"{'large' if r > 0.15 else 'small' if r < 0.1 else 'middle'} " if len(xs) == 3 else "" for r in sizes
    ]
    seen = [f"{w}{c} {s}" for w, c, s in zip(words, colours, shapes, strict=True)]
    return DrawnQuestion(canvas.finish(), question, answer, wrong, pinned, ", ".join(seen), clue)


def action_recognition(rng: Random) -> DrawnQuestion:
    action = rng.choice(ACTIONS)
    canvas = paper(rng)
    shirt = shade(rng, rng.choice(list(COLOURS.values())))
    pen = canvas.pen(0.5 + jitter(rng, 0.05), 0.5 + jitter(rng, 0.04), rng.uniform(0.36, 0.42))
    person(pen, shirt, action)
    options = with_none(rng, action, ACTIONS)
    clue = f"the person is {action}"
    return DrawnQuestion(canvas.finish(), "What is this person doing?", *options, f"a person {action}", clue)
