"""Figures: well-formed, nothing outside the sheet or of small type, fit for the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from view_runs import HOSTILE, asked, drawn, with_probes

from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.figures.palette import HEX
from ssl4rl_bench.reports.figures.sheet import TEXT, TextItem, fit, width_of
from ssl4rl_bench.reports.views import VIEWS, View, ViewRuns, gather_runs
from ssl4rl_bench.reports.views.attend import view_of

PROBES = {
    f"ssl4rl_ssl_position_{at}": ("position", f"{'very ' * at}hard quadrants, weak", 0.25 - at / 100, 0.4)
    for at in range(4)
} | {f"ssl4rl_ssl_rotation_{at}": ("rotation", f"step {at}", at / 360, 0.4) for at in (90, 45, 30, 15)}


def chosen(n_more: int) -> ViewRuns:
    rng = np.random.default_rng(1)
    base = with_probes(asked(HOSTILE + "base", drawn(rng, 0.6)), PROBES)
    kinds = ("rotation", "jigsaw", "contrastive", "position")
    more = [f"{HOSTILE}{at}" for at in range(n_more)]
    runs = [
        with_probes(asked(label, drawn(rng, p)), PROBES)
        for label, p in zip([*kinds, "mix", *more], rng.uniform(0.05, 0.95, 5 + n_more), strict=True)
    ]
    hidden = [
        asked(f"{run.label}, image {image}", drawn(rng, 0.3), run.label, image=image)
        for run in (base, *runs)
        for image in ("blank", "shuffled", "none")
    ]
    said = ["rotation=ssl_rotation_90", "mix=rotation+jigsaw+contrastive+position"]
    return gather_runs(base, runs, hidden, trained=said)


def attended(n_models: int, n_layers: int, names: tuple[str, ...]) -> View:
    """A view of `attend` with checkpoints of long names, with boxes and layers or with a grid of cells."""
    rng = np.random.default_rng(2)

    def mean() -> dict[str, Any]:
        value = float(rng.normal(0, 2))
        return {"value": value, "ci95": [value - 0.3, value + 0.3], "p": 0.01, "n": 400}

    labels = [f"{HOSTILE}{at}" for at in range(n_models)]
    models = [
        {
            "label": label,
            "right": 0.5,
            "margin": mean(),
            "effects": {name: mean() for name in names},
            "cells": [] if n_layers else [mean() for _ in range(16)],
            "layers": [
                {"layer": at + 1, "ratio": 1.1, "ci95": [1.0, 1.2], "p": 0.01, "p_corrected": 0.1, "raw": 1.4}
                for at in range(n_layers)
            ],
        }
        for label in labels
    ]
    differences = [
        {"label": label, "effect": names[-1], **mean(), "p_corrected": 0.04, "detectable": 0.6}
        for label in labels[1:]
    ]
    has_boxes = n_layers > 0
    return view_of(
        {"task": HOSTILE, "has_boxes": has_boxes, "least": 0.3, "models": models, "differences": differences}
    )


@pytest.fixture(scope="module", params=[0, 6], ids=["few", "many"])
def views(request: pytest.FixtureRequest) -> list[View]:
    runs = chosen(request.param)
    boxes = attended(2 + request.param, 36, ("asked", "other", "empty", "contrast"))
    grid = attended(2 + request.param, 0, ("blank", "shuffled"))
    return [*(make(runs) for name, make in VIEWS.items() if name != "attend"), boxes, grid]


@pytest.mark.slow
def test_all_text_stands_inside_at_eight_points_or_more(views: list[View]) -> None:
    for view in views:
        sheet = view.sheet
        assert sheet is not None
        texts = [shape for shape in sheet.shapes if isinstance(shape, TextItem)]
        assert texts
        for text in texts:
            width = width_of(text.text, text.size, text.bold)
            left = text.x - {"left": 0.0, "center": 0.5, "right": 1.0}[text.side] * width
            right = left + width
            assert left >= -0.5 and right <= sheet.width + 0.5, (view.name, text)
            half = text.size / 2
            assert text.y - half >= -0.5 and text.y + half <= sheet.height + 0.5, (view.name, text)
            assert text.size >= TEXT, text


@pytest.mark.slow
def test_the_svg_is_well_formed_and_the_same_again(views: list[View]) -> None:
    for view in views:
        assert view.sheet is not None
        svg = view.sheet.svg(view.title)
        assert svg == view.sheet.svg(view.title)
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("svg") and root.get("aria-label") == clean(view.title, 600)
        assert "\x1b" not in svg and "\u202e" not in svg
        for row in view.rows:
            assert len(row) == len(view.headers)
        assert "style=" not in svg and "http" not in svg
        for element in root.iter():
            names = [name.partition("-")[2] for name in element.get("class", "").split() if name != "figure"]
            assert [element.get(key) for key in ("fill", "stroke") if element.get(key) in HEX.values()] == [
                HEX[name] for name in names
            ]


@pytest.mark.slow
def test_figures_are_written_as_svg_and_png(views: list[View], tmp_path: Path) -> None:
    from PIL import Image

    paths = views[0].write(tmp_path)
    sheet = views[0].sheet
    assert sheet is not None
    assert [path.name for path in paths] == ["transfer.svg", "transfer.png"]
    assert ElementTree.parse(paths[0]).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert paths[0].read_text("utf-8").partition(" class")[2] in sheet.svg(views[0].title)
    with Image.open(paths[1]) as image:
        assert image.size == pytest.approx((200 / 72 * sheet.width, 200 / 72 * sheet.height), abs=1)
    with pytest.raises(StoreError, match="cannot write"):
        views[0].write(tmp_path / "missing")


@pytest.mark.slow
def test_a_name_is_cut_in_its_middle() -> None:
    assert fit("short", 100.0) == "short"
    cut = fit("a-very-long-name-of-a-checkpoint-seed2", 80.0)
    assert width_of(cut) <= 80.0
    assert cut.startswith("a-ver") and cut.endswith("seed2") and "…" in cut
    assert fit("x" * 500, 1.0) == "…"
