"""Measures whether the text of a sample gives its answer away, for SSL tasks whose prompts have one (captions).

The picture is not looked at. Small classifiers tell for each word of a text how likely it is the answer, and the
likeliest word is the guess. They are tested on the texts of pictures that they were not trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.core.errors import DataError, MissingDependency
from ssl4rl_bench.task.leak_features import Floats
from ssl4rl_bench.task.leaks import CONSTANT, MAX_ROUNDS, N_SAMPLES, LeakBaseline, folds, guesser, share_right
from ssl4rl_bench.task.pictures.making import Opened, corrupt
from ssl4rl_bench.task.ssl import SSLTask, Unusable

WORDS = "words"
"""A word, and which other words the text has."""
PAIRS = "places and pairs of words"
"""A word, its place in the text, and its pairs with each of the other words."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One text."""

    group: int
    """The number of its picture."""
    words: tuple[int, ...]
    """The words that may be the answer, in order, as indices into the task's answers."""
    right: int
    """The place of the answer among them."""


def text_baselines(task: SSLTask, pictures: Sequence[Opened], n: int = N_SAMPLES) -> list[LeakBaseline]:
    """Guesses the answers of at least `n` samples of these pictures from their texts.

    Args:
        n: The minimum number of samples. There are fewer only if pictures are unusable, or if each would have to
            give samples in more than `MAX_ROUNDS` rounds.

    Raises:
        MissingDependency: without scikit-learn.
        UsageError: as `making.corrupt`.
        DataError: if fewer than two pictures are usable.
    """
    try:
        from threadpoolctl import threadpool_limits  # comes with scikit-learn
    except ImportError:
        raise MissingDependency.of("leak baselines need scikit-learn", "blind") from None
    cases = list(_cases(task, pictures, n))
    if len({case.group for case in cases}) < 2:
        raise DataError("leak baselines need two usable images or more: give more images.")
    with threadpool_limits(1):
        return _baselines(task, cases)


def _baselines(task: SSLTask, cases: Sequence[_Case]) -> list[LeakBaseline]:
    groups = np.array([case.group for case in cases], np.int64)
    features = _features(cases, len(task.labels))
    baselines = []
    for name in (CONSTANT, WORDS, PAIRS):
        right = _constant(cases, groups) if name == CONSTANT else _guessed(features[name], cases, groups)
        accuracy, ci95 = share_right(right, groups)
        differs = ci95[0] > task.chance
        n_images = len(set(groups.tolist()))
        baselines.append(LeakBaseline(name, accuracy, ci95, task.chance, len(cases), n_images, differs))
    return baselines


def _cases(task: SSLTask, pictures: Sequence[Opened], n: int) -> Iterator[_Case]:
    numbers = {label: number for number, label in enumerate(task.labels)}
    places = list(range(len(pictures)))
    n_made = 0
    for draw in range(MAX_ROUNDS):
        usable = []
        for index in places:
            if n_made >= n and draw > 0:
                return
            try:
                made = corrupt(task, pictures[index], draw)[0]
            except Unusable:
                continue
            usable.append(index)
            n_made += 1
            words = task.candidates(made.text)
            yield _Case(index, tuple(numbers[word] for word in words), words.index(made.target))
        places = usable


def _features(cases: Sequence[_Case], n_words: int) -> dict[str, Floats]:
    """Returns the features of each word of each text; shape (words of all texts, features) for each baseline."""
    word = np.array([number for case in cases for number in case.words])
    place = np.array([place for case in cases for place in range(len(case.words))])
    present = np.zeros((len(cases), n_words))
    for row, case in zip(present, cases, strict=True):
        row[list(case.words)] = 1.0
    others = np.repeat(present, [len(case.words) for case in cases], axis=0)
    rows = np.arange(len(word))
    others[rows, word] = 0.0
    pairs = np.zeros((len(word), n_words, n_words))
    pairs[rows, word] = others
    is_word, is_place = np.eye(n_words)[word], np.eye(int(place.max()) + 1)[place]
    return {
        WORDS: np.hstack([is_word, others]),
        PAIRS: np.hstack([is_word, is_place, others, pairs.reshape(len(word), -1)]),
    }


def _constant(cases: Sequence[_Case], groups: NDArray[np.int64]) -> Floats:
    """Returns, per text, whether the place that is most often right in other pictures is the right one."""
    places = np.array([case.right for case in cases])
    right = np.zeros(len(cases))
    for train, test in folds(groups):
        right[test] = places[test] == np.bincount(places[train]).argmax()
    return right


def _guessed(features: Floats, cases: Sequence[_Case], groups: NDArray[np.int64]) -> Floats:
    """Returns, per text, whether the word that a classifier finds likeliest is the answer."""
    sizes = np.array([len(case.words) for case in cases])
    starts = np.cumsum(sizes) - sizes
    of_case = np.repeat(np.arange(len(cases)), sizes)
    is_answer = np.concatenate([np.arange(len(case.words)) == case.right for case in cases])
    right = np.zeros(len(cases))
    for train, test in folds(groups):
        fitted = guesser()
        rows = np.isin(of_case, train)
        fitted.fit(features[rows], is_answer[rows])
        likely = np.full(len(rows), -1.0)
        likely[~rows] = fitted.predict_proba(features[~rows])[:, 1]
        for index in test:
            words = slice(starts[index], starts[index] + sizes[index])
            right[index] = is_answer[words][likely[words].argmax()]
    return right
