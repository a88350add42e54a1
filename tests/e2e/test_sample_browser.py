"""The sample browser in a real browser: what it opens on and counts, its URL, its keys, and its pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from html_runs import MadeTask, guess, make_run, three_runs
from test_html_browser import Open, Visit
from test_html_browser import browser as browser  # noqa: PLC0414
from test_html_browser import visit as visit  # noqa: PLC0414

from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.core.types import Sample
from ssl4rl_bench.reports.html import assemble, write
from ssl4rl_bench.reports.html.report import ReportContent
from ssl4rl_bench.task.registry import load_task

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReportContent, Path]:
    """A page of a baseline, a better run and a worse one, with 60 questions in two copies."""
    root = tmp_path_factory.mktemp("three")
    task, runs = three_runs(root, n_groups=60)
    report = assemble(runs[0], runs[1:], [{task.name: task}] * 3)
    write(report, root / "page.html")
    return report, root / "page.html"


def link(**wanted: str) -> str:
    return "#" + urlencode({"task": "synthetic", "a": "base (mock)", "b": "worse (mock)"} | wanted)


def opened(visit: Open, path: Path, fragment: str = "") -> Visit:
    here = visit(path, fragment)
    here.settle()
    return here


def count(here: Visit) -> int:
    return int(here.text("#s-count"))


def chosen(here: Visit) -> dict[str, str]:
    """The choice in each menu, and the sample shown."""
    menus = ("task", "a", "b", "show", "place", "by", "sort", "text")
    script = """name => {
        const menu = document.getElementById('s-' + name);
        return menu.selectedOptions ? menu.selectedOptions[0].text : menu.value;
    }"""
    return {name: here.page.evaluate(script, name) for name in menus} | {"where": here.text("#s-card .where")}


def test_it_opens_on_what_flipped_in_the_best_run(visit: Open, three: tuple[ReportContent, Path]) -> None:
    report, path = three
    here = opened(visit, path)
    menus = chosen(here)
    assert (menus["a"], menus["b"]) == ("base (mock)", "better (mock)")
    assert menus["show"] == "Flipped, either way"
    difference = report.boards[0][0].rows[1].cells[-1].difference
    assert difference is not None
    assert count(here) == difference.gained + difference.lost > 0
    assert here.text("#s-unit").startswith("60 questions, 120 copies. A question is right if every copy")
    assert here.text("#s-sum") == f"{count(here)} questions, {2 * count(here)} copies"
    assert here.page.evaluate("location.hash") == ""
    assert here.page.evaluate("scrollY") == 0
    here.check_quiet()


@pytest.mark.parametrize("aggregation", ["circular_micro", "row_micro"])
def test_a_cell_leads_to_as_many_questions_as_it_says(
    visit: Open, three: tuple[ReportContent, Path], aggregation: str
) -> None:
    report, path = three
    (board,) = [board for board in report.boards[0] if board.aggregation == aggregation]
    here = opened(visit, path)
    shown = 0
    for row in board.rows[1:]:
        for column, cell in zip(board.columns, row.cells, strict=True):
            difference = cell.difference
            if difference is None:
                continue
            for show, n in (("lost", difference.lost), ("gained", difference.gained)):
                wanted = {"b": row.label, "show": show, "count": aggregation}
                if column.level != "overall":
                    wanted |= {"level": column.level, "category": column.name}
                here.page.evaluate("hash => { location.hash = hash; }", link(**wanted))
                here.page.wait_for_function("n => document.getElementById('s-count').value === n", arg=str(n))
                shown += n
    assert shown > 50
    here.check_quiet()


def test_a_red_cell_of_the_table_opens_the_questions_that_were_lost(
    visit: Open, three: tuple[ReportContent, Path]
) -> None:
    report, path = three
    here = opened(visit, path)
    worse = report.boards[0][0].rows[2]
    for column, cell in zip(report.boards[0][0].columns, worse.cells, strict=True):
        if cell.difference is None or cell.mark != "worse":
            continue
        what = "questions" if column.level == "overall" else f"questions of {column.header}"
        here.page.get_by_role("link", name=f"{what} that {worse.label} lost").first.click()
        here.page.wait_for_function(
            "n => document.getElementById('s-count').value === n", arg=str(cell.difference.lost)
        )
        assert chosen(here)["show"] == "Lost: A right, B wrong"
        assert here.page.evaluate("document.activeElement.id") == "s-card"
        assert here.page.locator("#s-card").bounding_box()["y"] < 900  # it is in view
        here.page.go_back()
        here.page.wait_for_function("() => scrollY < 500")
    here.check_quiet()


def test_the_copy_that_flipped_is_shown_and_the_others_are_beside_it(
    visit: Open, three: tuple[ReportContent, Path]
) -> None:
    here = opened(visit, three[1], link(show="lost"))
    lines = here.page.locator("#s-card .reply .verdict-line")
    for _ in range(5):
        assert here.text("#s-card .states").split() == ["A", "right", "B", "wrong"]
        assert lines.nth(0).inner_text().startswith("✓ Right") and lines.nth(1).inner_text().startswith(
            "✗ Wrong"
        )
        assert here.page.locator("#s-card .tabs button").count() == 2
        here.page.keyboard.press("j")
    assert here.page.input_value("#s-at") == "6"
    here.page.keyboard.press("k")
    assert here.page.input_value("#s-at") == "5"
    top = here.page.evaluate("scrollY")
    for _ in range(30):  # the list follows, the page does not move
        here.page.keyboard.press("j")
    in_view = """item => {
        const box = document.getElementById('s-list-box').getBoundingClientRect();
        const { top, bottom } = item.getBoundingClientRect();
        return top >= box.top && bottom <= box.bottom + 1;
    }"""
    assert here.page.locator("#s-list [aria-current]").evaluate(in_view)
    assert here.page.evaluate("scrollY") == top > 0
    here.page.locator("#s-card .tabs button").nth(1).click()
    assert here.page.locator("#s-card .tabs [aria-current]").inner_text().startswith("2")
    here.page.keyboard.press("ArrowLeft")
    assert here.page.evaluate("document.activeElement.innerText").startswith("1")
    here.page.locator("#s-list button").first.click()
    here.page.keyboard.press("ArrowDown")
    assert here.page.input_value("#s-at") == "2"
    assert here.page.evaluate("document.activeElement.parentElement.parentElement.id") == "s-list"
    here.check_quiet()


def test_every_choice_is_in_the_address_and_back_undoes_it(
    visit: Open, three: tuple[ReportContent, Path]
) -> None:
    path = three[1]
    here = opened(visit, path)
    page = here.page
    views = [chosen(here)]
    for select, label in (
        ("#s-b", "worse (mock)"), ("#s-show", "B has an unread reply"), ("#s-place", "– ocr"),
        ("#s-by", "Copies alike"), ("#s-sort", "Most copies that differ"),
    ):  # fmt: skip
        page.select_option(select, label=label)
        views.append(chosen(here))
    page.fill("#s-text", "question 1")
    page.keyboard.press("Tab")
    page.click("#s-next")
    views.append(chosen(here))
    assert "no answer found" in page.locator("#s-card .reply .verdict-line").nth(1).inner_text()
    assert len({str(view) for view in views}) == len(views)
    address = page.evaluate("location.hash")
    assert page.locator("#s-link").get_attribute("href") == address
    assert chosen(opened(visit, path, address)) == views[-1]
    for view in reversed(views[:-1]):
        page.go_back()
        page.wait_for_function(
            "text => document.querySelector('#s-card .where').innerText === text", arg=view["where"]
        )
        assert chosen(here) == view
    page.go_forward()
    page.wait_for_function("() => document.getElementById('s-b').selectedOptions[0].text === 'worse (mock)'")
    here.check_quiet()


def test_a_link_to_what_is_not_in_the_file_is_one_sentence(
    visit: Open, three: tuple[ReportContent, Path]
) -> None:
    here = opened(visit, three[1])
    for wanted, words in (
        ({"task": "nothing"}, "The link names the task nothing, which is not in this file."),
        ({"b": "gone"}, "The b of the link, gone, is not in this file."),
        ({"show": "__proto__"}, "The show of the link, __proto__, is not in this file."),
        ({"category": "juggling"}, "The category of the link, juggling, is not in this file."),
        ({"count": "by_luck"}, "The count of the link, by_luck, is not in this file."),
        ({"sample": "77777"}, "The sample of the link is not in this file."),
        ({"sample": "0", "text": "no such words"}, "is not among those that its filters list"),
    ):
        here.page.evaluate("hash => { location.hash = hash; }", link(**wanted))
        here.page.wait_for_function(
            "words => document.getElementById('s-said').textContent.includes(words)", arg=words
        )
    here.check_quiet()


def test_no_question_is_like_this(visit: Open, three: tuple[ReportContent, Path]) -> None:
    here = opened(visit, three[1], link(show="all"))
    assert count(here) == 60
    here.page.fill("#s-text", "no reply has these words")
    assert (count(here), here.text("#s-sum")) == (0, "No question is like this.")
    here.page.fill("#s-text", "1000004")
    assert count(here) == 1
    assert here.page.locator("#s-card .tabs [aria-current]").inner_text().startswith("2")
    here.check_quiet()


def test_a_single_run_opens_on_what_is_wrong(visit: Open, tmp_path: Path) -> None:
    task = MadeTask(n_groups=8, n_rolls=1)
    runs = load_evaluated([make_run(tmp_path / "one", task, "one", guess("one", 0.5))])
    write(assemble(runs[0], [], [{task.name: task}]), tmp_path / "page.html")
    here = opened(visit, tmp_path / "page.html")
    assert chosen(here)["show"] == "A is wrong"
    assert here.page.locator("#s-card .reply").count() == 1
    assert here.page.locator("#s-card .tabs").count() == 0
    assert not here.page.locator("#s-b").is_visible()
    here.check_quiet()


@pytest.fixture(scope="module")
def jigsaw(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A page of two runs on six jigsaw puzzles: a right one, and one that swaps pieces or gives no order."""
    root = tmp_path_factory.mktemp("jigsaw")
    task: Any = load_task("ssl_jigsaw_2x2", limit=6)

    def swapped(sample: Sample) -> str:
        first, second, *rest = sample.target.split(",")
        orders = [",".join([second, first, *rest]), "purple"]
        return f"<answer>{orders[task.samples.index(sample) % 2]}</answer>"

    def right(sample: Sample) -> str:
        return f"<answer>{sample.target}</answer>"

    repliers: list[tuple[str, Callable[[Sample], str]]] = [("right", right), ("swapped", swapped)]
    runs = load_evaluated([make_run(root / name, task, name, reply) for name, reply in repliers])
    write(assemble(runs[0], runs[1:], [{task.name: task}] * 2, allow=["partial"]), root / "page.html")
    return task, root / "page.html"


def test_pieces_have_the_numbers_of_the_prompt(visit: Open, jigsaw: tuple[Any, Path]) -> None:
    task, path = jigsaw
    here = opened(visit, path)
    sample = task.samples[0]
    page = here.page
    grids = page.locator("#s-card .grid")
    texts = [grids.nth(number).inner_text().split() for number in range(grids.count())]
    order = sample.target.split(",")
    assert texts[:3] == [["1", "2", "3", "4"], order, order]
    assert texts[3] == [order[1], order[0], *order[2:]]
    sources = "grid => [...grid.querySelectorAll('img')].map(image => image.src)"
    shown, put_together = (grids.nth(number).evaluate(sources) for number in (0, 1))
    assert len(set(shown)) == 4
    assert put_together == [shown[int(piece) - 1] for piece in order]
    page.locator("#s-card details.prompt summary").click()
    prompt = page.locator("#s-card details.prompt pre").all_inner_texts()
    assert prompt == [sample.text()]
    page.keyboard.press("j")
    assert "tag found, not a valid answer" in page.locator("#s-card .reply").nth(1).inner_text()
    assert page.locator("#s-card details.prompt[open]").count() == 1  # it stays open
    here.check_quiet()


def test_a_picture_opens_large_and_closes_by_key(visit: Open, jigsaw: tuple[Any, Path]) -> None:
    here = opened(visit, jigsaw[1])
    page = here.page
    piece = page.get_by_role("button", name="Piece 2: show it large")
    width = piece.locator("img").bounding_box()["width"]
    piece.focus()
    page.keyboard.press("Enter")
    large = page.locator("#s-large img")
    assert large.bounding_box()["width"] > 2 * width
    assert here.text("#s-large-text").startswith("Piece 2, ")
    page.keyboard.press("j")  # nothing moves below an open picture
    page.keyboard.press("Escape")
    assert not page.locator("#s-large").is_visible()
    assert page.input_value("#s-at") == "1"
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Piece 2: show it large"
    here.check_quiet()
