"""Views of runs that lack something: checkpoints, probes, abilities, results, images, or any difference at all."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated import TASK, run
from view_runs import asked, drawn, with_probes

from ssl4rl_bench.core.errors import StoreError, UsageError
from ssl4rl_bench.reports.board.columns import COLUMNS
from ssl4rl_bench.reports.figures.sheet import Sheet
from ssl4rl_bench.reports.text.margins import MARGIN
from ssl4rl_bench.reports.views import VIEWS, View, allowed, by_sight, gather_runs
from ssl4rl_bench.reports.views.contrasts import Contrast, correct, scores
from ssl4rl_bench.reports.views.curves import CurvePoint, curves
from ssl4rl_bench.reports.views.training import kind_of, parse_trained, same_task, words
from ssl4rl_bench.reports.views.transfer import transfer
from ssl4rl_bench.reports.views.wording import difference_cells

AVERAGE = COLUMNS[-1]
BENCHMARK = "ssl4rl_scenes"
ROTATION = "ssl4rl_ssl_rotation_90"


def right(n: int, k: int) -> np.ndarray:
    """The first k of n are right."""
    return (np.arange(n) < k).astype(float)


def result(
    value: float | None, ends: tuple[float, float] | None = (0.4, 0.6), **tasks: Any
) -> dict[str, Any]:
    """The result of a checkpoint on a benchmark."""
    overall = {"value": value, "n": 100, "ci95": ends and list(ends)}
    return {"tasks": {BENCHMARK: {"aggregates": {"circular_micro": {"overall": overall}}}, **tasks}}


def texts(view: View) -> list[str]:
    assert view.sheet is not None
    return [re.sub("<[^>]*>", "", text) for text in re.findall("<text.*?</text>", str(view.sheet.svg("x")))]


def transferred(*candidates: Any) -> View:
    return transfer(gather_runs(asked("base", right(240, 120)), candidates))


def test_a_training_without_checkpoints_has_an_empty_table_and_a_figure() -> None:
    view = curves([])
    assert (view.headers, view.rows) == (("Step", "Verdict"), ())
    assert view.sentence.startswith("0 checkpoints: none judged yet. ")
    assert texts(view) == []


def test_checkpoints_are_in_the_order_of_their_steps_under_their_own_names() -> None:
    points = [
        CurvePoint(step, name, "pass", result(0.5)) for step, name in ((300, "c"), (100.5, "b"), (20, "a"))
    ]
    assert [row[0] for row in curves(points).rows] == ["a", "b", "c"]


def test_a_checkpoint_whose_requests_all_failed_has_a_dash_and_a_figure() -> None:
    view = curves([CurvePoint(1, "1", "fail", result(None, None))])
    assert view.rows == (("1", "fail", "–"),)
    assert texts(view)[:2] == ["fail", "scenes: Average"]
    assert "0" not in texts(view)  # no step was measured, and none is invented


def test_a_value_without_an_interval_is_shown_alone_and_one_of_a_single_step_has_an_axis() -> None:
    points = [CurvePoint(7, "7", "pass", result(0.5, None))]
    assert curves(points).rows == (("7", "pass", "50.00"),)
    assert curves([replace(points[0], result=result(0.5))]).rows == (("7", "pass", "50.00 [40.00, 60.00]"),)
    assert [text for text in texts(curves(points)) if text.isdigit()] == ["7"]


def test_a_panel_is_there_for_each_ability_and_probe_that_any_checkpoint_has() -> None:
    probe = {
        "probe": {"chance": 0.25},
        "aggregates": {"row_micro": {"overall": {"value": 0.3, "ci95": None}}},
    }
    ability = result(0.5)
    ability["tasks"][BENCHMARK]["aggregates"]["circular_micro"]["l2"] = {
        "coarse_perception": {"value": 0.25, "ci95": [0.2, 0.3]}
    }
    points = [
        CurvePoint(1, "1", "baseline", ability),
        CurvePoint(2, "2", "inconclusive", result(0.5, **{ROTATION: probe})),
    ]
    view = curves(points)
    assert view.headers == ("Step", "Verdict", "scenes: Average", "scenes: Coarse", "ssl_rotation_90")
    assert [row[2:] for row in view.rows] == [
        ("50.00 [40.00, 60.00]", "25.00 [20.00, 30.00]", "–"),
        ("50.00 [40.00, 60.00]", "–", "30.00"),
    ]
    assert view.sentence.startswith("2 checkpoints: 1 inconclusive.")
    assert [caption for caption, _ in view.panels] == ["", *view.headers[2:]]
    assert "chance 25%" in texts(view)


def with_margin(value: float | None, form: str = "<answer>…</answer>") -> dict[str, Any]:
    """A checkpoint with a margin on a probe, whose accuracy is at chance."""
    margin = {"value": value, "n": 400, "reason": "engine mock gives none"}
    if value is not None:
        margin = {"value": value, "ci95": [value - 0.01, value + 0.01], "p": 0.01, "n": 400, "form": form}
    accuracy = {"row_micro": {"overall": {"value": 0.26, "ci95": [0.22, 0.31]}}}
    return result(0.5, **{ROTATION: {"probe": {"chance": 0.25, "margin": margin}, "aggregates": accuracy}})


def test_the_margin_has_a_panel_in_nats_beside_the_accuracy_with_the_line_of_a_guess() -> None:
    points = [CurvePoint(step, str(step), "pass", with_margin(step / 1000)) for step in (-4, 11, 188)]
    view = curves(points)
    assert view.headers[-2:] == ("ssl_rotation_90", "ssl_rotation_90: margin (nats)")
    assert [row[-1] for row in view.rows] == [
        "-0.004 [-0.014, +0.006]",
        "+0.011 [+0.001, +0.021]",
        "+0.188 [+0.178, +0.198]",
    ]
    assert {"a guess: 0", "chance 25%", "0.20"} <= set(texts(view))
    assert MARGIN in view.sentence and "not comparable" not in view.sentence


def test_margins_in_different_forms_are_not_joined_by_a_line() -> None:
    points = [CurvePoint(1, "1", "pass", with_margin(0.1)), CurvePoint(2, "2", "pass", with_margin(0.2, "…"))]
    same = [CurvePoint(1, "1", "pass", with_margin(0.1)), CurvePoint(2, "2", "pass", with_margin(0.2))]
    assert "Answers to ssl_rotation_90 were scored in different forms" in curves(points).sentence
    drawn = [
        str(sheet.svg("x")).count('stroke-width="1"')
        for sheet in (curves(points).sheet, curves(same).sheet)
        if sheet
    ]
    assert drawn[0] == drawn[1] - 1


def test_a_checkpoint_without_a_margin_has_a_dash_and_no_point() -> None:
    missing = CurvePoint(1, "1", "pass", with_margin(None))
    assert [row[-1] for row in curves([missing, CurvePoint(2, "2", "pass", with_margin(0.1))]).rows] == [
        "–",
        "+0.100 [+0.090, +0.110]",
    ]
    assert "margin" not in " ".join(curves([missing]).headers)


def test_what_decided_a_verdict_is_in_the_table_if_any_checkpoint_has_it() -> None:
    points = [
        CurvePoint(1, "1", "pass", result(0.5)),
        CurvePoint(2, "2", "fail", result(0.4), "scenes, Average: -10.00 points"),
    ]
    view = curves(points)
    assert view.headers[:3] == ("Step", "Verdict", "Decided by")
    assert [row[2] for row in view.rows] == ["", "scenes, Average: -10.00 points"]


def test_the_legend_names_the_verdicts_that_there_are_and_the_baseline_if_it_is_drawn() -> None:
    points = [CurvePoint(1, "1", "pass", result(0.5)), CurvePoint(2, "2", "stopped", result(0.5))]
    assert [text for text in texts(curves(points)) if text in ("pass", "fail", "stopped")] == ["pass"]
    assert "the baseline and its 95% interval" in texts(curves(points, result(0.4)))
    assert "the baseline and its 95% interval" not in texts(curves(points))
    assert texts(curves(points, {})) != []


def test_equal_runs_transfer_nothing_that_is_shown_and_all_differences_are_0() -> None:
    view = transferred(asked("twin", right(240, 120)))
    twin, mde = view.rows
    differences = [text.split("\n")[0] for text in twin[2:]]
    assert differences == ["+0.00"] * len(differences)
    assert mde[:2] == ("MDE", "")
    assert view.sentence.startswith(
        "The checkpoint is not shown to be better or worse than base on any ability; differences below "
    )
    assert "On Average" not in view.sentence


def test_several_equal_runs_are_counted() -> None:
    view = transferred(*(asked(f"twin {index}", right(240, 120)) for index in range(3)))
    assert view.sentence.startswith("None of 3 checkpoints is shown to be better or worse than base")


def test_more_than_four_losers_are_named_by_number() -> None:
    losers = [asked(f"worse {index}", right(240, 0)) for index in range(6)]
    sentence = transferred(*losers).sentence
    assert (
        "Of 6 checkpoints, none is shown to be better than base on some ability, and 6 are worse" in sentence
    )
    named = sentence.split("Negative transfer, in points: ")[1].split("; ")
    assert [name.split(" on ")[0] for name in named[:4]] == [f"worse {index}" for index in range(4)]
    assert named[4].startswith("2 more. On Average ")


def test_a_view_without_probes_has_no_frame_to_explain() -> None:
    assert not any(text.startswith("framed:") for text in texts(transferred(asked("new", right(240, 200)))))
    probe = {ROTATION: ("rotation", "step 90", 0.25, 0.5)}
    both = [with_probes(asked(label, right(240, 120)), probe) for label in ("base", "new")]
    assert any(text.startswith("framed:") for text in texts(transfer(gather_runs(both[0], both[1:]))))


def test_an_aggregation_or_a_setting_that_is_unknown_is_named_with_the_closest_one() -> None:
    base = asked("base", right(24, 12))
    with pytest.raises(UsageError, match="did you mean row_micro"):
        gather_runs(base, [], aggregation="row_mikro")
    with pytest.raises(UsageError, match="did you mean max_pixels"):
        gather_runs(base, [], allow=["max_pixel"])


def test_a_baseline_alone_allows_no_view_of_checkpoints() -> None:
    alone = gather_runs(asked("base", right(24, 12)), [])
    assert allowed(alone) == []
    with pytest.raises(UsageError, match="needs a second checkpoint in addition to base"):
        VIEWS["transfer"](alone)


def test_a_candidate_of_another_benchmark_is_on_the_page_and_in_no_view() -> None:
    other = run("other", right(24, 12), task="ssl4rl_elsewhere")
    chosen = gather_runs(asked("base", right(24, 12)), [other])
    assert (chosen.candidates, chosen.others, chosen.on_page) == ((), (other,), (other,))


def test_runs_with_and_without_images_are_told_apart_by_what_was_shown() -> None:
    seeing, blind = asked("base", right(24, 12)), asked("base", right(24, 6), image="blank")
    assert by_sight([seeing]) == ([seeing], [])
    real, without = by_sight([seeing, blind])
    assert [found.label for found in (*real, *without)] == ["base", "base, image blank"]
    assert [found.label for found in by_sight([blind])[1]] == ["base, image blank"]


def test_runs_without_a_common_question_are_refused() -> None:
    one, two = (
        asked("one", right(12, 6)),
        asked("two", right(12, 6), content=[f"other {index}" for index in range(12)]),
    )
    with pytest.raises(UsageError, match="two and one share no answered question of simulated: evaluate"):
        scores([one, two], TASK, "circular_micro")


def test_one_question_that_is_half_right_has_a_difference_and_nothing_else() -> None:
    one, two = asked("one", [1.0, 0.0], copies=2), asked("two", [1.0, 1.0], copies=2)
    table = scores([one, two], TASK, "row_micro")
    found = table.contrast(table.table[:, 1] / 2 - table.table[:, 0] / 2, AVERAGE)
    assert (found.n, found.ci95, found.p, found.mde, found.mark) == (1, None, 1.0, 1.0, "")


def test_a_contrast_with_itself_is_0_with_p_1_before_and_after_correction() -> None:
    base = asked("base", drawn(np.random.default_rng(1), 0.5))
    table = scores([base, replace(base, label="twin")], TASK, "circular_micro")
    zero = table.contrast(np.zeros(240), AVERAGE)
    (corrected,) = correct([(AVERAGE, zero)])
    assert (zero.value, zero.p, corrected.p_corrected, corrected.mark) == (0.0, 1.0, 1.0, "")
    assert zero.ci95 is not None
    assert zero.ci95[0] == pytest.approx(-zero.ci95[1])


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (None, ("–", "–", "–")),
        (Contrast(0.0, None, 1.0, 1, 1.0, 1.0), ("+0.00", "–", "1.000")),
        (Contrast(-0.1, (-0.2, -0.05), 0.0001, 9, 0.1, 0.0002), ("-10.00▼", "[-20.00, -5.00]", "< 0.001")),
        (Contrast(0.1, (0.05, 0.2), 0.01, 9, 0.1, 0.049), ("+10.00▲", "[+5.00, +20.00]", "0.049")),
        (Contrast(0.1, (0.05, 0.2), 0.01, 9, 0.1, 0.05), ("+10.00", "[+5.00, +20.00]", "0.050")),
    ],
)
def test_cells_of_a_difference(cell: Contrast | None, shown: tuple[str, str, str]) -> None:
    assert difference_cells(cell) == shown


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("tiny-rotaton=rotation", "did you mean tiny-rotation?"),
        ("tiny-rotation=rotaton", "rotaton is not an SSL task; did you mean rotation?"),
        ("tiny-rotation", "is not LABEL=TASK"),
        ("tiny-rotation=", "is not LABEL=TASK"),
        ("=rotation", "is not LABEL=TASK"),
        ("tiny-rotation= + ", "is not LABEL=TASK"),
    ],
)
def test_a_wrong_training_is_one_sentence(value: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_trained([value], [asked("tiny-rotation", right(6, 3))])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_label_may_contain_an_equals_sign() -> None:
    runs = [asked("lr=1e-6", right(6, 3)), asked("lr", right(6, 3))]
    assert parse_trained(["lr=1e-6=rotation+jigsaw"], runs) == {"lr=1e-6": ("rotation", "jigsaw")}


@pytest.mark.parametrize(
    ("tasks", "shown"),
    [
        (None, "not known"),
        ((), "not known"),
        (("mix",), "mix"),
        (("ssl_rotation_90", "ssl4rl_ssl_jigsaw_2x2"), "rotation 90 + jigsaw 2x2"),
        (("rotation", "jigsaw", "position"), "mix of 3"),
    ],
)
def test_training_tasks_in_words(tasks: tuple[str, ...] | None, shown: str) -> None:
    assert words(tasks) == shown


def test_a_kind_is_the_same_task_as_each_of_its_difficulties_but_these_differ() -> None:
    assert same_task("rotation", "ssl_rotation_90")
    assert same_task("ssl_rotation_90", ROTATION)
    assert not same_task("ssl_rotation_90", "ssl_rotation_45")
    assert not same_task("jigsaw", ROTATION)
    assert kind_of("no_such_task") == "no_such_task"


def test_a_view_without_a_figure_writes_no_file_and_one_with_a_figure_writes_two(tmp_path: Path) -> None:
    view = View("transfer", "T", "S.", ("a",), ())
    assert view.write(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    paths = replace(view, sheet=Sheet(40, 20)).write(tmp_path)
    assert [path.name for path in paths] == ["transfer.svg", "transfer.png"]
    assert paths[0].read_text().startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert paths[1].read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_figure_for_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write .*no such file"):
        View("transfer", "T", "S.", ("a",), (), Sheet(40, 20)).write(tmp_path / "none")
