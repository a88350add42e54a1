"""The samples of a page: failed requests, reasoning, hostile texts, long replies, and data that is missing."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from html_runs import MadeTask, guess, make_run

from ssl4rl_bench.comparison.load import load_evaluated
from ssl4rl_bench.comparison.pairing import Evaluated
from ssl4rl_bench.core.types import Sample
from ssl4rl_bench.reports.html import ReportContent, assemble, render_page, samples
from ssl4rl_bench.reports.html.text import shortened, visible

TASK = MadeTask(n_groups=4, n_rolls=1, texts=("plain", "</script>\x1b[31m\u202e"))


def failing(sample: Sample) -> str | None:
    return "HTTP 500\x07" if sample.id == "2" else None


def long(sample: Sample) -> str:
    return f"{'word ' * 400}<answer>{sample.target}</answer>"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Evaluated]:
    """A run with a failed request, and a right run of long replies after reasoning."""
    root = tmp_path_factory.mktemp("samples")
    rough = make_run(root / "rough", TASK, "rough", guess("rough", 1.0), errors=failing)
    wordy = make_run(root / "wordy", TASK, "wordy", long, reasoning=lambda sample: f"think {sample.id}\x00")
    return load_evaluated([rough, wordy])


def content(runs: list[Evaluated], *loaded: dict[str, MadeTask]) -> ReportContent:
    return assemble(runs[0], runs[1:], loaded or [{TASK.name: TASK}] * 2, aggregations=["circular_micro"])


def part(report: ReportContent, name: str) -> Any:
    assert report.samples is not None
    data = base64.b64decode(dict(report.samples.parts)[name])
    return json.loads(zlib.decompress(data, -zlib.MAX_WBITS))


def test_a_failed_request_shows_its_error_and_has_no_value(runs: list[Evaluated]) -> None:
    replies = part(content(runs), "run-0-0")
    assert replies["text"][2] == "HTTP 500\N{SYMBOL FOR BELL}"
    assert (replies["status"], replies["value"]) == ("ttet", [1.0, 1.0, None, 1.0])
    assert replies["answer"][2] is None
    assert replies["reasoning"] == {}


def test_reasoning_is_kept_apart_from_the_reply_by_the_number_of_its_sample(runs: list[Evaluated]) -> None:
    replies = part(content(runs), "run-0-1")
    assert replies["reasoning"] == {str(index): f"think {index}␀" for index in range(4)}
    assert not any("think" in text for text in replies["text"])


def test_hostile_texts_of_questions_are_visible_and_end_no_script(runs: list[Evaluated]) -> None:
    report = content(runs)
    questions = part(report, "task-0")
    assert [text[0].split("? ")[1] for text in questions["texts"][:2]] == ["plain", "</script>␛[31m⟨202E⟩"]
    assert questions["texts"][1][2][0] == ["A", "option A </script>␛[31m⟨202E⟩"]
    page = render_page(report)
    assert "\x1b" not in page
    assert page.count("<script") == page.count("</script>")


def test_each_sample_names_its_target_place_and_pictures(runs: list[Evaluated]) -> None:
    questions = part(content(runs), "task-0")
    assert questions["id"] == questions["group"] == ["0", "1", "2", "3"]
    assert questions["roll"] == [0] * 4
    assert questions["target"] == [sample.target for sample in TASK.samples]
    assert [questions["places"][index][1] for index in questions["place"]] == [
        sample.categories.l2 for sample in TASK.samples
    ]
    assert questions["images"] == [[0], [1], [2], [3]]


@pytest.mark.parametrize(
    ("budget", "packed", "most"),
    [(40_000, 10**9, 5000), (8_000, 10**9, 1000), (8_000, 1, 300), (8, 10**9, 300)],
)
def test_replies_share_the_space_of_a_page_and_keep_both_ends(
    runs: list[Evaluated], budget: int, packed: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight replies: each may have an eighth of the budget, but never less than 300 characters."""
    monkeypatch.setattr(samples, "TEXT_BUDGET", budget)
    monkeypatch.setattr(samples, "PACKED_BUDGET", packed)
    report = content(runs)
    whole = [long(sample) for sample in TASK.samples]
    assert part(report, "run-0-1")["text"] == [shortened(text, most) for text in whole]
    assert report.samples is not None
    told = f"The middle of replies longer than {most:,} characters is left out." in report.samples.notes
    assert told == (most < len(whole[0]))
    assert all(text.endswith("</answer>") for text in part(report, "run-0-1")["text"])


def test_a_run_whose_data_cannot_be_loaded_has_no_replies_and_the_others_stay(runs: list[Evaluated]) -> None:
    report = content(runs, {TASK.name: TASK}, {})
    assert report.samples is not None
    (entry,) = report.samples.index["tasks"]
    assert (entry["name"], entry["runs"], entry["best"]) == ("synthetic", [True, False], 0)
    assert report.samples.notes == ("wordy (mock): no replies to synthetic here.",)
    assert [name for name, _ in report.samples.parts] == ["task-0", "run-0-0"]


def test_without_the_baseline_s_data_no_sample_is_shown_and_the_numbers_stay(runs: list[Evaluated]) -> None:
    report = content(runs, {}, {TASK.name: TASK})
    assert report.samples is not None
    assert (report.samples.parts, report.samples.index["tasks"]) == ((), [])
    assert report.samples.notes == ("The data of synthetic could not be loaded again: no samples are shown.",)
    assert "could not be loaded again" in render_page(report)
    assert report.boards[0][0].rows[1].cells[-1].value == 1.0


def test_a_journal_that_is_gone_is_no_reply(runs: list[Evaluated], tmp_path: Path) -> None:
    copy = make_run(tmp_path / "copy", TASK, "copy", guess("copy", 1.0))
    (copied,) = load_evaluated([copy])
    (copy / "journal" / f"{TASK.name}.jsonl").write_text("")
    replies = part(content([runs[0], copied]), "run-0-1")
    assert replies["text"] == [None] * 4
    assert replies["status"] == "----"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\rc\td", "a\nb␍c\td"),
        ("\x7f\x85", "␡⟨0085⟩"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("\ud800", "\ufffd"),
        ("\u200b\ufeff", "⟨200B⟩⟨FEFF⟩"),
        ("a\u00a0b", "a\u00a0b"),
    ],
)
def test_what_cannot_be_seen_is_made_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("most", "shown"),
    [
        (10, "0123456789"),
        (5, "012\n[… 5 characters left out …]\n89"),
        (2, "0\n[… 8 characters left out …]\n9"),
    ],
)
def test_a_cut_text_says_how_much_is_missing(most: int, shown: str) -> None:
    assert shortened("0123456789", most) == shown
