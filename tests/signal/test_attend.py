"""`attend` on engines with and without planted sight: effects, differences, files, the view, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mmbench_data
import numpy as np
import pytest
from looker import Looker

from ssl4rl_bench.core.errors import DataError, EngineError, UsageError
from ssl4rl_bench.reports.views import VIEWS
from ssl4rl_bench.reports.views.attend import read_attend, view_of
from ssl4rl_bench.signal import attending
from ssl4rl_bench.signal.attend_tables import layer_table, sight_json, sight_lines, sight_view
from ssl4rl_bench.signal.attending import AttendSettings, attend, write_sight
from ssl4rl_bench.signal.attention import by_layer, share_in
from ssl4rl_bench.signal.looked_at import scenes_questions
from ssl4rl_bench.signal.margins import check_form, margin_of, measure_margins, reply_of
from ssl4rl_bench.signal.sight import AttendResult
from ssl4rl_bench.stats.clustered import clustered_mean, p_beyond

MODELS = ("tiny-base", "tiny-rotation")


def measured(monkeypatch: pytest.MonkeyPatch, *lookers: Looker, n: int = 30, **settings: Any) -> AttendResult:
    """The result for engines that stand for the checkpoints."""
    engines = iter(lookers)
    monkeypatch.setattr(attending, "engine_for", lambda *_: next(engines))
    monkeypatch.setattr("ssl4rl_bench.evaluation.plan.resolve_name", lambda name: name)
    return attend(AttendSettings(MODELS[: len(lookers)], n_questions=n, **settings))


@pytest.mark.slow
def test_planted_sight_is_measured_and_a_difference_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    sight = measured(monkeypatch, Looker(seed=1), Looker(sight=2.0, seed=2))
    blind, looks = sight.models
    assert looks.effects["contrast"].value == pytest.approx(-2.0, abs=0.6)
    assert looks.effects["asked"].value == pytest.approx(-2.0, abs=0.6)
    assert abs(looks.effects["other"].value) < 0.6
    assert looks.effects["contrast"].p < 0.001
    assert abs(blind.effects["contrast"].value) < 0.6
    (row,) = sight.differences
    assert row.difference.value < -1.0
    assert row.p_corrected < 0.001
    assert "depends more on it" in sight_view(sight).sentence
    assert not any("than a guesser" in line for line in sight_lines(sight))


@pytest.mark.slow
def test_two_seeds_without_sight_are_not_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    sight = measured(monkeypatch, Looker(seed=3), Looker(seed=4))
    (row,) = sight.differences
    assert row.p_corrected > 0.05
    sentence = sight_view(sight).sentence
    assert "is not shown to differ" in sentence
    assert "80% power" in sentence
    assert any("than a guesser (25%)" in line for line in sight_lines(sight))


@pytest.mark.slow
def test_the_size_and_the_power_of_the_test() -> None:
    """5% of the tests of a mean of 0 are significant, and 80% of those of the detectable mean."""
    draw = np.random.default_rng(0)
    n, runs = 40, 400
    index = np.arange(n)
    null = [clustered_mean(draw.standard_t(3, n), index) for _ in range(runs)]
    assert 0.025 < np.mean([mean.p < 0.05 for mean in null]) < 0.085
    assert 0.915 < np.mean([mean.ci95[0] < 0 < mean.ci95[1] for mean in null if mean.ci95]) < 0.985
    effect = 2.8 / n**0.5
    planted = [clustered_mean(draw.normal(effect, 1.0, n), index) for _ in range(runs)]
    assert 0.7 < np.mean([mean.p < 0.05 for mean in planted]) < 0.88
    assert np.mean([mean.detectable() or 0.0 for mean in planted]) == pytest.approx(effect, rel=0.05)
    assert planted[0].needed(effect / 2) == pytest.approx(
        4 * n * (planted[0].detectable() or 0) ** 2 / effect**2, abs=1
    )


def test_a_difference_must_be_larger_than_the_least_one() -> None:
    values = np.random.default_rng(3).normal(0.2, 0.5, 400)
    index = np.arange(400)
    assert clustered_mean(values, index).p < 0.001
    assert p_beyond(values, index, 0.0) == clustered_mean(values, index).p
    assert p_beyond(values, index, 0.3) == 1.0
    assert p_beyond(values - 1.0, index, 0.3) < 0.001
    assert p_beyond(np.zeros(5), range(5), 0.3) == p_beyond(np.zeros(5), range(5), 0.0) == 1.0
    draw = np.random.default_rng(4)
    at_the_limit = [p_beyond(draw.normal(0.3, 1.0, 50), np.arange(50), 0.3) for _ in range(200)]
    assert np.mean([p < 0.05 for p in at_the_limit]) < 0.06  # one side of a two-sided test


def test_questions_about_one_picture_count_as_one() -> None:
    values = np.repeat(np.random.default_rng(1).normal(size=10), 8)
    pictures = np.repeat(np.arange(10), 8)
    clustered, apart = clustered_mean(values, pictures), clustered_mean(values, np.arange(80))
    assert clustered.n_clusters == 10
    assert clustered.se is not None
    assert apart.se is not None
    assert clustered.se > 2.5 * apart.se
    for wrong in ([], [np.nan]):
        with pytest.raises(ValueError, match="finite"):
            clustered_mean(wrong, range(len(wrong)))


def test_attention_that_is_equal_everywhere_has_a_ratio_of_1(monkeypatch: pytest.MonkeyPatch) -> None:
    (model,) = measured(monkeypatch, Looker(), n=6).models
    assert [row.layer for row in model.layers] == [1, 2, 3]
    assert all(row.ratio == pytest.approx(1.0) and row.raw == pytest.approx(1.0) for row in model.layers)
    assert all(row.p == 1.0 for row in model.layers)


def test_attention_in_a_box_counts_parts_of_tokens() -> None:
    attention = np.zeros((2, 2, 2))
    attention[0, 0, 0], attention[1] = 1.0, 0.25
    shares = share_in(attention, (25, 0, 75, 50), (100, 100))
    assert shares == pytest.approx([0.5, 0.25])
    assert share_in(attention, (0, 0, 100, 100), (100, 100)) == pytest.approx([1.0, 1.0])


def test_attention_by_layer_sees_only_what_the_question_changes() -> None:
    draw = np.random.default_rng(2)
    shares = np.full((50, 2, 2, 3), 0.1) * np.exp(0.05 * draw.normal(size=(50, 2, 2, 3)))
    shares[:, 0, 0, 1] *= 1.3  # looks more at the asked object if asked about it
    shares[:, 1, 1, 1] *= 1.3
    shares[:, :, 0, 2] *= 1.5  # looks more at one object whatever is asked
    first, asked, always = by_layer(shares, range(50), [0.1] * 50)
    assert asked.ratio == pytest.approx(1.3, abs=0.03)
    assert asked.p_corrected < 0.001
    assert always.ratio == pytest.approx(1.0, abs=0.03)
    assert always.raw > 1.4
    assert first.ci95 is not None
    assert first.ci95[0] < 1.0 < first.ci95[1] or first.p > 0.01


def test_benchmarks_without_boxes_have_a_grid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = mmbench_data.write_tsv(tmp_path / "dev.tsv", mmbench_data.questions(6))
    how: dict[str, Any] = {"task": "mmbench_dev_en", "data": str(data)}
    sight = measured(monkeypatch, Looker(), Looker(sight=3.0), n=5, **how)
    assert not sight.has_boxes
    looks = sight.models[1]
    assert looks.margin.n == 5
    assert len(looks.cells) == 16
    assert all(abs(cell.value) < 1.5 for cell in looks.cells)
    assert looks.effects["blank"].value < -1.5
    assert looks.effects["shuffled"].value < -1.5
    assert [row.effect for row in sight.differences] == ["shuffled", "blank"]
    assert layer_table(sight) is None
    assert "another question's picture" in sight_view(sight).sentence


@pytest.mark.slow
def test_what_is_measured_is_saved_and_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lookers = Looker(seed=1), Looker(sight=1.0, seed=2)
    first = measured(monkeypatch, *lookers, n=3, layers=False, out=tmp_path)
    assert lookers[1].n_asked == 12
    again = Looker(), Looker()
    second = measured(monkeypatch, *again, n=3, layers=False, out=tmp_path)
    assert sight_json(second) == sight_json(first)
    assert [looker.n_asked for looker in again] == [0, 0]
    other = measured(monkeypatch, *again, n=3, layers=False, form="letter", out=tmp_path)
    assert [looker.n_asked for looker in again] == [12, 12]
    assert other.form == "letter"
    for path in (tmp_path / "measured").iterdir():
        path.write_text("{}")
    with pytest.raises(DataError, match="delete it to measure again"):
        measured(monkeypatch, *again, n=3, layers=False, out=tmp_path)


def test_a_question_that_fails_is_left_out_of_all_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    sight = measured(monkeypatch, Looker(fails="recognition-0|asked"), Looker(sight=1.0), n=8)
    assert [model.n_failed for model in sight.models] == [1, 0]
    assert sight.differences[0].difference.n == 7
    assert any("1 questions failed" in line for line in sight_lines(sight))
    with pytest.raises(EngineError, match="every question failed: out of memory"):
        measured(monkeypatch, Looker(fails="|"), n=3)


def test_the_outputs_have_the_same_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sight = measured(monkeypatch, Looker(), Looker(sight=1.0), n=4)
    paths = write_sight(sight, tmp_path)
    assert [path.name for path in paths] == ["attend.json", "attend.svg", "attend.png"]
    values = read_attend(paths[0])
    assert values == json.loads(json.dumps(sight_json(sight)))
    view = view_of(values)
    effect = sight.models[1].effects["contrast"].value
    assert f"{effect:+.2f}" in view.rows[1]
    assert view.sheet is not None
    sizes = [shape.size for shape in view.sheet.shapes if hasattr(shape, "size")]
    assert min(sizes) >= 8
    lines = " ".join(sight_lines(sight))
    assert "an estimate" in lines
    assert "is not evidence" in lines


def test_a_report_shows_the_file_next_to_its_baseline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sight = measured(monkeypatch, Looker(), n=4)

    def runs(fingerprint: str) -> Any:
        spec = SimpleNamespace(model="tiny-base", fingerprint=fingerprint)
        return SimpleNamespace(
            baseline=SimpleNamespace(label="base", path=tmp_path / "runs" / "base", spec=spec)
        )

    weights = runs(sight.models[0].fingerprint)
    with pytest.raises(UsageError, match=r"needs attend\.json next to the run of base"):
        VIEWS["attend"](weights)
    write_sight(sight, tmp_path / "runs" / "attend")
    assert VIEWS["attend"](weights).rows == sight_view(sight).rows
    with pytest.raises(UsageError, match="no checkpoint with the weights of base"):
        VIEWS["attend"](runs("other"))


def test_names_of_checkpoints_are_neutralised(monkeypatch: pytest.MonkeyPatch) -> None:
    sight = measured(monkeypatch, Looker(), n=4)
    values = json.loads(json.dumps(sight_json(sight)))
    values["models"][0]["label"] = "a\x1b[31m<b>"
    view = view_of(values)
    assert "\x1b" not in view.sentence + "".join(view.rows[0])
    assert view.sheet is not None
    assert "<b>" not in str(view.sheet.svg("x"))


@pytest.mark.parametrize("damage", ["{}", "[]", "nonsense", '{"schema": 2}'])
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "attend.json"
    path.write_text(damage)
    with pytest.raises(DataError, match=r"attend\.json"):
        read_attend(path)


def test_margins_and_forms() -> None:
    item = scenes_questions(1).questions[0]
    letters = list(item.sample.choices)
    scored = [0.0] * len(letters)
    scored[letters.index(item.sample.target)] = 3.0
    assert margin_of(item.sample, scored) == (3.0, True)
    assert margin_of(item.sample, [0.0] * len(letters)) == (0.0, False)
    assert reply_of("option", "ssl4rl", "B", "red") == "<think>red B</think> <answer>B</answer>"
    assert reply_of("letter", "ssl4rl", "B", "red") == "<answer>B</answer>"
    assert reply_of("{option}!", "ssl4rl", "B", "{letter}") == "{letter}!"
    assert check_form("I say {letter}.") == "I say {letter}."
    with pytest.raises(UsageError, match="--form 'what'"):
        check_form("what")


def test_thinking_comes_before_the_letters() -> None:
    questions = scenes_questions(10)
    margins = measure_margins(questions, Looker(sight=1.0), "thinking")
    assert 0 < len(margins.index) < 10  # a question with an unreadable reply under some condition is left out


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--model is missing"):
        AttendSettings(())
    with pytest.raises(UsageError, match="--least -1 is negative"):
        AttendSettings(MODELS, least=-1.0)
    with pytest.raises(UsageError, match="have no interval"):
        AttendSettings(MODELS, n_questions=1)

    class Mute(Looker):
        score_answers = None  # type: ignore[assignment]

    class Closed(Looker):
        image_attention = None  # type: ignore[assignment]

    with pytest.raises(UsageError, match="gives no likelihoods"):
        measured(monkeypatch, Mute(), n=3)
    with pytest.raises(UsageError, match="--no-layers"):
        measured(monkeypatch, Closed(), n=3)
    assert measured(monkeypatch, Closed(), n=3, layers=False).models[0].layers == []
    with pytest.raises(UsageError, match="several tasks"):
        measured(monkeypatch, Looker(), n=3, task="ssl_probes")
    monkeypatch.setattr(attending, "engine_for", lambda *_: Looker())
    with pytest.raises(UsageError, match="same weights"):
        attend(AttendSettings(("tiny-base", "./ssl4rl_bench/checkpoints/tiny-base"), n_questions=3))


@pytest.mark.slow
def test_a_task_without_options_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no question with options"):
        measured(monkeypatch, Looker(), n=3, task="ssl_rotation_90")
