"""matplotlib's SVG made fit to stand in the page: no style attributes, colours by name, ids of its own.

A Content-Security-Policy without 'unsafe-inline' ignores style attributes, so each declaration becomes a
presentation attribute, or a class where it is a colour that dark mode changes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from io import StringIO
from typing import Any
from xml.etree import ElementTree

from ssl4rl_bench.reports.figures.palette import NAMES

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_KEPT = frozenset(
    {
        "fill-opacity",
        "fill-rule",
        "font-size",
        "font-weight",
        "opacity",
        "stroke-dasharray",
        "stroke-dashoffset",
        "stroke-linecap",
        "stroke-linejoin",
        "stroke-miterlimit",
        "stroke-opacity",
        "stroke-width",
        "text-anchor",
    }
)
"""Declarations that are presentation attributes as they stand."""
_ELEMENTS = frozenset(
    {
        "circle",
        "clipPath",
        "defs",
        "ellipse",
        "g",
        "line",
        "path",
        "polygon",
        "polyline",
        "rect",
        "svg",
        "text",
        "tspan",
        "use",
    }
)
_ATTRIBUTES = (
    frozenset({"class", "clip-path", "d", "height", "id", "points", "transform", "viewBox", "width"})
    | {f"{axis}{number}" for axis in ("x", "y") for number in ("", "1", "2")}
    | frozenset({"cx", "cy", "r", "rx", "ry"})
    | _KEPT
)
_FONT = re.compile(r"(?:(?P<weight>bold|\d{3})\s+)?(?P<size>[\d.]+)px")
_HEX = re.compile(r"#[0-9a-f]{6}")
_POINTS_TO_PIXELS = 4.0 / 3.0


def to_svg(figure: Any) -> str:
    """A matplotlib figure as an SVG document; the same figure gives the same text."""
    import matplotlib

    out = StringIO()
    with (
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ssl4rl"}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph")  # matplotlib's own font need not have it, the reader's may
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return out.getvalue()


def inline(document: str, prefix: str, label: str) -> str:
    """An SVG document as an element of the page; only elements and attributes of a known list are left.

    Args:
        prefix: put before each id, so that figures do not share any.
        label: what it shows, for those who do not see it.

    Raises:
        ValueError: it is no SVG document.
    """
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError:
        raise ValueError("a figure is no SVG document") from None
    if _tag(root) != "svg":
        raise ValueError("a figure is no SVG document")
    box = root.get("viewBox", "")
    clean = _clean(root, prefix)
    sides = [float(side) for side in box.split()]
    for name in ("x", "y"):
        clean.attrib.pop(name, None)
    if len(sides) == 4:
        clean.set("width", f"{sides[2] * _POINTS_TO_PIXELS:.0f}")
        clean.set("height", f"{sides[3] * _POINTS_TO_PIXELS:.0f}")
    clean.attrib |= {
        "class": "figure",
        "role": "img",
        "aria-label": label,
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    return ElementTree.tostring(clean, encoding="unicode", short_empty_elements=True)


def _tag(element: ElementTree.Element) -> str:
    return str(element.tag).removeprefix(f"{{{_SVG}}}")


def _clean(element: ElementTree.Element, prefix: str) -> ElementTree.Element:
    made = ElementTree.Element(_tag(element))
    classes = []
    for name, value in element.attrib.items():
        if name == "style":
            for key, item in _declarations(value):
                if key in ("fill", "stroke"):
                    classes += _colour(made, key, item)
                else:
                    made.set(key, item)
        elif name in ("fill", "stroke"):
            classes += _colour(made, name, value)
        elif name == "id":
            if _tag(element) != "g":  # matplotlib names its groups, and nothing points there
                made.set("id", prefix + value)
        elif name == "clip-path":
            made.set(name, value.replace("url(#", f"url(#{prefix}"))
        elif name in (_XLINK, "href"):
            if value.startswith("#"):
                made.set("href", f"#{prefix}{value[1:]}")
        elif name in _ATTRIBUTES:
            made.set(name, value)
    if _tag(element) == "text" and not any(key.startswith("f-") for key in classes):
        classes.append("f-ink")
    if classes:
        made.set("class", " ".join(classes))
    made.text = element.text if _tag(element) in ("text", "tspan") else None
    made.extend(_clean(child, prefix) for child in element if _tag(child) in _ELEMENTS)
    for child in made:
        child.tail = "\n" if _tag(made) != "text" else None
    return made


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    for declaration in style.split(";"):
        key, colon, value = (part.strip() for part in declaration.partition(":"))
        if not colon:
            continue
        if key == "font":
            found = _FONT.search(value)
            if found:
                yield "font-size", found["size"]
                if found["weight"]:
                    yield "font-weight", found["weight"]
        elif key == "font-size":
            yield key, value.removesuffix("px")
        elif key in _KEPT or key in ("fill", "stroke"):
            yield key, value


def _colour(made: ElementTree.Element, key: str, value: str) -> list[str]:
    """A class for a colour of the palette; else the colour itself stays."""
    name = NAMES.get(value.lower())
    if name is not None:
        return [f"{key[0]}-{name}"]
    if value == "none" or _HEX.fullmatch(value.lower()):
        made.set(key, value)
    return []
