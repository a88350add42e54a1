"""Curves: what is read, what is averaged, and that a picture shows what there is."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.reports.figures.palette import SERIES
from ssl4rl_bench.train import curves
from ssl4rl_bench.train.curves import draw, draw_many, read_metrics, series, smooth, window


def line(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "reward": 0.3, "reward/ssl_rotation_90": 0.3 + step / 100, "loss": -0.01} | more


def write(path: Path, lines: list[dict[str, Any]], tail: str = "") -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    return path


def full(n: int) -> list[dict[str, Any]]:
    keys = [key for panel in curves.PANELS for key in panel.keys]
    return [line(step, **dict.fromkeys(keys, 0.1 + 0.8 * step / n)) for step in range(1, n + 1)]


def test_repeated_steps_count_once_and_a_line_that_is_being_written_not_yet(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.jsonl", [line(1), line(2, loss=5), line(3), line(2, loss=7)], '{"step": 4, "lo'
    )
    assert [(got["step"], got["loss"]) for got in read_metrics(path)] == [(1, -0.01), (2, 7), (3, -0.01)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no metrics yet"),
        ('{"step": 1}\n{"st\n{"step": 3}\n', "line 2 is not a JSON object"),
        ('{"loss": 1}\n', "line 1"),
        ("[1]\n", "line 1"),
    ],
)
def test_damaged_metrics_are_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=says):
        read_metrics(path)


def test_metrics_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_metrics(tmp_path / "m.jsonl")


def test_series_leave_out_what_is_no_finite_number() -> None:
    lines = [line(1, kl=0.5), line(2), line(3, kl=float("nan")), line(4, kl=None), line(5, kl=2)]
    assert series(lines, "kl") == ([1, 5], [0.5, 2])


@given(st.lists(st.floats(-1e6, 1e6), max_size=80), st.integers(0, 20).map(lambda n: 2 * n + 1))
def test_smoothing_stays_within_its_window(values: list[float], width: int) -> None:
    smoothed = smooth(values, width)
    assert len(smoothed) == len(values)
    for at, value in enumerate(smoothed):
        near = values[max(0, at - width // 2) : at + width // 2 + 1]
        assert min(near) - 1e-6 <= value <= max(near) + 1e-6
    if width == 1:
        assert smoothed == pytest.approx(values)


@given(st.integers(0, 5000))
def test_the_window_is_odd_and_a_small_share(n: int) -> None:
    assert window(n) % 2 == 1
    assert window(n) == 1 or window(n) <= n / 10


def test_runs_that_share_a_panel_have_different_colours() -> None:
    tasks = {"a1": {"a"}, "a2": {"a"}, "b1": {"b"}, "b2": {"b"}, "mix": {"a", "b"}}
    colours = curves._colours(tasks)
    assert len({colours[name] for name in ("a1", "a2", "mix")}) == 3
    assert len({colours[name] for name in ("b1", "b2", "mix")}) == 3
    assert set(curves._colours({str(n): {"a"} for n in range(20)}).values()) == set(SERIES)


def size(path: Path) -> tuple[int, int]:
    """Also decodes it."""
    with Image.open(BytesIO(path.read_bytes())) as image:
        image.load()
        return image.size


@pytest.mark.slow
def test_only_panels_with_data_are_drawn(tmp_path: Path) -> None:
    draw(
        write(tmp_path / "a.jsonl", full(40)), tmp_path / "a.png", "all $x_ of it", {"ssl_rotation_90": 0.25}
    )
    draw(write(tmp_path / "b.jsonl", [line(1), line(2)]), tmp_path / "b.png", "little")
    draw(write(tmp_path / "c.jsonl", [{"step": 1, "seconds": 2.0}]), tmp_path / "c.png", "nothing")
    (width, tall), (_, short), (_, shortest) = (size(tmp_path / f"{name}.png") for name in "abc")
    assert width == curves.WIDTH / 72 * curves.DPI
    assert tall > short > shortest
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".jsonl"] * 3 + [".png"] * 3


@pytest.mark.slow
def test_the_same_metrics_give_the_same_picture_and_replace_an_old_one(tmp_path: Path) -> None:
    metrics = write(tmp_path / "m.jsonl", full(35))
    for out in (tmp_path / "a.png", tmp_path / "b.png"):
        draw(metrics, out, "run")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    draw(write(tmp_path / "n.jsonl", full(36)), tmp_path / "b.png", "run")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


@pytest.mark.slow
def test_several_runs_share_the_panels_of_their_tasks(tmp_path: Path) -> None:
    runs = {name: write(tmp_path / f"{name}.jsonl", full(30)) for name in ("_one", "two")}
    draw_many(runs, tmp_path / "one_task.png")
    mixed = [got | {"reward/ssl_position": 0.5, "reward/ssl_jigsaw_2x2": 0.1} for got in full(30)]
    runs["mix"] = write(tmp_path / "mix.jsonl", mixed)
    draw_many(runs, tmp_path / "three_tasks.png")
    assert size(tmp_path / "three_tasks.png")[1] > size(tmp_path / "one_task.png")[1]
    with pytest.raises(DataError, match="no runs"):
        draw_many({}, tmp_path / "none.png")
