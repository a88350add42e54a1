"""Draws questions that need knowledge or inference: MMBench's three reasoning abilities."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from ssl4rl_bench.task.scenes.draw import (
    COLOURS,
    GREY,
    INK,
    SHAPES,
    WHITE,
    Canvas,
    arc,
    disc,
    jitter,
    paper,
    rectangle,
    shade,
)
from ssl4rl_bench.task.scenes.icons import THINGS, ball, bee, duck, fish, flower, worm
from ssl4rl_bench.task.scenes.question import DrawnQuestion, other_names, pick, with_none

USES = {
    "key": "opening locks",
    "umbrella": "keeping dry",
    "hammer": "driving nails",
    "book": "reading",
    "clock": "telling time",
    "cup": "drinking",
    "pair of scissors": "cutting paper",
    "ladder": "climbing",
}

PROPERTIES = {
    "ice cube": "melts",
    "balloon": "flies away",
    "anchor": "sinks",
    "glass": "shatters",
    "candle": "burns",
    "magnet": "attracts iron",
}


def _thing(rng: Random, name: str) -> Canvas:
    canvas = paper(rng)
    pen = canvas.pen(
        0.5 + jitter(rng, 0.07), 0.5 + jitter(rng, 0.07), rng.uniform(0.3, 0.38), rng.uniform(-10, 10)
    )
    THINGS[name](pen, shade(rng, rng.choice(list(COLOURS.values()))))
    return canvas


def _known(rng: Random, facts: Mapping[str, str], question: str, verb: str) -> DrawnQuestion:
    """Draws a thing and asks about a known fact about it."""
    name = rng.choice(list(facts))
    options = with_none(rng, facts[name], facts.values())
    clue = f"a {name} {verb}{facts[name]}"
    return DrawnQuestion(_thing(rng, name).finish(), question, *options, f"a {name}", clue)


def function_reasoning(rng: Random) -> DrawnQuestion:
    return _known(rng, USES, "What is the thing in the picture used for?", "is for ")


def physical_property_reasoning(rng: Random) -> DrawnQuestion:
    return _known(rng, PROPERTIES, "What does a thing like the one in the picture do?", "")


HOLDS = ("on top", "inside", "hanging above", "beside")


def physical_relation(rng: Random) -> DrawnQuestion:
    how = rng.choice(HOLDS)
    canvas = paper(rng)
    colour = rng.choice(list(COLOURS))
    x, floor = 0.5 + jitter(rng, 0.05), 0.84 + jitter(rng, 0.02)
    wood, r = shade(rng, (188, 140, 88)), 0.11
    canvas.pen(0.5, floor, 0.5).path([(-0.95, 0), (0.95, 0)], INK, 0.03)
    beside = how == "beside"
    side = rng.choice((-1, 1)) * 0.2 if beside else 0.0
    box = canvas.pen(x + side, floor - 0.17, 0.17)
    box.polygon(rectangle(-1, -1, 1, 1), wood if how != "inside" else WHITE, INK, 0.1)
    spot = {
        "on top": (x, floor - 0.34 - r),
        "inside": (x, floor - r - 0.02),
        "hanging above": (x, floor - 0.58),
        "beside": (x - side - (0.08 if side > 0 else -0.08), floor - r),
    }[how]
    if how == "hanging above":
        canvas.pen(spot[0], 0.0, 1.0).path([(0, 0.0), (0, spot[1])], INK, 0.012)
    ball(canvas.pen(*spot, r * 1.05), shade(rng, COLOURS[colour]))
    if how == "inside":
        box.path([(-1, -1), (-1, 1), (1, 1), (1, -1)], wood, 0.18)
    else:
        box.path([(-0.6, -0.6), (0.6, 0.6)], INK, 0.06)
        box.path([(0.6, -0.6), (-0.6, 0.6)], INK, 0.06)
    return DrawnQuestion(
        canvas.finish(),
        "Where is the ball in relation to the box?",
        how,
        other_names(HOLDS, how),
        caption=f"{colour} ball {how}",
        clue=f"the ball is {how}",
    )


BONDS = {
    "hunter and prey": "a large fish hunts a small fish",
    "parent and young": "a duck with ducklings",
    "pollinator and plant": "a bee at a flower",
    "competitors": "two birds at one worm",
}


def nature_relation(rng: Random) -> DrawnQuestion:
    bond = rng.choice(list(BONDS))
    canvas = paper(rng)
    first, second = (shade(rng, COLOURS[c]) for c in pick(rng, list(COLOURS), 2))
    dx, dy = jitter(rng, 0.03), jitter(rng, 0.06)
    if bond == "hunter and prey":
        fish(canvas.pen(0.36 + dx, 0.5 + dy, 0.3), first, hungry=True)
        fish(canvas.pen(0.83 + dx, 0.5 + dy, 0.12), second)
    elif bond == "parent and young":
        duck(canvas.pen(0.66 + dx, 0.44 + dy, 0.27), first)
        for i in range(rng.randint(2, 3)):
            duck(canvas.pen(0.12 + 0.17 * i + dx, 0.72 + dy, 0.09), first)
    elif bond == "pollinator and plant":
        flower(canvas.pen(0.35 + dx, 0.58 + dy, 0.32), first)
        bee(canvas.pen(0.72 + dx, 0.36 + dy, 0.18), second)
    else:
        duck(canvas.pen(0.22 + dx, 0.46 + dy, 0.2), first)
        duck(canvas.pen(0.78 + dx, 0.46 + dy, 0.2, mirror=True), second)
        worm(canvas.pen(0.5 + dx, 0.74 + dy, 0.18), first)
    question = "What is the relation between the living things in the picture?"
    wrong = other_names(BONDS, bond)
    return DrawnQuestion(canvas.finish(), question, bond, wrong, caption=BONDS[bond], clue=BONDS[bond])


def structuralized_imagetext_understanding(rng: Random) -> DrawnQuestion:
    """Draws a bar chart with three or four colours."""
    n = rng.randint(3, 4)
    colours = pick(rng, list(COLOURS), n)
    heights = pick(rng, "12345", n)
    canvas = paper(rng)
    pen = canvas.pen(0.5, 0.5, 0.5)
    for level in range(1, 6):
        pen.path([(-0.8, 0.8 - level * 0.3), (0.85, 0.8 - level * 0.3)], (205, 205, 210), 0.012)
    for i, (colour, height) in enumerate(zip(colours, heights, strict=True)):
        centre = -0.75 + (i + 0.5) * 1.55 / n
        half = 0.55 / n
        top = 0.8 - int(height) * 0.3
        pen.polygon(rectangle(centre - half, top, centre + half, 0.8), shade(rng, COLOURS[colour]), INK, 0.02)
    pen.path([(-0.8, -0.85), (-0.8, 0.8), (0.88, 0.8)], INK, 0.03)
    ranked = [c for _, c in sorted(zip(heights, colours, strict=True), reverse=True)]
    tallest = rng.random() < 0.6
    right = ranked[0] if tallest else ranked[-1]
    spare = pick(rng, [c for c in COLOURS if c not in colours], 4 - n)
    word = "tallest" if tallest else "shortest"
    return DrawnQuestion(
        canvas.finish(),
        f"Which bar of the chart is the {word}?",
        right,
        other_names([*colours, *spare], right),
        caption="bars from tall to short: " + ", ".join(ranked),
        clue=f"the {word} bar is {right}",
    )


WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def future_prediction(rng: Random) -> DrawnQuestion:
    if rng.random() < 0.5:
        return _next_shape(rng)
    way = rng.choice(list(WAYS))
    dx, dy = WAYS[way]
    colour = rng.choice(list(COLOURS))
    tint = COLOURS[colour]
    canvas = paper(rng)
    x, y = 0.5 + jitter(rng, 0.08), 0.5 + jitter(rng, 0.08)
    for offset in (-0.11, 0.0, 0.11):
        start, end = (0.36, 0.2) if offset else (0.44, 0.2)
        canvas.pen(x, y, 1.0).path(
            [(-dx * s + dy * offset, -dy * s + dx * offset) for s in (start, end)], GREY, 0.02
        )
    ball(canvas.pen(x, y, 0.16), shade(rng, tint))
    tip = canvas.pen(x, y, 1.0)
    tip.path([(dx * 0.22, dy * 0.22), (dx * 0.34, dy * 0.34)], INK, 0.03)
    tip.polygon([(dx * 0.42, dy * 0.42), (dx * 0.32 + dy * 0.07, dy * 0.32 + dx * 0.07),
                 (dx * 0.32 - dy * 0.07, dy * 0.32 - dx * 0.07)], INK)  # fmt: skip
    question = "Which way will the ball go next?"
    return DrawnQuestion(
        canvas.finish(),
        question,
        way,
        other_names(WAYS, way),
        caption=f"{colour} ball moves {way}",
        clue=f"the ball moves {way}",
    )


def _next_shape(rng: Random) -> DrawnQuestion:
    """Draws a row of alternating shapes that ends with an empty frame."""
    shapes = pick(rng, list(SHAPES), 2)
    colour = rng.choice(list(COLOURS))
    canvas = paper(rng)
    y = 0.5 + jitter(rng, 0.15)
    for i in range(3):
        pen = canvas.pen(0.14 + 0.24 * i, y + jitter(rng, 0.01), 0.1, rng.uniform(-6, 6))
        pen.polygon(SHAPES[shapes[i % 2]], shade(rng, COLOURS[colour]), INK, 0.09)
    canvas.pen(0.86, y, 0.11).polygon(rectangle(-1, -1, 1, 1), WHITE, GREY, 0.08)
    frame = canvas.pen(0.86, y, 0.06)
    frame.path([*arc(0, -0.35, 0.5, 180, 400), (0, 0.25), (0, 0.45)], GREY, 0.25)
    frame.polygon(disc(0, 0.95, 0.16), GREY)
    wrong = pick(rng, [s for s in SHAPES if s not in shapes], 2)
    return DrawnQuestion(
        canvas.finish(),
        "Which shape comes next in the row?",
        shapes[1],
        (shapes[0], *wrong),
        caption=f"row of {colour}: {shapes[0]}, {shapes[1]}, {shapes[0]}, empty",
        clue=f"{shapes[0]}, {shapes[1]}, {shapes[0]}, next {shapes[1]}",
    )
