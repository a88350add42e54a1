"""Contrastive: positives share a stated part of the picture, negatives do not look the same, nothing else tells."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import Completion, ImagePart
from ssl4rl_bench.task.ssl import Unusable, augment, contrastive, make_task
from ssl4rl_bench.task.ssl.augment import Box
from ssl4rl_bench.task.ssl.contrastive import LARGEST_OVERLAP, STRENGTHS, Contrastive, overlap, overlapping
from ssl4rl_bench.task.ssl.rng import Stream

SIZES = [(500, 400), (512, 512), (640, 480), (375, 500)]


@functools.cache
def _picture(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Random coarse blocks of colour: distinct for each seed, with detail everywhere."""
    blocks = np.random.default_rng(seed).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _share(one: Box, two: Box) -> float:
    return overlap(one, two) / min(_area(one), _area(two))


@given(
    st.sampled_from([*SIZES, (300, 900), (28, 28), (28, 2000), (2000, 28)]),
    st.sampled_from(sorted(STRENGTHS)),
    st.sampled_from([0.0, 0.25, 0.5, LARGEST_OVERLAP]),
    st.integers(0, 2**63 - 1),
)
def test_sections_of_a_positive_overlap_by_the_minimum(
    size: tuple[int, int], strength: str, minimum: float, seed: int
) -> None:
    one, two = overlapping(*size, STRENGTHS[strength], minimum, Stream(seed))
    for left, top, right, bottom in (one, two):
        assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    assert _share(one, two) >= minimum - 0.06 * (min(size) < 100)  # rounding counts in crops of 8 pixels


def test_a_fifth_of_the_released_strong_positives_share_no_pixel_and_none_of_ours() -> None:
    """Defect 5: 19.6% of them in the authors' data."""
    stream = Stream(1)
    kind = augment.STRONG
    apart = ours = 0
    n = 2000
    for size in SIZES:
        for _ in range(n):
            boxes = augment.random_crop(*size, kind, stream), augment.random_crop(*size, kind, stream)
            apart += overlap(*boxes) == 0
            ours += _share(*overlapping(*size, kind, Contrastive("strong").min_overlap, stream)) < 0.25
    assert 0.17 < apart / (n * len(SIZES)) < 0.22
    assert ours == 0


def test_both_sections_have_the_law_of_a_single_crop_in_size() -> None:
    """Else large sections would tell a positive."""
    stream = Stream(2)
    pairs = [overlapping(500, 400, augment.STRONG, 0.25, stream) for _ in range(4000)]
    single = np.array([_area(augment.random_crop(500, 400, augment.STRONG, stream)) for _ in range(4000)])
    for boxes in zip(*pairs, strict=True):
        areas = np.array([_area(box) for box in boxes])
        assert areas.mean() == pytest.approx(single.mean(), rel=0.03)
        assert areas.std() == pytest.approx(single.std(), rel=0.05)


@pytest.mark.parametrize("strength", sorted(STRENGTHS))
@pytest.mark.parametrize("convention", ["ours", "released"])
def test_samples_are_two_views_and_depend_on_nothing_but_their_seed(strength: str, convention: str) -> None:
    task = make_task("contrastive", {"strength": strength, "convention": convention})
    image, other = _picture(1), _picture(2, (90, 200))
    for partner, target in ((None, "positive"), (other, "negative")):
        for seed in range(5):
            made = task.corrupt(image, seed, partner)
            again = task.corrupt(image.copy(), seed, partner)
            assert made.target == again.target == target
            assert [view.tobytes() for view in made.images] == [view.tobytes() for view in again.images]
            assert [view.size for view in made.images] == [(224, 224)] * 2
            assert made.images[0].tobytes() != made.images[1].tobytes()
    assert task.pairs and task.chance == 0.5 and task.difficulty == strength


def test_images_without_detail_or_too_small_are_refused() -> None:
    with pytest.raises(Unusable, match="has no content that shows"):
        Contrastive().corrupt(Image.new("RGB", (100, 100), "blue"), 1)
    for small, other in ((_picture(1, (27, 100)), None), (_picture(1), _picture(2, (100, 27)))):
        with pytest.raises(Unusable, match="27 pixels, 28 are needed"):
            Contrastive().corrupt(small, 1, other)


@pytest.mark.slow
def test_sections_avoid_empty_parts_of_a_picture() -> None:
    image = Image.new("RGB", (300, 200), "white")
    image.paste(_picture(4, (150, 200)), (0, 0))
    plain = [
        sum(
            np.asarray(view).std(axis=(0, 1)).max() < 1
            for view in Contrastive("strong").corrupt(image, s).images
        )
        for s in range(30)
    ]
    assert sum(plain) == 0


def _clipped(seed: int) -> Image.Image:
    """A light picture with faint detail: it turns white when brightness rises."""
    return _picture(seed).point([215 + value // 8 for value in range(256)] * 3)


@pytest.mark.slow
@pytest.mark.parametrize("strength", sorted(STRENGTHS))
@pytest.mark.parametrize("make_picture", [_picture, _clipped])
def test_every_finished_view_shows_something(
    strength: str, make_picture: Callable[[int], Image.Image]
) -> None:
    """3 of 120 samples of photographs were one flat colour: detail was looked for before the changes."""
    task = Contrastive(strength)
    for seed in range(60):
        for other in (None, make_picture(seed + 1000)):
            for view in task.corrupt(make_picture(seed), seed, other).images:
                assert np.asarray(view).std(axis=(0, 1)).max() >= 2


@pytest.mark.parametrize("strength", sorted(STRENGTHS))
@pytest.mark.slow
def test_what_a_positive_s_views_share_has_detail(strength: str) -> None:
    """Left and right differ, the middle is blank: views that share the middle alone have nothing in common."""
    image = Image.new("RGB", (400, 200), "white")
    image.paste(_picture(1, (130, 200)), (0, 0))
    image.paste(_picture(2, (130, 200)), (270, 0))
    boxes: list[tuple[Box, Box]] = []

    def keep(*args: object) -> tuple[Box, Box]:
        boxes.append(overlapping(*args))  # type: ignore[arg-type]  # passed on
        return boxes[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ssl4rl_bench.task.ssl.contrastive.overlapping", keep)
        for seed in range(40):
            Contrastive(strength, min_overlap=0.0).corrupt(image, seed)
            one, two = boxes[-1]
            shared = max(one[0], two[0]), max(one[1], two[1]), min(one[2], two[2]), min(one[3], two[3])
            assert np.asarray(image.crop(shared)).std() > 2


def test_mirrored_views_are_judged_where_they_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shared part of a mirrored view lies on its other side."""
    image = Image.new("RGB", (200, 100), "white")
    image.paste(_picture(1, (100, 100)), (0, 0))
    plain = replace(augment.WEAK, scale=(0.5, 0.5), jitter_p=0.0, grey_p=0.0, blur_p=0.0)
    for flip in (0.0, 1.0):
        kind = replace(plain, flip_p=flip)
        assert contrastive._view(image, (0, 0, 200, 100), (0, 0, 90, 100), kind, Stream(1)) is not None
        assert contrastive._view(image, (0, 0, 200, 100), (110, 0, 200, 100), kind, Stream(1)) is None
        assert contrastive._view(image, (0, 0, 90, 100), (100, 0, 200, 100), kind, Stream(1)) is None


@pytest.mark.slow
def test_a_negative_never_shows_the_same_thing_twice() -> None:
    image = _picture(1)
    for same in (image, image.copy(), image.resize((320, 240), Image.Resampling.BICUBIC)):
        for seed in range(10):
            with pytest.raises(Unusable, match="looks the same"):
                Contrastive().corrupt(image, seed, same)
    grid = Image.new("RGB", (160, 160), "white")
    grid.paste("black", (0, 0, 80, 160))
    corner = grid.copy()
    corner.paste(_picture(3, (30, 30)), (0, 0))  # another picture, most of which is the same
    for seed in range(40):
        views = Contrastive().corrupt(grid, seed, corner).images
        one, two = (np.asarray(view.resize((32, 32), Image.Resampling.BOX), dtype=float) for view in views)
        assert min(np.abs(one - two).mean(), np.abs(one - two[:, ::-1]).mean()) >= 2


@pytest.mark.slow
def test_positives_and_negatives_stay_balanced_on_hard_pictures() -> None:
    """Views are accepted by one rule in both kinds."""
    image = Image.new("RGB", (300, 200), "white")
    image.paste(_picture(4, (150, 200)), (0, 0))
    other = Image.new("RGB", (300, 200), "black")
    other.paste(_picture(5, (150, 200)), (150, 0))
    for seed in range(60):
        assert Contrastive("strong").corrupt(image, seed).target == "positive"
        assert Contrastive("strong").corrupt(image, seed, other).target == "negative"


@pytest.mark.parametrize(
    "params",
    [{"strength": "strnog"}, {"min_overlap": 0.8}, {"min_overlap": -0.1}, {"min_overlap": float("nan")}],
)
def test_bad_parameters_are_one_line_errors(params: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        make_task("contrastive", params)


def test_every_parameter_is_in_the_identity() -> None:
    tasks = [Contrastive(s, m, c) for s in STRENGTHS for m in (0.0, 0.25, 0.3) for c in ("ours", "released")]
    assert len({task.identity for task in tasks}) == len(tasks)


@pytest.mark.parametrize("target", ["positive", "negative"])
def test_gold_scores_one_and_wrong_zero(target: str) -> None:
    task = Contrastive()
    for answer in task.gold(target):
        for text in (f"<answer>{answer}</answer>", answer):
            assert task.score(Completion(text, "stop"), target).value == 1.0
    score = task.score(Completion(f"<answer>{task.wrong(target)}</answer>", "stop"), target)
    assert (score.value, score.parts) == (0.0, {"exact": 0.0})
    both = task.score(Completion("<answer>positive or negative</answer>", "stop"), target)
    assert (both.value, both.answer) == (0.0, None)


@pytest.mark.parametrize("convention", ["ours", "released"])
def test_the_prompt_shows_the_images_and_names_both_answers(convention: str) -> None:
    from ssl4rl_bench.core.images import from_pil

    task = Contrastive(convention=convention)
    views = [from_pil(view) for view in task.corrupt(_picture(1), 1).images]
    (message,) = task.messages(views)
    *images, text = message.content
    assert [part.image for part in images if isinstance(part, ImagePart)] == views
    assert "positive" in text.text and "negative" in text.text
