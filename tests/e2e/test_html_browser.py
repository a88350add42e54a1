"""The HTML page in a real browser: nothing hostile runs, nothing leaves the page, and everything on it works."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from html_runs import MadeTask, guess, make_run, three_runs
from many_tasks import many, some
from test_cli_gate import POLICY, asked, invoke
from test_html_page import hostile
from xss import PAYLOADS

from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.reports.html import assemble, write
from ssl4rl_bench.reports.html.report import ReportContent

pytestmark = pytest.mark.engine

_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Visit:
    """A page in the browser, and what it did beside being shown."""

    page: Any
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """Console messages, errors, and violations of the policy."""

    def check_quiet(self) -> None:
        """No script of a payload ran, no request left the page, no policy was violated, no error was told."""
        assert self.page.evaluate("window.pwned") is None
        assert [url for url in self.requests if not url.startswith(("file:", "data:"))] == []
        assert len([url for url in self.requests if url.startswith("file:")]) == 1
        assert self.said == []

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).inner_text())

    def settle(self) -> None:
        """Waits until the sample browser shows a sample."""
        self.page.wait_for_selector("#s-card .reply")


Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "install Debian's chromium (apt-get install chromium)"
    flags = [*_FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    contexts = []

    def go(path: Path, fragment: str = "", **options: Any) -> Visit:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        made = Visit(page)
        page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('policy', e.violatedDirective, e.sample))"
        )
        page.on("request", lambda request: made.requests.append(request.url))
        page.on("console", lambda message: made.said.append(message.text))
        page.on("pageerror", lambda error: made.said.append(str(error)))
        page.on("dialog", lambda dialog: made.said.append(f"dialog {dialog.message}") or dialog.dismiss())
        page.goto(path.as_uri() + fragment)
        return made

    yield go
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of three plain runs."""
    root = tmp_path_factory.mktemp("plain")
    task, runs = three_runs(root, n_groups=60)
    write(assemble(runs[0], runs[1:], [{task.name: task}] * 3), root / "page.html")
    return root / "page.html"


@pytest.fixture(scope="module")
def hostile_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with the 150 payloads in every string, in samples, runs, boards, notes, views and commands."""
    root = tmp_path_factory.mktemp("hostile")
    task = MadeTask(n_groups=len(PAYLOADS), n_rolls=1, texts=PAYLOADS)
    paths = [
        make_run(
            root / name,
            task,
            model,
            lambda sample: PAYLOADS[int(sample.group)],
            errors=lambda sample: PAYLOADS[int(sample.group)] if int(sample.group) % 7 == 0 else None,
            argv=PAYLOADS,
        )
        for name, model in (("one", PAYLOADS[0]), ("<img src=x onerror=window.pwned=1>", PAYLOADS[17]))
    ]
    runs = load_evaluated(paths)
    report = hostile(assemble(runs[0], runs[1:], [{task.name: task}] * 2), list(PAYLOADS))
    write(report, root / "page.html")
    return root / "page.html"


def column(visit: Visit, number: int) -> list[str]:
    """A column of the first leaderboard, top to bottom."""
    cells = visit.page.locator(
        f".alt:not([hidden]) table.board tbody.run[data-label] tr:first-child > :nth-child({number})"
    ).all()
    return [cell.get_attribute("data-value") for cell in cells]


def test_payloads_do_nothing_wherever_they_stand(visit: Open, hostile_place: Path) -> None:
    here = visit(hostile_place, "#task=synthetic&show=all")
    here.settle()
    page = here.page
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    steps = """n => {
        for (let step = 0; step < n; step++) {
            document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'j', bubbles: true }));
            for (const part of document.querySelectorAll('#s-card details')) part.open = true;
        }
    }"""
    page.evaluate(steps, len(PAYLOADS))
    assert page.input_value("#s-at") == str(len(PAYLOADS))
    for number in range(0, page.locator("#s-place option").count(), 15):
        page.select_option("#s-place", index=number)
    page.select_option("#s-place", index=0)
    page.fill("#s-text", "<script>")
    assert int(here.text("#s-count")) > 20
    page.locator("thead .sorter").first.click()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#s-card script, #s-card iframe, #s-card svg, #s-card a, #s-card form").count() == 0
    here.check_quiet()


def test_hostile_fragments_do_nothing(visit: Open, place: Path) -> None:
    for payload in PAYLOADS[:40:4]:
        here = visit(place, "#" + payload.replace("\x00", ""))
        here.settle()
        here.check_quiet()
    here = visit(place, "#sample=%3Cimg%20src%3Dx%3E&task=synthetic&a=__proto__&b=constructor")
    here.settle()
    assert "not in this file" in here.text("#s-said")
    here.check_quiet()


def test_sorting_by_any_column(visit: Open, place: Path) -> None:
    here = visit(place)
    heads = here.page.locator(".alt:not([hidden]) table.board thead th")
    sortable = [number for number in range(heads.count()) if heads.nth(number).locator(".sorter").count()]
    assert len(sortable) == heads.count() - 1  # all but the two parts of a difference
    for number in sortable:
        button = heads.nth(number).locator(".sorter")
        button.click()
        first = heads.nth(number).get_attribute("aria-sort")
        values = column(here, number + 1)
        button.click()
        assert {first, heads.nth(number).get_attribute("aria-sort")} == {"ascending", "descending"}
        assert sorted(values) == sorted(column(here, number + 1))
        if number > 0:
            numbers = [float(value) for value in values if value]
            assert numbers == sorted(numbers, reverse=first == "descending")
    orders = [head.get_attribute("aria-sort") for head in heads.all()]
    assert len([order for order in orders if order in ("ascending", "descending")]) == 1
    here.check_quiet()


def test_the_sentences_behind_a_row_fold_out_and_stay_with_it(visit: Open, place: Path) -> None:
    here = visit(place)
    table = here.page.locator(".alt:not([hidden]) table.board")
    run = table.locator('tbody[data-label="worse (mock)"]')
    words = run.get_by_text("is worse than base (mock) on Average")
    button = run.get_by_role("button", name="in words")
    assert not words.is_visible() and button.get_attribute("aria-expanded") == "false"
    button.focus()
    here.page.keyboard.press("Enter")
    assert words.is_visible() and button.get_attribute("aria-expanded") == "true"
    table.locator("thead .sorter").first.click()
    assert words.is_visible()
    here.page.keyboard.press("Tab")
    button.click()
    assert not words.is_visible()
    here.check_quiet()


HUB = ["Qwen/Qwen2.5-VL-3B-Instruct", *(f"PKU-ML/SSL4RL-MMBench-Rotation{at}-3B" for at in range(7))]
LONG = [
    f"{word * 4}-rlvr-qwen2.5-vl-3b-lr1e-6-kl0.01-step-100-of-{word}"
    for word in ("ab", "cd", "ef", "gh", "ij", "kl")
]


def many_runs(folder: Path, names: Sequence[str]) -> Path:
    """A page of runs with these names."""
    task = MadeTask(n_groups=6, n_rolls=1)
    paths = [
        make_run(folder / str(at), task, name, guess(name, 0.1 * at + 0.1)) for at, name in enumerate(names)
    ]
    runs = load_evaluated(paths)
    write(assemble(runs[0], runs[1:]), folder / "page.html")
    return folder / "page.html"


def test_search_hides_other_runs(visit: Open, tmp_path: Path) -> None:
    here = visit(many_runs(tmp_path, HUB))
    here.page.fill("#search", "ROTATION3")
    shown = here.page.locator(".alt:not([hidden]) table.board tbody.run[data-label]:visible")
    assert [row.get_attribute("data-label") for row in shown.all()] == ["Rotation3 (mock)"]
    assert here.page.locator("#said").text_content() == "1 run found."
    here.page.fill("#search", "")
    assert shown.count() == 8
    here.check_quiet()


_HIDDEN_RIGHT = """() => [...document.querySelectorAll('.alt:not([hidden]) table.board tbody.run th, '
  + '.alt:not([hidden]) table.board tbody.run td')].filter((cell) => cell.getClientRects().length
  && cell.getBoundingClientRect().right > document.documentElement.clientWidth + 1).length"""


@pytest.mark.parametrize("names", [HUB, LONG], ids=["hub", "long"])
def test_the_whole_leaderboard_is_in_view_at_any_width(
    visit: Open, tmp_path: Path, names: Sequence[str]
) -> None:
    here = visit(many_runs(tmp_path, names))
    for width in (360, 512, 768, 1007, 1024, 1200, 1376, 1440, 1600, 1920):
        here.page.set_viewport_size({"width": width, "height": 1080})
        assert (width, here.page.evaluate(_HIDDEN_RIGHT)) == (width, 0)
        assert here.page.locator("#h-leaderboard").bounding_box()["y"] < 250
        assert here.page.locator("table.board thead").first.is_visible() is (width >= 1008)
    end = here.page.locator(".alt:not([hidden]) table.board tbody.run[data-label]").last.bounding_box()
    assert end["y"] + end["height"] < 1080  # the runs are on the first screen
    here.page.emulate_media(media="print")
    here.page.set_viewport_size(
        {"width": 1047, "height": 720}
    )  # the width of A4 in landscape, with its margins
    assert here.page.evaluate(_HIDDEN_RIGHT) == 0


def test_names_are_shortened_and_full_on_hover_in_print_and_for_readers(visit: Open, tmp_path: Path) -> None:
    here = visit(many_runs(tmp_path, HUB))
    name = here.page.locator("table.board .run-name", has_text="Rotation0").first
    full = "PKU-ML/SSL4RL-MMBench-Rotation0-3B (mock)"
    assert name.get_attribute("title") == full
    assert here.page.get_by_role("rowheader", name=full).count() == 1
    assert name.locator(".full").bounding_box()["width"] <= 1
    here.page.emulate_media(media="print")
    assert name.locator(".full").bounding_box()["width"] > 50
    here.check_quiet()


def test_aggregation_switch(visit: Open, place: Path) -> None:
    here = visit(place)
    before = here.text("#leaderboard table.board:visible")
    here.page.get_by_role("button", name="Copies alike").click()
    assert here.page.locator("#leaderboard table.board:visible").count() == 1
    assert here.text("#leaderboard table.board:visible") != before
    assert here.page.locator("#leaderboard [aria-pressed=true]").count() == 1
    visible = here.page.locator(".alt:visible").all()
    assert {part.get_attribute("data-aggregation") for part in visible} == {"row_micro"}
    here.check_quiet()


def several_benchmarks() -> ReportContent:
    """The content of a page on questions that are asked once, pairs, and cycles that are published by row."""

    def run(label: str, right: int) -> Evaluated:
        sizes = {"plain": 1, "pairs": 2, "cycles": 4}
        return many(
            label,
            {name: np.repeat(some(40, right), size) for name, size in sizes.items()},
            copies=sizes,
            rolls={"pairs": np.zeros(80)},
            headlines={"cycles": "row_micro"},
        )

    return assemble(run("base", 20), [run("new", 36)], averages=["plain,pairs"])


def test_benchmarks_open_as_published_and_headers_lead_to_them(visit: Open, tmp_path: Path) -> None:
    write(several_benchmarks(), tmp_path / "page.html")
    here = visit(tmp_path / "page.html")
    shown = "#leaderboard .alt:not([hidden]) .caption code"
    assert here.page.locator(shown).all_inner_texts() == ["circular_micro", "circular_micro", "row_micro"]
    here.page.get_by_role("button", name="Every copy right").click()
    assert here.page.locator(shown).all_inner_texts() == ["circular_micro"] * 3
    here.page.get_by_role("button", name="First copy only").click()
    assert here.page.locator(shown).all_inner_texts() == ["circular_micro", "row_micro", "vanilla0_micro"]
    assert here.page.locator("[aria-pressed=true]").count() == 1
    here.page.get_by_role("button", name="As published").click()
    assert here.page.locator(shown).all_inner_texts() == ["circular_micro", "circular_micro", "row_micro"]
    here.page.locator("#overview").get_by_role("link", name="cycles").click()
    assert here.page.evaluate("document.querySelector(location.hash).textContent") == "cycles"
    here.check_quiet()


def test_payloads_do_nothing_in_the_table_of_benchmarks(visit: Open, tmp_path: Path) -> None:
    write(hostile(several_benchmarks(), list(PAYLOADS)), tmp_path / "page.html")
    visit(tmp_path / "page.html").check_quiet()


def test_all_numbers_are_there_without_javascript(visit: Open, place: Path) -> None:
    here = visit(place, java_script_enabled=False)
    page = here.page
    assert page.locator("#leaderboard table.board").first.is_visible()
    assert page.locator("#differences table.heat").first.is_visible()
    assert page.locator("#leaderboard .behind summary").first.is_visible()
    page.locator("#leaderboard details.alt summary").first.click()
    assert page.locator("#leaderboard table.board:visible").count() == 2
    assert page.get_by_text("The sample browser needs JavaScript").is_visible()
    assert not page.locator("#browser").is_visible() and not page.locator(".sorter").first.is_visible()


@pytest.mark.parametrize("width", [360, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_and_contrasts(visit: Open, place: Path, width: int, scheme: str) -> None:
    here = visit(place, viewport={"width": width, "height": 900}, color_scheme=scheme)
    here.settle()
    assert here.page.evaluate("document.documentElement.scrollWidth") <= width
    here.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert here.page.evaluate("document.documentElement.scrollWidth") <= width
    assert here.page.evaluate(_CONTRAST) == []
    here.check_quiet()


def test_everything_is_reached_by_keyboard(visit: Open, place: Path) -> None:
    here = visit(place)
    here.settle()
    here.page.keyboard.press("Tab")
    assert here.page.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(400):
        here.page.keyboard.press("Tab")
        name = here.page.evaluate("document.activeElement.id || document.activeElement.dataset.choose || ''")
        if name == "s-link":
            break
        seen.add(name)
    assert {"row_micro", "s-task", "s-show", "s-next"} <= seen
    unnamed = here.page.evaluate(
        "[...document.querySelectorAll('button, select, input')].filter(each => !each.textContent.trim()"
        " && !each.labels?.length && !each.getAttribute('aria-label')).map(each => each.outerHTML)"
    )
    assert unnamed == []


def test_print_opens_everything(visit: Open, place: Path) -> None:
    here = visit(place)
    here.settle()
    here.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert here.page.locator("details:not([open])").count() == 0
    here.page.emulate_media(media="print")
    assert not here.page.locator(".controls").is_visible() and not here.page.locator("#samples").is_visible()
    here.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert here.page.locator("details:not([open])").count() > 0


def test_a_page_of_one_run_works(visit: Open, tmp_path: Path) -> None:
    task = MadeTask(n_groups=6, n_rolls=1)
    runs = load_evaluated([make_run(tmp_path / "one", task, "one", guess("one", 0.5))])
    report = assemble(runs[0], [], [{task.name: task}], aggregations=["circular_micro"])
    write(report, tmp_path / "page.html")
    here = visit(tmp_path / "page.html")
    here.settle()
    assert here.page.locator("#s-card .reply").count() == 1
    here.check_quiet()
    write(replace(report, samples=None), tmp_path / "page.html")
    visit(tmp_path / "page.html").check_quiet()


_CONTRAST = """() => {
  // WCAG 2 contrast of every element with text of its own, over the nearest background that is painted.
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const bad = new Set();
  for (const element of document.querySelectorAll('body *')) {
    if (element.closest('[hidden], .hidden, .skip, script, [aria-hidden=true]')) continue;
    if (!element.getClientRects().length) continue;
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
    const inside = element instanceof SVGElement;
    const style = getComputedStyle(element);
    const ink = parse(inside ? style.fill : style.color);
    let at = inside ? element.closest('svg').parentElement : element;
    let paper = [255, 255, 255];
    for (; at; at = at.parentElement) {
      const found = parse(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) { paper = found; break; }
    }
    const [one, two] = [light(ink), light(paper)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) bad.add(`${element.tagName}.${element.getAttribute('class')} ${ratio.toFixed(2)}`);
  }
  return [...bad];
}"""


def test_the_gates_page_says_its_verdict_first(visit: Open, tmp_path: Path) -> None:
    for name, behaviour in (("gold", "gold"), ("bad", "constant:B")):
        mock = ("--engine", "mock", "--mock", behaviour, "--tasks", "scenes", "--limit", 60)
        invoke("run", "--model", name, *mock, "--out", tmp_path / name)
    (tmp_path / "gate.toml").write_text(POLICY.format(margin=15))
    invoke(*asked(tmp_path, "bad"), "--html", tmp_path / "gate.html", code=1)
    here = visit(tmp_path / "gate.html")
    assert here.text("h1").startswith("FAIL: rule ") and "bad (mock) against gold (mock)" in here.text("h1")
    sections = [each.get_attribute("id") for each in here.page.locator("main > section").all()]
    assert sections[0] == "lead-1" and "leaderboard" in sections
    rules = here.text("#lead-1")
    assert "at most 15 points worse" in rules and "not significantly worse" in rules
    assert "✗" in here.page.evaluate(
        "getComputedStyle(document.querySelector('.verdict.fail'), '::before').content"
    )
    here.page.locator(".lead summary").click()  # there are many
    here.page.locator(".lead a[href*='sample=']").first.click()
    here.page.wait_for_function("() => document.getElementById('s-show').value === 'lost'")
    assert int(here.text("#s-count")) > 0 and here.text("#s-said") == ""
    here.check_quiet()
