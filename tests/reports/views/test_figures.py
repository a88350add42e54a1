"""Figures: well-formed, nothing outside the sheet or of small type, fit for the page."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from view_runs import HOSTILE, asked, drawn, with_probes

from ssl4rl_bench.core.errors import StoreError
from ssl4rl_bench.reports.figures.sheet import TEXT, fit, style, width_of, write_figures
from ssl4rl_bench.reports.figures.svg import inline
from ssl4rl_bench.reports.views import VIEWS, Runs, View, gather

PROBES = {
    f"ssl4rl_ssl_position_{at}": ("position", f"{'very ' * at}hard quadrants, weak", 0.25 - at / 100, 0.4)
    for at in range(4)
} | {f"ssl4rl_ssl_rotation_{at}": ("rotation", f"step {at}", at / 360, 0.4) for at in (90, 45, 30, 15)}


def chosen(n_more: int) -> Runs:
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
    return gather(base, runs, hidden, trained=said)


@pytest.fixture(scope="module", params=[0, 6], ids=["few", "many"])
def views(request: pytest.FixtureRequest) -> list[View]:
    runs = chosen(request.param)
    return [make(runs) for make in VIEWS.values()]


def test_all_text_stands_inside_at_eight_points_or_more(views: list[View]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    for view in views:
        figure = view.figure
        with style():
            figure.draw_without_rendering()
            renderer = FigureCanvasAgg(figure).get_renderer()
            width, height = figure.bbox.width, figure.bbox.height
            # Axes know which of their ticks are drawn.
            boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
            boxes += [text.get_window_extent(renderer) for text in figure.texts]
            for box in boxes:
                assert box.x0 >= -0.5 and box.y0 >= -0.5, (view.name, box)
                assert box.x1 <= width + 0.5 and box.y1 <= height + 0.5, (view.name, box)
            for text in figure.findobj(Text):
                assert text.get_fontsize() >= TEXT, text


def test_the_svg_is_well_formed_and_the_same_again(views: list[View]) -> None:
    for view in views:
        root = ElementTree.fromstring(view.svg)
        assert root.tag.endswith("svg")
        assert "\x1b" not in view.svg and "\u202e" not in view.svg
        for row in view.rows:
            assert len(row) == len(view.headers)
        clean = inline(view.svg, "v-", view.title)
        assert "style=" not in clean and "http" not in clean.replace("http://www.w3.org/2000/svg", "")


def test_figures_are_written_as_svg_and_png(views: list[View], tmp_path: Path) -> None:
    from PIL import Image

    paths = write_figures(views[0], tmp_path)
    assert [path.name for path in paths] == ["transfer.svg", "transfer.png"]
    assert paths[0].read_text("utf-8") == views[0].svg
    with Image.open(paths[1]) as image:
        inches = views[0].figure.get_size_inches()
        assert image.size == pytest.approx(tuple(200 * inches), abs=1)
    with pytest.raises(StoreError, match="cannot write"):
        write_figures(views[0], tmp_path / "missing")


def test_a_name_is_cut_in_its_middle() -> None:
    with style():
        assert fit("short", 100.0) == "short"
        cut = fit("a-very-long-name-of-a-checkpoint-seed2", 80.0)
        assert width_of(cut) <= 80.0
        assert cut.startswith("a-ver") and cut.endswith("seed2") and "…" in cut
        assert fit("x" * 500, 1.0) == "…"
