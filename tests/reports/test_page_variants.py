"""Pages of few or unusual runs: one run, probes alone, several tasks, no samples, hostile and similar names."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from html_runs import Parsed
from made_boards import NOT_SHOWN, board, difference, probe

from ssl4rl_bench.reports.board.board import Board, BoardCell, BoardRow
from ssl4rl_bench.reports.board.columns import COLUMNS
from ssl4rl_bench.reports.html import ReportContent, render_page
from ssl4rl_bench.reports.html.page import MOST_RADARS
from ssl4rl_bench.reports.html.provenance import RunFacts
from ssl4rl_bench.reports.views.base import View

UNSURE = difference(**NOT_SHOWN)
TWO = board(("new", {"Average": difference()}))
PROBES = (probe("base"), probe("new", UNSURE))
VIEW = View("transfer", "Transfer", "It is told.", ("Run", "n"), (("new", "3"),))


def facts(label: str, **changes: Any) -> RunFacts:
    return replace(RunFacts(label, (), (("Model", label),), ()), **changes)


def content(*boards: Board, labels: tuple[str, ...] = ("base", "new"), **changes: Any) -> ReportContent:
    plain = ReportContent(
        "A title", tuple((one,) for one in boards), (), (), (), tuple(map(facts, labels)), None
    )
    return replace(plain, **changes)


def named(one: Board, *names: str) -> list[Board]:
    return [replace(one, task=f"ssl4rl_{name}") for name in names]


VARIANTS = {
    "one run": content(board(), labels=("base",)),
    "two runs": content(TWO),
    "one run's probe": content(labels=("base",), probes=PROBES[:1]),
    "probes of two runs": content(probes=PROBES),
    "a benchmark and a probe": content(TWO, probes=PROBES),
    "two benchmarks": content(*named(TWO, "scenes", "mmbench_dev_en")),
    "two aggregations": content(boards=((TWO, replace(TWO, aggregation="row_micro")),)),
    "a view": content(TWO, views=(VIEW,)),
    "a gate": content(TWO, lead=(VIEW, replace(VIEW, name="notes", title="Notes"))),
    "nothing": content(labels=("base",)),
}


def lede(page: str) -> str:
    return " ".join(re.sub("<[^>]*>", "", page.split('<p class="lede">')[1].partition("</p>")[0]).split())


def sections(page: str) -> list[str]:
    return [str(attrs["id"]) for tag, attrs in Parsed(page).tags if tag == "section"]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: render_page(report) for name, report in VARIANTS.items()}


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ("one run", "1 run on scenes. The baseline is base."),
        ("two runs", "2 runs on scenes. The baseline is base."),
        ("one run's probe", "1 run on 1 SSL probe. The baseline is base."),
        ("probes of two runs", "2 runs on 1 SSL probe. The baseline is base."),
        ("a benchmark and a probe", "2 runs on scenes and 1 SSL probe. The baseline is base."),
        ("two benchmarks", "2 runs on scenes, mmbench_dev_en. The baseline is base."),
        ("nothing", "1 run. The baseline is base."),
    ],
)
def test_the_first_line_counts_runs_and_names_tasks(pages: dict[str, str], variant: str, words: str) -> None:
    assert lede(pages[variant]) == words


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("one run", "leaderboard categories glossary method"),
        ("two runs", "leaderboard differences categories glossary method"),
        ("one run's probe", "leaderboard glossary method"),
        ("probes of two runs", "leaderboard glossary method"),
        ("a view", "leaderboard differences categories views glossary method"),
        ("a gate", "lead-1 lead-2 leaderboard differences categories glossary method"),
        ("nothing", "leaderboard glossary method"),
    ],
)
def test_a_page_has_the_sections_that_its_runs_fill(
    pages: dict[str, str], variant: str, expected: str
) -> None:
    assert sections(pages[variant]) == expected.split()


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_link_and_label_of_a_page_leads_to_a_part_that_is_there(
    pages: dict[str, str], variant: str
) -> None:
    tags = Parsed(pages[variant]).tags
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    targets = {str(attrs["href"])[1:] for tag, attrs in tags if tag == "a"}
    targets |= {str(attrs["aria-labelledby"]) for _, attrs in tags if "aria-labelledby" in attrs}
    assert len(ids) == len(set(ids))
    assert targets <= set(ids)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_page_without_samples_has_no_browser_of_samples(pages: dict[str, str], variant: str) -> None:
    scripts = [attrs for tag, attrs, _ in Parsed(pages[variant]).raw if tag == "script"]
    assert scripts == [{}]
    assert "needs JavaScript" not in pages[variant]


def test_probes_are_described_once_below_the_first_of_two_benchmarks() -> None:
    report = content(*named(TWO, "scenes", "mmbench_dev_en"), probes=PROBES)
    assert render_page(report).count("SSL probes, in points: rotation_90") == 1


@pytest.mark.parametrize(("variant", "n"), [("two runs", 0), ("two benchmarks", 6)])
def test_tasks_are_headings_if_there_are_several(pages: dict[str, str], variant: str, n: int) -> None:
    """Each of leaderboard, differences and abilities has a heading per task."""
    page = pages[variant]
    assert page.count(">scenes</h3>") + page.count(">mmbench_dev_en</h3>") == n


def test_only_the_first_aggregation_is_open_and_a_switch_offers_both(pages: dict[str, str]) -> None:
    tags = Parsed(pages["two aggregations"]).tags
    alternatives = [(tag, attrs["data-aggregation"]) for tag, attrs in tags if attrs.get("class") == "alt"]
    assert alternatives == [("div", "circular_micro"), ("details", "row_micro")] * 3
    pressed = {attrs["data-choose"]: attrs["aria-pressed"] for _, attrs in tags if "data-choose" in attrs}
    assert pressed == {"circular_micro": "true", "row_micro": "false"}
    assert '<button type="button" data-choose' not in pages["two runs"]


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("</title><script>alert(1)</script>", "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("{{ 7 * 7 }} {% raw %}", "{{ 7 * 7 }} {% raw %}"),
        ("red\x1b[31m\u202edenrut", "red\\u001b[31m\\u202edenrut"),
        ("a\n\tb", "a b"),
        ("x" * 300, "x" * 199 + "…"),
        ("", ""),
    ],
)
def test_a_title_is_one_line_of_text(title: str, shown: str) -> None:
    page = render_page(content(TWO, title=title))
    assert f"<title>{shown}</title>" in page
    assert f"<h1>{shown}</h1>" in page


def test_runs_whose_names_share_a_prefix_keep_their_own_rows() -> None:
    labels = ("tiny", "tiny-2", "tiny-20")
    cells = [difference(0.01 * (index + 1)) for index in range(3)]
    report = content(
        board(*((label, {"Average": cell}) for label, cell in zip(labels, cells, strict=True))),
        labels=("base", *labels),
    )
    page = render_page(report)
    for label, gain in zip(labels, ("+1.00", "+2.00", "+3.00"), strict=True):
        row = re.search(
            rf'data-label="{label}">\n<tr>\n<th[^>]*>{label}</th>\n<td class="of-run">.*?</tr>',
            page,
            re.DOTALL,
        )
        assert row is not None
        assert f'<span class="value">{gain}' in row.group()
        assert re.search(rf"<p>{label} is better than base on Average: \{gain} points", page)


LONG = "checkpoints/qwen2.5-vl-3b-rotation-lr1e-6-kl0.01-step-"


def test_long_names_are_broken_into_lines_in_every_figure_and_never_cut() -> None:
    labels = (f"{LONG}100", f"{LONG}200")
    two = board(*((label, {"Average": difference()}) for label in labels))
    page = Parsed(render_page(content(two, labels=("base", *labels))))
    assert not any("…" in text for text in page.text)
    joined = "".join(text.strip() for text in page.text)
    assert all(joined.count(label) >= len(COLUMNS) for label in labels)  # a figure per column has the name


@pytest.mark.parametrize(
    "label", ["<img src=x onerror=alert(1)>", '" onload="x', "a]]>b", "&lt;b&gt;", "{{ 1 }}"]
)
def test_a_name_that_is_markup_is_shown_as_it_is_written(label: str) -> None:
    parsed, plain = (
        Parsed(render_page(content(board((name, {"Average": difference()})), labels=("base", name))))
        for name in (label, "plain")
    )
    assert parsed.names == plain.names
    rows = {attrs["data-label"] for tag, attrs in parsed.tags if tag == "tbody" and "data-label" in attrs}
    assert rows == {"base", label}
    assert parsed.text.count(label) >= 2


def test_a_run_without_a_recorded_command_says_so_and_one_with_two_shows_both() -> None:
    two = facts("new", commands=("ssl4rl-bench run --model new", "ssl4rl-bench run --model 'new' --set a=b"))
    page = Parsed(render_page(content(TWO, runs=(facts("base"), two))))
    assert page.text.count("No command was recorded with this run.") == 1
    assert [text for text in page.text if text.startswith("ssl4rl-bench run")] == list(two.commands)


def test_partial_runs_are_told_before_the_numbers_and_beside_their_commands() -> None:
    partial = facts("new", partial=("scenes: limited to 6 of 600 questions",))
    page = render_page(content(TWO, runs=(facts("base"), partial)))
    before, after = page.split("<table", 1)
    assert "<li>new: scenes: limited to 6 of 600 questions</li>" in before
    assert after.count('<span class="tag">partial</span>') == 2  # in the table, and with the command
    assert "Partial runs." not in render_page(content(TWO))


def test_notes_on_a_board_and_on_probes_are_shown_once_each() -> None:
    rows = (PROBES[0], replace(PROBES[1], notes=("The prompts differ.",)))
    report = content(replace(TWO, notes=("The seeds <differ>.",)), probes=rows)
    text = Parsed(render_page(report)).text
    assert text.count("The seeds <differ>.") == text.count("The prompts differ.") == 1


def test_a_maximal_improvement_stands_below_the_table_only_if_there_is_one(pages: dict[str, str]) -> None:
    assert "Maximal improvement" not in pages["two runs"]


def measured(label: str) -> BoardRow:
    cell = BoardCell(0.5, 600, (0.46, 0.54), 0.01, difference())
    return BoardRow(label, "checkpoint", None, (cell,) * 7)


@pytest.mark.parametrize(
    ("extra", "words"), [(0, ""), (1, "1 more run has bars only."), (3, "3 more runs have bars only.")]
)
def test_runs_beyond_the_last_radar_chart_are_counted(extra: int, words: str) -> None:
    labels = [f"run {number}" for number in range(MOST_RADARS + extra)]
    many = replace(TWO, rows=(TWO.rows[0], *map(measured, labels)))
    page = render_page(content(many, labels=("base", *labels)))
    assert page.count(' abilities next to base"') == MOST_RADARS
    assert (words in page) if words else ("bars only" not in page)


def test_a_published_row_has_only_its_numbers() -> None:
    printed = BoardRow("card (published)", "published", None, (BoardCell(0.7299, None, None, None),) * 7)
    page = render_page(content(replace(TWO, rows=(*TWO.rows, printed))))
    heading, body = page.split('<tbody class="published')[1:]
    assert "never tested against the rows above" in heading
    assert re.findall(r'<span class="value">([^<]*)</span>', body.split("</tbody>")[0]) == ["72.99"] * 7
    assert "empty bars are published numbers" in page


def test_a_probe_that_only_some_runs_answered_is_an_own_probe_without_a_table() -> None:
    later = (probe("base"), probe("new", difference()))
    page = render_page(content(TWO, other_probes=later, trained={"new": ("rotation",)}))
    assert ">Own probe</a>" in page and 'id="g-probe"' in page
    assert ">SSL probes</h3>" not in page
    assert ">Own probe</a>" not in render_page(content(TWO, other_probes=later))
