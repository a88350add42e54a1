"""Measures whether an SSL task leaks its answers through sizes, borders, or traces of files and resampling.

Small classifiers guess the right answer from such features of the produced images, and are tested on images
that they were not trained on. A task leaks if they beat chance. For comparison, the answer is also guessed
from statistics of the content (colour, contrast, sharpness); if these help, that is not a defect.

No measure of traces is completely independent of the content: lines in drawings have directions, and what a
crop shows at its border depends on its place. As a control, the same measures are therefore taken where
there cannot be traces: some pixels inside the border, and at half the size. Traces count as a leak if they
predict the answer better than the control. If they do not, but one of the two beats chance, the result is
unclear: the measures depend on the content, or a leak covers the whole picture and so the control.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.core.errors import DataError, MissingDependency
from ssl4rl_bench.core.images import decode
from ssl4rl_bench.core.types import EncodedImage
from ssl4rl_bench.stats import effective
from ssl4rl_bench.stats.paired import tango
from ssl4rl_bench.task.leak_features import (
    BORDERS,
    CONTROL,
    SIZES,
    STATISTICS,
    TRACES,
    Floats,
    features_of,
)
from ssl4rl_bench.task.pictures.making import OTHER, seed_for
from ssl4rl_bench.task.ssl import SSLTask, Unusable

N_SAMPLES = 2000
FOLDS = 5
TREES = 60
MAX_ROUNDS = 400
"""The largest number of rounds over the images, and so of indices per image."""
CONSTANT = "constant answer"
FREE_OF_CONTENT = (CONSTANT, SIZES, BORDERS, TRACES)
"""Baselines that must not beat chance."""


@dataclass(frozen=True, slots=True)
class LeakBaseline:
    """The accuracy of guesses from one kind of feature."""

    name: str
    """One of `FREE_OF_CONTENT`, or "all statistics"; of a text, as in `text_leaks`."""
    accuracy: float
    """The share of right guesses on images that the classifier was not trained on."""
    ci95: tuple[float, float]
    """The 95% interval of the accuracy, clustered by image."""
    chance: float
    """The chance level of one guess. For Jigsaw, that is the place of one piece."""
    n: int
    """The number of guesses."""
    n_images: int
    differs: bool
    """Whether the interval is above chance, and the interval of the difference to the control above 0."""
    control: float | None = None
    """The accuracy with the same features, taken where there are no traces."""
    unclear: bool = False
    """Whether it does not beat the control, but one of the two beats chance: content, or a leak in both."""

    @property
    def leak(self) -> str:
        """One of "yes", "no" and "unclear"; empty for a baseline of the content, which cannot leak."""
        if self.name == STATISTICS:
            return ""
        return "yes" if self.differs else "unclear" if self.unclear else "no"


@dataclass(frozen=True, slots=True)
class _Case:
    """One thing to guess."""

    origin: int
    """The number of the picture that the sample was made from."""
    group: int
    """The group that must not be in both training and test data: one picture, or both where two are shown."""
    answer: str
    features: dict[str, Floats]


def baselines(
    task: SSLTask,
    images: Sequence[EncodedImage],
    n: int = N_SAMPLES,
    origins: Mapping[str, object] | None = None,
) -> list[LeakBaseline]:
    """Guesses the answers of at least `n` samples of these images, with each of the five baselines.

    Args:
        n: The minimum number of samples. There are fewer only if images are unusable, or if there are so few
            images that each would have to give samples in more than `MAX_ROUNDS` rounds.
        origins: Image hash to picture, if images are sections of fewer pictures. All sections of a picture
            then count as one image, because a classifier that was trained on one section recognises the
            others.

    Raises:
        MissingDependency: without scikit-learn.
        DataError: if fewer than two images are usable (four for a task that shows two images).
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingDependency.of("leak baselines need scikit-learn", "blind") from None
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    with threadpool_limits(1):  # on small matrices threads cost more than they save
        return _baselines(task, list(_cases(task, images, n, origins or {})))


def _baselines(task: SSLTask, cases: list[_Case]) -> list[LeakBaseline]:
    groups = np.array([case.group for case in cases], dtype=np.int64)
    n_images = len({case.origin for case in cases})
    if len(set(groups.tolist())) < 2:
        needed = "four usable images" if task.pairs else "two usable images"
        raise DataError(f"leak baselines need {needed} or more, not {n_images}: give more images.")
    answers = np.array([case.answer for case in cases])
    chance = task.part_chance
    baselines = []
    for name in (*FREE_OF_CONTENT, STATISTICS):
        if name == CONSTANT:
            right = cross_validated(np.zeros((len(cases), 1)), answers, groups, _most_frequent)
        else:
            features = np.array([case.features[name] for case in cases])
            right = cross_validated(features, answers, groups, guesser)
        accuracy, ci95 = share_right(right, groups)
        differs, control, unclear = ci95[0] > chance, None, False
        if name == TRACES:
            features = np.array([case.features[CONTROL] for case in cases])
            without = cross_validated(features, answers, groups, guesser)
            control, control_ci95 = share_right(without, groups)
            above = differs or control_ci95[0] > chance
            differs = differs and _gain(right - without, groups) > 0
            unclear = above and not differs
        baselines.append(
            LeakBaseline(name, accuracy, ci95, chance, len(cases), n_images, differs, control, unclear)
        )
    return baselines


def _gain(differences: Floats, groups: NDArray[np.int64]) -> float:
    """Returns the lower end of the 95% interval of a mean difference, clustered by group."""
    sums, sizes, weights = _of_groups(differences, groups)
    return float(tango(*effective.difference(weights, sums, sizes).counts(0.975))[0])


def share_right(right: Floats, groups: NDArray[np.int64]) -> tuple[float, tuple[float, float]]:
    """Returns the mean, and its 95% interval clustered by group."""
    sums, sizes, weights = _of_groups(right, groups)
    return float(sums.sum() / sizes.sum()), effective.accuracy_interval(
        effective.accuracy(weights, sums, sizes)
    )


def _of_groups(values: Floats, groups: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Returns, per group, the sum, the size, and the weight of the sum in the mean of all values."""
    sizes = np.bincount(groups).astype(np.float64)
    sums = np.bincount(groups, weights=values).astype(np.float64)[sizes > 0]
    sizes = sizes[sizes > 0]
    return sums, sizes, np.full(len(sizes), 1.0 / sizes.sum())


def cross_validated(
    features: Floats, answers: NDArray[np.str_], groups: NDArray[np.int64], make: Callable[[], Any]
) -> Floats:
    """Returns, per case, 1.0 if a classifier that was trained on other images guessed it right, else 0.0."""
    right = np.zeros(len(answers))
    for train, test in folds(groups):
        if len(np.unique(answers[train])) < 2:
            right[test] = answers[test] == answers[train][0]
            continue
        guesser = make()
        guesser.fit(features[train], answers[train])
        right[test] = guesser.predict(features[test]) == answers[test]
    return right


def folds(groups: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yields indices of cases to train on and of cases to test on; no group is in both."""
    from sklearn.model_selection import GroupKFold

    yield from GroupKFold(n_splits=min(FOLDS, len(np.unique(groups)))).split(groups, groups=groups)


def _most_frequent() -> Any:
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="most_frequent")


def guesser() -> Any:
    """Creates a classifier: the mean of a linear model and of trees.

    The linear model finds weak effects of many features, the trees find thresholds.
    """
    from sklearn.ensemble import ExtraTreesClassifier, VotingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=300))
    trees = ExtraTreesClassifier(TREES, min_samples_leaf=8, max_features=0.3, random_state=0, n_jobs=1)
    return VotingClassifier([("linear", linear), ("trees", trees)], voting="soft")


def _cases(
    task: SSLTask, images: Sequence[EncodedImage], n: int, origins: Mapping[str, object]
) -> Iterator[_Case]:
    """Yields the guesses of at least `n` samples, in rounds over the images. Unusable ones are tried once.

    If a task shows two images, pictures are paired, and the two of a pair are each other's partners. If
    partners were in different groups, a picture in the test data would also be in the training data as a
    partner, always with the answer "negative".
    """
    order = sorted(images, key=lambda image: image.sha256)
    numbers: dict[object, int] = {}
    of = [numbers.setdefault(origins.get(image.sha256, image.sha256), len(numbers)) for image in order]
    groups = [min(origin // 2, max(0, len(numbers) // 2 - 1)) if task.pairs else origin for origin in of]
    places = list(range(len(order)))
    n_made = 0
    for draw in range(MAX_ROUNDS):
        if n_made >= n:
            return
        usable = []
        for index in places:
            encoded = order[index]
            partners = [
                o
                for o in range(len(order))
                if task.pairs and groups[o] == groups[index] and of[o] != of[index]
            ]
            if task.pairs and not partners:
                continue
            image = decode(encoded)
            try:
                made = [task.corrupt(image, seed_for(task, encoded.sha256, draw))]
                if task.pairs:
                    other = decode(order[partners[draw % len(partners)]])
                    made.append(task.corrupt(image, seed_for(task, encoded.sha256, draw, OTHER), other))
            except Unusable:
                continue
            usable.append(index)
            n_made += len(made)
            for corrupted in made:
                for answer, shown in task.guesses(corrupted):
                    yield _Case(of[index], groups[index], answer, features_of(shown))
        places = usable
