"""Tables of probes, of one run by each extractor, and of several benchmarks: what is missing, alike or damaged."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from rich.table import Table
from ssl_pictures import noise

from ssl4rl_bench.core import images
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.reports.result.probe_sheet import _spread, probe_sheet
from ssl4rl_bench.reports.result.probes import is_probe, other_convention, probe_table, probes_to_markdown
from ssl4rl_bench.reports.result.rereading import Reread, reread_json, reread_table
from ssl4rl_bench.reports.result.tables import card_table, leaf_table, reading_line, status_line, to_markdown
from ssl4rl_bench.reports.text.margins import MARGIN, margin_lines
from ssl4rl_bench.stats.agreement import Kappa, kappa
from ssl4rl_bench.task.ssl.probe import ProbeTask

ROTATION, JIGSAW = "ssl4rl_ssl_rotation_90", "ssl4rl_ssl_jigsaw_2x2"
DEV, CN = "ssl4rl_mmbench_dev_en", "ssl4rl_mmbench_dev_cn"


def show(table: Table, width: int = 120) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def probe(value: float | None = 0.4, chance: float = 0.25, **parts: float) -> dict[str, Any]:
    above = None if value is None else (value - chance) / (1 - chance)
    interval = None if value is None else [value - 0.05, value + 0.05]
    return {
        "probe": {
            "chance": chance,
            "accuracy": {"value": value, "n": 200, "ci95": interval},
            "chance_corrected": {"value": above},
            "parts": {name: {"value": part} for name, part in parts.items()},
        },
        "aggregates": {"row_micro": {"overall": {"unread": 0.015}}},
    }


def result(name: str = "m", /, **tasks: Any) -> dict[str, Any]:
    return {"model": {"name": name}, "tasks": tasks}


def row_of(result: dict[str, Any], task: str = ROTATION) -> list[str]:
    """Returns the cells of a single row of the table in Markdown."""
    lines = probes_to_markdown([result], [task]).splitlines()
    assert len(lines) == 3
    return [cell.strip() for cell in lines[2].strip("|").split(" | ")]


def test_a_probe_has_its_accuracy_chance_and_what_is_above_chance() -> None:
    # (0.40 - 0.25) / 0.75 is 0.20.
    assert row_of(result(**{ROTATION: probe()})) == [
        r"ssl\_rotation\_90", "m", "40.00", "[35.00, 45.00]", "25.00", "20.00", "–", "–", "200", "1.50",
    ]  # fmt: skip


def test_the_margin_of_a_run_stands_beside_its_accuracy_in_nats() -> None:
    made = probe()
    made["probe"]["margin"] = {"value": -0.0004, "ci95": [-0.016, 0.007], "p": 0.0004, "n": 200, "form": "…"}
    assert row_of(result(**{ROTATION: made}))[6:9] == ["+0.000", "[-0.016, +0.007]", "<0.001"]


def test_a_missing_margin_is_a_dash_with_its_reason_and_never_zero() -> None:
    made, form = probe(), "<answer>…</answer>"
    made["probe"]["margin"] = {"value": None, "n": 0, "reason": "engine mock gives no likelihoods of answers"}
    with_margin = probe()
    with_margin["probe"]["margin"] = {
        **{"value": 0.1, "ci95": None, "p": 0.02, "n": 180, "form": form + "\x1b[31m"},
        **{"n_left_out": 20, "n_candidates": 4},
    }
    results = [result("m", **{ROTATION: made}), result("new", **{ROTATION: with_margin})]
    assert row_of(results[0])[6:8] == ["–", "–"]
    assert margin_lines(results, [ROTATION]) == [
        MARGIN,
        "ssl_rotation_90 of m: no margin, as engine mock gives no likelihoods of answers.",
        "ssl_rotation_90 of new: margin of 180 samples over at most 4 answers in the form "
        f"{clean(form + chr(27))}[31m; 20 samples are left out.",
    ]
    assert margin_lines([result(**{ROTATION: probe()})], [ROTATION]) == [
        "ssl_rotation_90: no margin, as the run was scored by a version without margins."
    ]


@pytest.mark.parametrize(
    ("value", "above"),
    [(0.25, "0.00"), (1.0, "100.00"), (0.0, "-33.33"), (0.1, "-20.00"), (0.25 - 1e-17, "0.00"), (None, "–")],
)
def test_a_blind_guess_is_zero_without_a_sign_and_worse_than_that_is_negative(
    value: float | None, above: str
) -> None:
    assert row_of(result(**{ROTATION: probe(value)}))[5] == above


def test_a_chance_that_rounding_moves_just_above_the_accuracy_shows_no_minus_zero() -> None:
    assert row_of(result(**{ROTATION: probe(1 / 3, 0.33333334)}))[5] == "0.00"


def test_parts_are_named_in_the_tables_order_and_unknown_ones_left_out() -> None:
    made = result(**{ROTATION: probe(0.4, 0.25, closeness=0.55, per_position=0.6, secret=0.1)})
    assert row_of(made)[7] == "60.00 per place, 55.00 closeness"


def test_tasks_that_are_no_probes_and_runs_without_one_have_no_row() -> None:
    results = [
        result("a", **{ROTATION: probe(), DEV: {"aggregates": {}}}),
        result("b"),
        {"model": {"name": "c"}},
    ]
    assert is_probe(results, ROTATION) and not is_probe(results, DEV) and not is_probe([], ROTATION)
    table = probe_table(results, [DEV, ROTATION, JIGSAW])
    assert table.row_count == 1
    assert show(table)[-1].split()[:3] == ["ssl_rotation_90", "a", "40.00"]


def test_a_table_of_one_run_does_not_repeat_its_name() -> None:
    one, two = result("first", **{ROTATION: probe()}), result("second", **{ROTATION: probe(0.5)})
    assert "first" not in " ".join(show(probe_table([one], [ROTATION])))
    lines = show(probe_table([one, two | {"partial": True}], [ROTATION]))
    assert lines[0] == "SSL probes · partial"
    assert [line.split()[1] for line in lines[-2:]] == ["first", "second"]


def test_a_probe_without_images_says_so_beside_its_name() -> None:
    made = result(**{ROTATION: probe() | {"image": "blank"}})
    assert row_of(made)[0] == r"ssl\_rotation\_90 \(image blank\)"


def test_no_probes_make_a_table_without_rows() -> None:
    assert probe_table([], [ROTATION]).row_count == 0
    assert len(probes_to_markdown([], [ROTATION]).splitlines()) == 2


def conventions(exact: Any, other: Any, ends: Any, chance: float = 1 / 24) -> list[str]:
    made = probe(0.3, chance)
    made["probe"]["parts"] = {"exact": {"value": exact}, "other_exact": {"value": other, "ci95": ends}}
    return other_convention(result("x", **{JIGSAW: made}), [JIGSAW, ROTATION])


def test_replies_in_the_other_convention_are_said_in_one_sentence() -> None:
    (line,) = conventions(0.1, 0.9, [0.8, 0.95])
    assert line.startswith("x: ssl_jigsaw_2x2: the replies fit the other convention better: 90.00% are right")
    assert "10.00% if for each place its piece, as asked" in line


@pytest.mark.parametrize(
    ("exact", "other", "ends"),
    [
        (0.1, 0.9, None),
        (0.1, 0.9, [None, 0.95]),
        (0.1, 0.9, []),
        (None, 0.9, [0.8, 0.95]),
        (0.1, None, [0.8, 0.95]),
        (0.8, 0.9, [0.8, 0.95]),
        (0.0, 0.05, [0.04, 0.06]),
        (math.nan, 0.9, [0.8, 0.95]),
    ],
    ids=["no interval", "half", "empty", "no accuracy", "no other", "a tie", "no more than chance", "NaN"],
)
def test_nothing_is_said_of_the_other_convention_without_a_clear_lead(
    exact: Any, other: Any, ends: Any
) -> None:
    assert conventions(exact, other, ends) == []


# One run by each extractor.


def reread(extractor: str, agreement: Kappa, circular: float | None = 0.5, **status: int) -> Reread:
    return Reread(extractor, status, 0.75, circular, agreement, 3)


def cells(row: str) -> list[str]:
    return row.split()


def test_an_extractor_s_row_has_its_counts_accuracy_and_agreement() -> None:
    # 10 answers, of which 8 agree: by chance 0.5 * 0.5 + 0.5 * 0.5; kappa is (0.8 - 0.5) / 0.5.
    agreement = kappa("AAAAABBBBB", "AAAABABBBB")
    assert agreement.observed == pytest.approx(0.8) and agreement.value == pytest.approx(0.6)
    lines = show(reread_table("scenes", [reread("default", agreement, tag=8, none=2)]))
    assert lines[0] == "scenes · by extractor"
    assert cells(lines[-1])[:7] == ["default", "8", "2", "75.00", "50.00", "80.00", "0.600"]
    assert cells(lines[-1])[-1] == "3"


def test_statuses_that_no_extractor_gave_have_no_column_and_missing_ones_are_zero() -> None:
    rows = [reread("default", kappa("A", "A"), tag=5), reread("strict", kappa("A", "A"), lenient=2, tag=3)]
    lines = show(reread_table("t", rows))
    assert "truncated" not in " ".join(lines) and "lenient" in " ".join(lines)
    assert [cells(line)[1:3] for line in lines[-2:]] == [["5", "0"], ["3", "2"]]


def test_a_probe_has_no_circular_column() -> None:
    rows = [reread("default", kappa("A", "A"), circular=None, tag=1)]
    assert "Circular" not in " ".join(show(reread_table("t", rows)))
    assert "Circular" in " ".join(show(reread_table("t", [*rows, reread("strict", kappa("A", "A"), tag=1)])))


def test_agreement_that_is_not_defined_is_a_dash_in_the_table_and_null_in_json() -> None:
    nothing, alike = kappa([], []), kappa("AAA", "AAA")
    lines = show(reread_table("t", [reread("default", nothing, tag=1), reread("strict", alike, tag=1)]))
    assert cells(lines[-2])[-4:] == ["–", "–", "–", "3"]
    assert cells(lines[-1])[-4:] == ["100.00", "–", "–", "3"]
    made = reread_json([reread("default", nothing, tag=1)])
    assert made[0]["agreement"] is None and made[0]["kappa"] == {"value": None, "se": None, "n": 0}


def test_the_json_has_fractions_and_the_same_rows() -> None:
    (made,) = reread_json([reread("strict", kappa("AB", "AB"), circular=None, tag=2)])
    assert made["extractor"] == "strict" and made["status"] == {"tag": 2}
    assert (made["accuracy"], made["circular"], made["agreement"], made["n_changed"]) == (0.75, None, 1.0, 3)


def test_a_hostile_title_of_a_rereading_is_one_line() -> None:
    assert show(reread_table("a\x1b[2J\nb", []))[0] == r"a\u001b[2J b · by extractor"


# Several benchmarks, and runs with other images.


def bench(value: float, image: str | None = None, n: int = 7) -> dict[str, Any]:
    overall = {"value": value, "n": n, "ci95": [value, value], "unread": 0.0}
    made: dict[str, Any] = {"aggregates": {"circular_micro": {"overall": overall}}}
    return made | ({"image": image} if image else {})


def test_each_benchmark_has_its_table_and_a_run_without_it_a_row_of_dashes() -> None:
    both, one = result("both", **{DEV: bench(0.5), CN: bench(0.25)}), result("one", **{DEV: bench(1.0)})
    dev, cn = show(card_table([both, one], DEV)), show(card_table([both, one], CN))
    assert "50.00" in dev[-2] and "100.00" in dev[-1] and "50.00" not in " ".join(cn)
    assert "25.00" in cn[-2] and cn[-1].split() == ["one", *"–" * 10]


def test_runs_that_saw_the_same_replacement_say_so_in_the_title_and_others_in_their_rows() -> None:
    blank, real = result("a", **{DEV: bench(0.3, "blank")}), result("b", **{DEV: bench(0.6)})
    alike = show(card_table([blank, blank], DEV))
    assert alike[0].endswith("· image blank") and "(image blank)" not in " ".join(alike)
    mixed = show(card_table([blank, real], DEV), 160)
    assert "image" not in mixed[0]
    assert mixed[-2].startswith("a (image blank) ") and mixed[-1].startswith("b  ")
    assert r"a \(image blank\)" in to_markdown([blank, real], DEV)


def test_a_run_without_the_task_does_not_take_the_replacement_from_the_title() -> None:
    blank = result("a", **{DEV: bench(0.3, "blank")})
    assert show(card_table([blank, result("none")], DEV))[0].endswith("· image blank")


def test_a_result_without_categories_has_one_row_per_task() -> None:
    lines = show(leaf_table(result(**{DEV: bench(0.5)}), DEV))
    assert [line.split()[0] for line in lines[3:]] == ["Average"]
    assert lines[3].split()[1:] == ["7", "50.00", "[50.00,", "50.00]", "0.00"]


def test_replies_without_content_at_the_token_limit_are_counted_beside_them() -> None:
    assert (
        status_line({"no_content": 3, "tag": 1}, 2) == "replies: 1 tag, 3 no_content (2 at the token limit)"
    )
    assert status_line({"tag": 1}, 2) == "replies: 1 tag"


@pytest.mark.parametrize(
    ("status", "n_excluded", "end"),
    [
        ({"tag": 4}, 0, "replies: 4 tag"),
        ({"tag": 4}, None, "replies: 4 tag"),
        ({"tag": 4, "error": 1}, 1, "; 1 questions left out for failed or missing replies"),
        ({"tag": 4, "no_content": 1}, 2, "; 2 questions left out for failed, missing or no_content replies"),
    ],
)
def test_questions_that_were_left_out_are_said_with_their_reason(
    status: dict[str, int], n_excluded: int | None, end: str
) -> None:
    assert reading_line({"status": status, "n_groups_excluded": n_excluded}).endswith(end)


@settings(max_examples=examples(60), deadline=None)
@given(st.dictionaries(st.sampled_from(["tag", "none", "error", "new kind", "x"]), st.integers(0, 10**6)))
def test_the_counts_of_a_status_line_add_up_to_all_replies(status: dict[str, int]) -> None:
    parts = status_line(status).removeprefix("replies: ").split(", ")
    assert sum(int(part.split()[0]) for part in parts) == sum(status.values())


def drawn(
    size: tuple[int, int], targets: Sequence[str], n_images: int = 1, columns: int = 1, text: str = ""
) -> ProbeTask:
    """A task with one sample per target."""
    image = images.from_pil(noise(*size))
    samples = [
        SimpleNamespace(id=str(number), target=target, images=[image] * n_images)
        for number, target in enumerate(targets)
    ]
    ssl = SimpleNamespace(columns=lambda n: columns, few_targets=n_images == 1)
    texts = dict.fromkeys((sample.id for sample in samples), text) if text else {}
    return cast(ProbeTask, SimpleNamespace(name="ssl4rl_ssl_x", samples=samples, ssl=ssl, texts=texts))


def is_white(page: Image.Image, box: tuple[int, int, int, int]) -> bool:
    return page.crop(box).getextrema() == ((255, 255),) * 3


def test_a_sheet_of_no_probes_is_an_empty_page() -> None:
    page = probe_sheet([])
    assert page.size == (1340, 18) and is_white(page, (0, 0, 1340, 18))


@pytest.mark.parametrize("size", [(40, 40), (300, 20), (20, 300), (1, 1)])
def test_a_sample_of_any_shape_is_drawn_at_the_same_height_inside_of_the_page(size: tuple[int, int]) -> None:
    page = probe_sheet([drawn(size, ["90"])])
    # The margin, the title, the image, the answer below it, and the space below both.
    assert page.height == 18 + 24 + (148 + 15 + 5) + 2 * 6
    assert not is_white(page, (18, 42, 30, 42 + 148))
    assert is_white(page, (0, 0, 18, page.height))


def test_a_text_stands_between_the_image_and_the_answer_in_lines_that_fit() -> None:
    page = probe_sheet([drawn((40, 40), ["90"], text="a word " * 30)])
    lines = (page.height - (18 + 24 + (148 + 15 + 5) + 2 * 6)) / 14
    assert lines >= 4 and lines == int(lines)
    assert not is_white(page, (18, 42 + 148, 250, 42 + 148 + 14))
    assert is_white(page, (18 + 232, 42, page.width, page.height))


def test_samples_that_do_not_fit_in_a_line_stand_in_the_next() -> None:
    one_line, two_lines = (probe_sheet([drawn((40, 40), ["0"] * n)], n) for n in (7, 8))
    # Images are 148 wide with 18 between them: seven take 1144 of the 1304 pixels between the margins.
    assert two_lines.height - one_line.height == 148 + 15 + 5 + 6


def test_a_sheet_shows_as_many_answers_as_possible() -> None:
    made = drawn((8, 8), ["a", "a", "a", "b", "b", "c"])
    assert [sample.target for sample in _spread(made, 4)] == ["a", "b", "c", "a"]
    assert [sample.target for sample in _spread(made, 9)] == ["a", "b", "c", "a", "b", "a"]


def test_the_pieces_of_a_jigsaw_form_a_block() -> None:
    page = probe_sheet([drawn((30, 30), ["1,2,3,4"], n_images=4, columns=2)])
    # Two pieces and the space of 6 between them are as high as one image: pieces are 71 pixels.
    assert page.height == 18 + 24 + (2 * 71 + 6 + 15 + 5) + 2 * 6
    assert is_white(page, (18 + 71, 42, 18 + 71 + 6, 42 + 148))
    assert not is_white(page, (18 + 77, 42, 18 + 148, 42 + 71))
