"""The HTML page as text: its parts and their order, its policy, its size, and what hostile texts become in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import recorded
from examples import examples
from html_runs import MadeTask, Parsed, guess, make_run, three_runs
from hypothesis import given, settings
from hypothesis import strategies as st
from xss import PAYLOADS

from ssl4rl_bench import __version__
from ssl4rl_bench.comparison import published
from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.core.errors import StoreError, UsageError
from ssl4rl_bench.reports.board.overview import Overview
from ssl4rl_bench.reports.figures.palette import BETTER, HEX
from ssl4rl_bench.reports.figures.sheet import Sheet
from ssl4rl_bench.reports.html import ReportContent, assemble, render_page, write
from ssl4rl_bench.reports.html.provenance import RunFacts
from ssl4rl_bench.reports.html.samples import PACKED_BUDGET
from ssl4rl_bench.reports.html.verdict import verdict
from ssl4rl_bench.reports.views.base import View

_ATTRIBUTES_WITH_ADDRESSES = {"href", "src", "action", "formaction", "data", "poster", "xlink:href", "srcset"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ReportContent:
    task, runs = three_runs(tmp_path_factory.mktemp("runs"))
    return assemble(
        runs[0],
        runs[1:],
        [{task.name: task}] * 3,
        published=[replace(published.load_published("ssl4rl_mmbench"), benchmark=(task.name,))],
        title="A title",
    )


@pytest.fixture(scope="module")
def page(report: ReportContent) -> str:
    return render_page(report)


def unpacked(report: ReportContent, name: str) -> Any:
    """A part of the samples, as a browser inflates it."""
    assert report.samples is not None
    data = base64.b64decode(dict(report.samples.parts)[name])
    return json.loads(zlib.decompress(data, -zlib.MAX_WBITS))


def test_parts_stand_in_the_order_of_a_reader(page: str) -> None:
    ids = [attrs.get("id") for tag, attrs in Parsed(page).tags if tag == "section"]
    assert ids == ["leaderboard", "differences", "categories", "samples", "glossary", "method"]


def masked(page: str) -> str:
    """The words of a page without what depends on the machine, and without hashes."""
    text = re.sub(r"(?m)^/\S+/(\w+)$", r"RUNS/\1", Parsed(page).words)
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "HASH", text)
    return text.replace(__version__, "VERSION")


def test_the_words_of_a_page_are_as_recorded(page: str) -> None:
    recorded.check("words/page", masked(page))


def test_same_runs_give_the_same_page(report: ReportContent, page: str) -> None:
    assert render_page(report) == page


def test_policy_names_the_script_and_the_style_that_are_there(page: str) -> None:
    parsed = Parsed(page)
    policy = next(
        attrs["content"] for tag, attrs in parsed.tags if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for wanted, kind in (("script", "script-src"), ("style", "style-src")):
        texts = [text for tag, attrs, text in parsed.raw if tag == wanted and "type" not in attrs]
        assert len(texts) == 1
        digest = base64.b64encode(hashlib.sha256(texts[0].encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy


def check_inert(parsed: Parsed) -> None:
    """Nothing in the page acts, and nothing names another file."""
    for tag, attrs in parsed.tags:
        assert tag not in {
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "img",
            "image",
            "audio",
            "video",
            "portal",
        }
        for name, value in attrs.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", tag
            if name in _ATTRIBUTES_WITH_ADDRESSES:
                assert value is not None and (value.startswith("#") or value == "data:,"), (tag, name, value)
    executable = [attrs for tag, attrs, _ in parsed.raw if tag == "script" and "type" not in attrs]
    types = {attrs.get("type") for tag, attrs, _ in parsed.raw if tag == "script"}
    assert len(executable) == 1
    assert types <= {None, "application/json", "text/plain"}


def test_nothing_in_the_page_acts_or_names_another_file(page: str) -> None:
    check_inert(Parsed(page))
    style = next(text for tag, _, text in Parsed(page).raw if tag == "style")
    assert "url(" not in style and "@import" not in style
    assert not re.search(r"https?://", page)


def test_every_number_of_the_board_is_in_the_table(report: ReportContent, page: str) -> None:
    text = " ".join(Parsed(page).text)
    board = report.boards[0][0]
    for row in board.rows:
        for cell in row.cells:
            if cell.value is not None:
                assert f"{100 * cell.value:.2f}" in text
            if cell.ci95 is not None:
                assert f"[{100 * cell.ci95[0]:.2f}, {100 * cell.ci95[1]:.2f}]" in text
    assert "never tested" in text  # published rows are told apart


def test_words_of_the_verdict(report: ReportContent) -> None:
    said = verdict(report.boards[0][0])
    by_label = {finding.label: finding for finding in said.candidates}
    assert (
        by_label["better (mock)"].mark == "better"
        and "is better than base (mock) on Average: +" in by_label["better (mock)"].text
    )
    assert (
        by_label["worse (mock)"].mark == "worse"
        and "is worse than base (mock) on Average: -" in by_label["worse (mock)"].text
    )
    assert all("n = 30" in finding.text and "corrected p" in finding.text for finding in said.candidates)
    assert any(
        "could be read in one of the two runs only" in line for line in by_label["worse (mock)"].details
    )
    assert "2 of 2 comparisons on Average" in said.closing[0]


def test_words_of_the_verdict_on_the_page(page: str) -> None:
    text = "".join(Parsed(page).text)
    assert (
        "better (mock) is better than base (mock) on Average: +" in text
        and "worse (mock) is worse than base (mock) on Average: −" in text
    )


def test_a_difference_that_is_not_shown_says_what_would_have_been_found(tmp_path: Path) -> None:
    task = MadeTask(n_groups=40, n_rolls=1)
    paths = [make_run(tmp_path / name, task, name, guess(name, 0.5)) for name in ("one", "two")]
    runs = load_evaluated(paths)
    said = verdict(assemble(runs[0], runs[1:]).boards[0][0])
    assert "cannot be told apart from one" in said.candidates[0].text
    assert "least difference that would be detected here with 80% power" in said.candidates[0].text
    whole = " ".join(
        [said.opening, *said.closing, *(f.text + " ".join(f.details) for f in said.candidates)]
    ).lower()
    assert "regression" not in whole and "no difference" not in whole and "equal" not in whole


def test_one_run_alone_has_a_page(tmp_path: Path) -> None:
    task = MadeTask(n_groups=6, n_rolls=1)
    runs = load_evaluated([make_run(tmp_path / "one", task, "one", guess("one", 0.5))])
    page = render_page(assemble(runs[0], [], [{task.name: task}]))
    assert "There is no second run to compare it with." in page and re.search(
        r"one \(mock\): \d+\.\d\d%", page
    )
    recorded.check("words/page_of_one_run", masked(page))
    assert 'id="differences"' not in page


def test_partial_runs_are_told(report: ReportContent) -> None:
    facts = replace(report.runs[1], partial=("scenes: limited to 5 of 600 questions",))
    page = render_page(replace(report, runs=(report.runs[0], facts, *report.runs[2:])))
    assert "limited to 5 of 600 questions" in page.split("<table")[0]


def test_command_of_each_run_is_there(page: str) -> None:
    for name in ("base", "better", "worse"):
        assert f"ssl4rl-bench run --model {name}" in page


def test_views_stand_before_the_samples(report: ReportContent) -> None:
    sheet = Sheet(100, 50)
    sheet.text(50, 25, "a < b")
    sheet.marks([(10, 10)], "s", BETTER)
    view = View("transfer", "Transfer", "It is -1.00 points.", ("a", "b"), (("x", "-1.00"),), sheet)
    page = render_page(replace(report, views=(view,)))
    parsed = Parsed(page)
    check_inert(parsed)
    ids = [attrs.get("id") for tag, attrs in parsed.tags if tag == "section"]
    assert ids.index("views") == ids.index("samples") - 1
    assert "It is −1.00 points." in page
    assert sheet.svg("Transfer") in page and "a < b" in parsed.text


def test_the_page_s_style_has_the_palette() -> None:
    style = (files("ssl4rl_bench.reports") / "static" / "page.css").read_text("utf-8")
    light, dark = style.split("prefers-color-scheme: dark")
    for name, colour in HEX.items():
        assert f"--{name}: {colour};" in light and f"--{name}: #" in dark
        assert f".f-{name} {{ fill: var(--{name}); }} .s-{name} {{ stroke: var(--{name}); }}" in style


def test_ids_are_unique(page: str) -> None:
    ids = [attrs["id"] for _, attrs in Parsed(page).tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_samples_hold_every_reply_and_how_it_was_read(report: ReportContent) -> None:
    questions, replies = unpacked(report, "task-0"), unpacked(report, "run-0-2")
    assert len(questions["id"]) == len(replies["text"]) == len(replies["status"]) == 60
    for at, text in enumerate(replies["text"]):
        if "<answer>" in text:
            right = f"<answer>{questions['target'][at]}</answer>" in text
            assert (replies["value"][at], replies["status"][at]) == (float(right), "t")
        else:
            assert (replies["value"][at], replies["answer"][at], replies["status"][at]) == (0.0, None, "n")
    assert "n" in replies["status"]


def test_a_sample_that_asked_something_else_is_not_shown_beside_it(tmp_path: Path) -> None:
    task, other = MadeTask(n_groups=8, n_rolls=1), MadeTask(n_groups=8, n_rolls=1, name="ssl4rl_synthetic")
    one = make_run(tmp_path / "one", task, "one", guess("one", 0.5))
    two = make_run(tmp_path / "two", other, "two", guess("two", 0.5))
    runs = load_evaluated([one, two])
    outcomes = runs[1].outcomes[task.name]
    changed = replace(outcomes, content=("another question", *outcomes.content[1:]))
    runs[1] = replace(runs[1], outcomes={task.name: changed})
    report = assemble(runs[0], runs[1:], [{task.name: task}] * 2)
    assert [text is None for text in unpacked(report, "run-0-1")["text"]] == [True] + [False] * 7


def test_unwritable_page_is_one_line(report: ReportContent, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write .*: no such file"):
        write(report, tmp_path / "none" / "page.html")
    (tmp_path / "page.html").mkdir()
    with pytest.raises(StoreError, match="cannot write"):
        write(report, tmp_path / "page.html")
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_runs_without_a_common_task_are_refused(tmp_path: Path) -> None:
    tasks = [MadeTask(n_groups=4, n_rolls=1, name=f"ssl4rl_{name}") for name in ("a", "b")]
    runs = load_evaluated([make_run(tmp_path / t.name, t, t.name, guess("x", 0.5)) for t in tasks])
    with pytest.raises(UsageError, match="no task in common"):
        assemble(runs[0], runs[1:])


def drawn(text: str) -> Sheet:
    sheet = Sheet(100, 50)
    sheet.text(50, 25, text)
    return sheet


def hostile(report: ReportContent, texts: list[str]) -> ReportContent:
    """The report with a text in every string that a user, a data set or a model can fill."""
    board = report.boards[0][0]
    candidate, printed = board.rows[1], board.rows[-1]
    best = tuple(
        each and replace(each, candidate=texts[at % len(texts)]) for at, each in enumerate(board.improvement)
    )
    board = replace(
        board,
        task=texts[0],
        rows=(
            replace(board.rows[0], label=texts[0]),
            *(replace(candidate, label=text) for text in texts),
            *(replace(printed, label=text) for text in texts),
        ),
        improvement=best,
        notes=tuple(texts),
    )
    facts = tuple(RunFacts(text, (text,), ((text, text),), (text,)) for text in texts)
    views = tuple(View(text, text, text, (text, text), ((text, text),), drawn(text)) for text in texts)
    return replace(
        report,
        title=texts[0],
        boards=((board,),),
        overview=report.overview and hostile_overview(report.overview, texts),
        runs=facts,
        lead=views[:1],
        views=views,
    )


def hostile_overview(overview: Overview, texts: list[str]) -> Overview:
    """The table of benchmarks with a text in every string."""
    columns = tuple(
        replace(column, name=texts[-1], header=texts[-1], title=texts[0]) for column in overview.columns
    )
    rows = (
        replace(overview.rows[0], label=texts[0]),
        *(replace(overview.rows[-1], label=text, engine=text) for text in texts),
    )
    return replace(overview, baseline=texts[0], columns=columns, rows=rows, notes=tuple(texts))


def unrepeated(names: list[str]) -> list[str]:
    """The names of tags; the texts of a figure count once, as a long name has several lines."""
    return [name for before, name in pairwise(["", *names]) if name != "text" or before != "text"]


@pytest.mark.slow
def test_150_payloads_in_every_string_change_no_tag(report: ReportContent) -> None:
    assert len(PAYLOADS) == len(set(PAYLOADS)) == 150
    plain = Parsed(render_page(hostile(report, [f"plain {at}" for at in range(150)])))
    found = Parsed(render_page(hostile(report, list(PAYLOADS))))
    check_inert(found)
    assert unrepeated(found.names) == unrepeated(plain.names)
    attributes = [[set(attrs) for tag, attrs in parsed.tags if tag != "text"] for parsed in (found, plain)]
    assert attributes[0] == attributes[1]


@pytest.fixture(scope="module")
def plain_names(report: ReportContent) -> list[str]:
    return unrepeated(Parsed(render_page(hostile(report, ["plain"]))).names)


@settings(max_examples=examples(15), deadline=None)
@given(text=st.text(max_size=60).map(lambda text: f"{text}x"))
def test_any_text_changes_no_tag(report: ReportContent, plain_names: list[str], text: str) -> None:
    found = Parsed(render_page(hostile(report, [text])))
    assert unrepeated(found.names) == plain_names
    check_inert(found)


def test_payloads_in_samples_come_back_as_they_were(tmp_path: Path) -> None:
    task = MadeTask(n_groups=len(PAYLOADS), n_rolls=1, texts=PAYLOADS)
    paths = [
        make_run(
            tmp_path / name,
            task,
            PAYLOADS[at],
            lambda sample: PAYLOADS[int(sample.group)],
            errors=lambda sample: PAYLOADS[int(sample.group)] if int(sample.group) % 7 == 0 else None,
            argv=PAYLOADS,
        )
        for at, name in enumerate(("one", "<img src=x onerror=window.pwned=1>"))
    ]
    runs = load_evaluated(paths)
    report = assemble(runs[0], runs[1:], [{task.name: task}] * 2, title=PAYLOADS[0])
    parsed = Parsed(render_page(report))
    check_inert(parsed)
    questions, replies = unpacked(report, "task-0"), unpacked(report, "run-0-1")
    for at, group in enumerate(questions["group"]):
        payload = PAYLOADS[int(group)]
        if payload.isascii() and payload.isprintable():
            assert replies["text"][at] == payload
            assert payload in questions["texts"][at][0]
        for text in (replies["text"][at], questions["texts"][at][0]):
            assert all(char in "\n\t" or ord(char) >= 32 for char in text)
            assert not set(text) & set("\u202e\u2028\u2029\ufeff\x7f")


@pytest.mark.slow
def test_eight_runs_of_mmbench_size_are_below_15_megabytes(tmp_path: Path) -> None:
    from random import Random

    task = MadeTask(n_groups=1164, n_rolls=4)
    words = [f"{Random(at).randrange(10**9):x}" for at in range(20_000)]

    def talk(name: str) -> Any:
        def reply(sample: Any) -> str:
            random = Random(f"{name} {sample.id}")
            text = " ".join(random.choice(words) for _ in range(33))[:270]
            return f"<think>{text}</think> <answer>{random.choice('ABCD')}</answer>"

        return reply

    paths = [make_run(tmp_path / f"run-{at}", task, f"model-{at}", talk(f"model-{at}")) for at in range(8)]
    runs = load_evaluated(paths)
    report = assemble(runs[0], runs[1:], [{task.name: task}] * 8)
    write(report, tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 15_000_000
    assert report.samples is not None and not any(
        "The middle of replies" in note for note in report.samples.notes
    )
    assert all(300 <= len(text) <= 330 for text in unpacked(report, "run-0-7")["text"])
    assert sum(len(text) for name, text in report.samples.parts if name.startswith("run")) < PACKED_BUDGET
