"""Draws everyday things, animals, faces and people with a pen in its unit square."""

from __future__ import annotations

from collections.abc import Callable

from ssl4rl_bench.task.scenes.draw import GREY, INK, WHITE, Colour, Pen, arc, disc, rectangle

Icon = Callable[[Pen, Colour], None]


def key(p: Pen, c: Colour) -> None:
    p.path([(-0.2, 0.0), (0.95, 0.0)], c, 0.2)
    p.path([(0.62, 0.0), (0.62, 0.38)], c, 0.18)
    p.path([(0.9, 0.0), (0.9, 0.38)], c, 0.18)
    p.polygon(disc(-0.52, 0.0, 0.36), None, c, 0.2)


def umbrella(p: Pen, c: Colour) -> None:
    p.path([(0, -0.2), (0, 0.7), *arc(-0.16, 0.7, 0.16, 0, 180)], INK, 0.1)
    p.polygon(arc(0, 0.05, 0.95, 180, 360), c, INK, 0.06)
    for x in (-0.32, 0.32):
        p.path([(x, 0.02), (x * 0.4, -0.85)], INK, 0.05)
    p.path([(0, -0.88), (0, -1.0)], INK, 0.08)


def hammer(p: Pen, c: Colour) -> None:
    p.polygon(rectangle(-0.11, -0.4, 0.11, 0.98), (170, 115, 60), INK, 0.05)
    p.polygon(rectangle(-0.62, -0.85, 0.5, -0.38), c, INK, 0.06)
    p.polygon([(0.5, -0.85), (0.92, -0.6), (0.5, -0.38)], c, INK, 0.06)


def book(p: Pen, c: Colour) -> None:
    for side in (-1, 1):
        p.polygon([(0, -0.5), (side * 0.95, -0.7), (side * 0.95, 0.55), (0, 0.75)], c, INK, 0.06)
        p.polygon([(0, -0.42), (side * 0.82, -0.58), (side * 0.82, 0.42), (0, 0.6)], WHITE, None)
        for y in (-0.25, 0.0, 0.25):
            p.path([(side * 0.15, y + 0.02), (side * 0.7, y - 0.1)], GREY, 0.06)
    p.path([(0, -0.5), (0, 0.75)], INK, 0.07)


def clock(p: Pen, c: Colour) -> None:
    p.polygon(disc(0, 0, 0.9), WHITE, c, 0.2)
    for x, y in ((0, -0.66), (0.66, 0), (0, 0.66), (-0.66, 0)):
        p.polygon(disc(x, y, 0.06), INK)
    p.path([(0, -0.5), (0, 0), (0.36, 0.2)], INK, 0.1)


def cup(p: Pen, c: Colour) -> None:
    p.path(arc(0.5, -0.02, 0.36, -80, 80), c, 0.16)
    p.polygon([(-0.75, -0.5), (0.5, -0.5), (0.36, 0.6), (-0.6, 0.6)], c, INK, 0.06)
    p.path([(-0.9, 0.75), (0.65, 0.75)], INK, 0.1)
    for x in (-0.4, 0.1):
        p.path([(x, -0.65), (x + 0.1, -0.78), (x, -0.92)], GREY, 0.07)


def scissors(p: Pen, c: Colour) -> None:
    p.path([(-0.5, -0.9), (0.3, 0.35)], GREY, 0.16)
    p.path([(0.5, -0.9), (-0.3, 0.35)], GREY, 0.16)
    p.polygon(disc(0.45, 0.62, 0.3), None, c, 0.17)
    p.polygon(disc(-0.45, 0.62, 0.3), None, c, 0.17)
    p.polygon(disc(0, -0.1, 0.07), INK)


def ladder(p: Pen, c: Colour) -> None:
    for x in (-0.42, 0.42):
        p.path([(x, -0.95), (x, 0.95)], c, 0.15)
    for y in (-0.66, -0.22, 0.22, 0.66):
        p.path([(-0.42, y), (0.42, y)], c, 0.13)


def balloon(p: Pen, c: Colour) -> None:
    p.path([(0, 0.4), (0.12, 0.62), (-0.08, 0.8), (0.05, 0.98)], INK, 0.05)
    p.polygon(arc(0, -0.32, 0.6, 0, 360, 1.08), c, INK, 0.05)
    p.polygon([(0, 0.28), (0.13, 0.45), (-0.13, 0.45)], c, INK, 0.04)
    p.path(arc(-0.08, -0.36, 0.38, 190, 250), WHITE, 0.09)


def ice(p: Pen, c: Colour) -> None:
    pale, mid, deep = (214, 240, 252), (178, 222, 245), (140, 196, 230)
    p.polygon([(0, -0.85), (0.8, -0.45), (0, -0.05), (-0.8, -0.45)], pale, INK, 0.05)
    p.polygon([(-0.8, -0.45), (0, -0.05), (0, 0.85), (-0.8, 0.45)], mid, INK, 0.05)
    p.polygon([(0.8, -0.45), (0, -0.05), (0, 0.85), (0.8, 0.45)], deep, INK, 0.05)
    p.path([(-0.6, -0.1), (-0.6, 0.25)], WHITE, 0.09)


def anchor(p: Pen, c: Colour) -> None:
    p.polygon(disc(0, -0.78, 0.17), None, c, 0.12)
    p.path([(0, -0.6), (0, 0.85)], c, 0.18)
    p.path([(-0.42, -0.36), (0.42, -0.36)], c, 0.16)
    p.path(arc(0, 0.1, 0.78, 15, 165), c, 0.18)
    for side in (-1, 1):
        p.polygon([(side * 0.95, 0.42), (side * 0.72, 0.02), (side * 0.5, 0.36)], c)


def wine_glass(p: Pen, c: Colour) -> None:
    p.polygon(
        [(-0.52, -0.9), (0.52, -0.9), (0.42, -0.2), (0, 0.05), (-0.42, -0.2)], (225, 240, 248), INK, 0.07
    )
    p.polygon([(-0.46, -0.5), (0.46, -0.5), (0.38, -0.2), (0, 0.0), (-0.38, -0.2)], c)
    p.path([(0, 0.05), (0, 0.8)], INK, 0.09)
    p.path([(-0.42, 0.88), (0.42, 0.88)], INK, 0.12)


def candle(p: Pen, c: Colour) -> None:
    p.polygon(rectangle(-0.26, -0.2, 0.26, 0.95), c, INK, 0.06)
    p.path([(0, -0.2), (0, -0.36)], INK, 0.06)
    p.polygon([(0, -0.98), (0.2, -0.55), (0.12, -0.36), (-0.12, -0.36), (-0.2, -0.55)], (250, 170, 30))
    p.polygon([(0, -0.72), (0.09, -0.5), (0, -0.38), (-0.09, -0.5)], (255, 240, 130))


def magnet(p: Pen, c: Colour) -> None:
    p.path([(-0.56, 0.45), (-0.56, -0.1), *arc(0, -0.1, 0.56, 180, 360), (0.56, 0.45)], (205, 40, 40), 0.38)
    for x in (-0.56, 0.56):
        p.polygon(rectangle(x - 0.2, 0.42, x + 0.2, 0.8), (215, 218, 224), INK, 0.05)


def ball(p: Pen, c: Colour) -> None:
    p.polygon(disc(0, 0, 0.92), c, INK, 0.06)
    p.path(arc(-0.92, 0, 0.95, -48, 48), WHITE, 0.1)
    p.path(arc(0.92, 0, 0.95, 132, 228), WHITE, 0.1)


THINGS: dict[str, Icon] = {
    "key": key, "umbrella": umbrella, "hammer": hammer, "book": book, "clock": clock, "cup": cup,
    "pair of scissors": scissors, "ladder": ladder, "balloon": balloon, "ice cube": ice, "anchor": anchor,
    "glass": wine_glass, "candle": candle, "magnet": magnet,
}  # fmt: skip


def fish(p: Pen, c: Colour, hungry: bool = False) -> None:
    """Draws a fish that swims to the right."""
    p.polygon([(-0.5, 0), (-1.0, -0.45), (-1.0, 0.45)], c, INK, 0.05)
    p.polygon(arc(0.1, 0, 0.75, 0, 360, 0.58), c, INK, 0.06)
    if hungry:
        p.polygon([(0.2, 0.05), (0.95, -0.34), (0.95, 0.4)], WHITE, INK, 0.05)
    p.polygon(disc(0.32, -0.2, 0.11), WHITE, INK, 0.05)


def duck(p: Pen, c: Colour) -> None:
    """Draws a duck that looks to the right."""
    p.polygon([(0.72, -0.52), (1.0, -0.42), (0.72, -0.3)], (240, 130, 25), INK, 0.04)
    p.polygon([*arc(-0.1, 0.3, 0.7, 0, 180, 0.75), (-0.98, -0.02)], c, INK, 0.06)
    p.polygon(disc(0.42, -0.42, 0.35), c, INK, 0.06)
    p.polygon([(0.12, -0.3), (0.62, -0.15), (0.58, 0.35), (-0.2, 0.35)], c)
    p.path(arc(-0.15, 0.25, 0.34, 10, 170), INK, 0.06)
    p.polygon(disc(0.5, -0.5, 0.06), INK)


def flower(p: Pen, c: Colour) -> None:
    p.path([(0, 0.0), (0, 1.0)], (50, 140, 60), 0.1)
    p.polygon([(0, 0.8), (0.42, 0.5), (0.3, 0.85)], (50, 140, 60))
    for x, y in ((0, -0.75), (0.45, -0.45), (0.28, 0.06), (-0.28, 0.06), (-0.45, -0.45)):
        p.polygon(disc(x, y, 0.3), c, INK, 0.04)
    p.polygon(disc(0, -0.32, 0.24), (250, 205, 60), INK, 0.04)


def bee(p: Pen, c: Colour) -> None:
    for x in (-0.25, 0.2):
        p.polygon(arc(x, -0.5, 0.34, 0, 360, 1.2), (222, 236, 246), INK, 0.05)
    p.polygon(arc(0, 0.1, 0.85, 0, 360, 0.6), (248, 200, 40), INK, 0.06)
    for x in (-0.35, 0.0, 0.35):
        p.path([(x, -0.3), (x, 0.5)], INK, 0.15)
    p.polygon(disc(0.68, 0.0, 0.07), INK)


def worm(p: Pen, c: Colour) -> None:
    p.path([(-0.9, 0.1), (-0.45, -0.12), (0, 0.1), (0.45, -0.12), (0.9, 0.1)], (214, 120, 130), 0.28)


def face(p: Pen, c: Colour, mood: str) -> None:
    """Draws a round face; the mood is one of happy, sad, surprised, angry, sleepy."""
    p.polygon(disc(0, 0, 0.95), c, INK, 0.05)
    for side in (-1, 1):
        if mood == "sleepy":
            p.path(arc(side * 0.36, -0.25, 0.2, 20, 160), INK, 0.08)
        else:
            p.polygon(disc(side * 0.36, -0.22, 0.16 if mood == "surprised" else 0.12), INK)
        if mood == "angry":
            p.path([(side * 0.62, -0.62), (side * 0.16, -0.4)], INK, 0.11)
        if mood == "surprised":
            p.path(arc(side * 0.36, -0.42, 0.24, 220, 320), INK, 0.07)
    if mood == "happy":
        p.polygon(arc(0, 0.16, 0.55, 0, 180), WHITE, INK, 0.07)
    elif mood == "sad":
        p.path(arc(0, 0.75, 0.42, 205, 335), INK, 0.1)
        p.polygon([(0.5, 0.02), (0.6, 0.26), (0.4, 0.26)], (70, 150, 235))
    elif mood == "surprised":
        p.polygon(arc(0, 0.48, 0.24, 0, 360, 1.3), INK)
    elif mood == "angry":
        p.path([(-0.42, 0.58), (-0.2, 0.46), (0.2, 0.46), (0.42, 0.58)], INK, 0.1)
    else:
        p.polygon(arc(0.05, 0.45, 0.15, 0, 360), INK)
        for i, (x, y) in enumerate(((0.68, -0.72), (0.88, -0.95))):
            s = 0.1 + 0.04 * i
            p.path([(x - s, y - s), (x + s, y - s), (x - s, y + s), (x + s, y + s)], INK, 0.06)


MOODS = ("happy", "sad", "surprised", "angry", "sleepy")


def person(p: Pen, c: Colour, action: str) -> None:
    """Draws a figure that does one of `ACTIONS`."""
    skin, leg = (240, 195, 150), 0.15
    if action == "lying in bed":
        p.polygon(rectangle(-0.95, 0.3, 0.95, 0.62), (190, 150, 110), INK, 0.05)
        p.path([(-0.9, 0.62), (-0.9, 0.9)], INK, 0.1)
        p.path([(0.9, 0.62), (0.9, 0.9)], INK, 0.1)
        p.polygon(rectangle(-0.92, 0.12, -0.4, 0.32), WHITE, INK, 0.05)
        p.polygon([(-0.38, 0.3), (-0.3, 0.02), (0.85, 0.06), (0.9, 0.3)], c, INK, 0.05)
        p.polygon(disc(-0.6, 0.0, 0.2), skin, INK, 0.05)
        return
    lower = action == "sitting on a chair"
    head = -0.55 if lower else -0.68
    p.polygon(disc(0, head, 0.24), skin, INK, 0.05)
    hip = (0.0, 0.35 if lower else 0.25)
    if action == "kicking a ball":
        p.path([hip, (-0.15, 0.95)], INK, leg)
        p.path([hip, (0.4, 0.5), (0.6, 0.72)], INK, leg)
        p.polygon(disc(0.8, 0.72, 0.17), WHITE, INK, 0.07)
    elif lower:
        p.path([(-0.35, -0.2), (-0.35, 0.95)], (160, 110, 60), 0.12)
        p.path([(-0.35, 0.5), (0.35, 0.5), (0.35, 0.95)], (160, 110, 60), 0.12)
        p.path([hip, (0.5, 0.35), (0.55, 0.95)], INK, leg)
    else:
        p.path([hip, (-0.25, 0.95)], INK, leg)
        p.path([hip, (0.25, 0.95)], INK, leg)
    p.path([(0, head + 0.34), hip], c, 0.34)
    arm = (0.0, head + 0.36)
    if action == "lifting a barbell":
        p.path([arm, (-0.42, -0.55), (-0.42, -0.9)], skin, 0.12)
        p.path([arm, (0.42, -0.55), (0.42, -0.9)], skin, 0.12)
        p.path([(-0.8, -0.92), (0.8, -0.92)], INK, 0.09)
        for x in (-0.82, 0.82):
            p.polygon(rectangle(x - 0.1, -1.0 - 0.14, x + 0.1, -0.7), INK)
    elif action == "holding an umbrella":
        p.path([arm, (0.3, 0.02), (0.5, -0.2)], skin, 0.12)
        p.path([(0.5, 0.0), (0.5, -0.85)], INK, 0.07)
        p.polygon(arc(0.44, -0.76, 0.55, 180, 360, 0.5), (70, 130, 200), INK, 0.05)
        p.path([arm, (-0.32, 0.2)], skin, 0.12)
    else:
        p.path([arm, (0.4, 0.1)], skin, 0.12)
        p.path([arm, (-0.1 if lower else -0.38, 0.15)], skin, 0.12)


ACTIONS = (
    "sitting on a chair",
    "lying in bed",
    "lifting a barbell",
    "kicking a ball",
    "holding an umbrella",
)
