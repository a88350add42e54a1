"""Corrects the overall differences of several benchmarks as one family, with averages over benchmarks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.comparison.compare import check_correction, in_family
from ssl4rl_bench.comparison.result import ALPHA, Comparison, Difference, Share
from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.core.names import full_name, short_name
from ssl4rl_bench.stats.means import detectable_mean, mean_interval, mean_se
from ssl4rl_bench.stats.multiple import benjamini_hochberg, holm
from ssl4rl_bench.stats.resampling import REPLICATES, max_t, sign_flip

_Floats = NDArray[np.float64]
_NAMED = 4
"""An average of more benchmarks is not named after all of them."""


@dataclass(frozen=True, slots=True)
class Average:
    """An unweighted mean over benchmarks that a user asked for."""

    name: str
    tasks: tuple[str, ...]
    """The full names of the benchmarks."""


def parse_averages(values: Iterable[str], tasks: Sequence[str]) -> list[Average]:
    """Reads values of `--average`: "TASK,TASK,..." or "NAME=TASK,TASK,...".

    Args:
        tasks: the full names of the benchmarks that are shown.

    Raises:
        UsageError: a task is not among them or named twice, an average has fewer than two, or two columns would
            have one name.
    """
    out: list[Average] = []
    for value in values:
        given, separator, rest = value.partition("=")
        listed = [part.strip() for part in (rest if separator else given).split(",")]
        names = [full_name(part) for part in listed if part]
        for name in names:
            if name not in tasks:
                known = [short_name(task) for task in tasks]
                hint = did_you_mean(short_name(name), known)
                raise UsageError(
                    f"--average {value}: {short_name(name)} is not a benchmark of these runs "
                    f"({', '.join(known) or 'they have none'}){hint}"
                )
        if len(set(names)) < max(2, len(names)):
            raise UsageError(f"--average {value} needs two or more different benchmarks: TASK,TASK")
        shorts = [short_name(name) for name in names]
        plain = f"Average of {', '.join(shorts) if len(names) <= _NAMED else f'{len(names)} benchmarks'}"
        average = Average(given.strip() if separator and given.strip() else plain, tuple(names))
        if full_name(average.name) in tasks or any(average.name == other.name for other in out):
            raise UsageError(
                f"--average {value}: another column is called {average.name}; name it with NAME={','.join(shorts)}"
            )
        out.append(average)
    return out


@dataclass(frozen=True, slots=True)
class FamilyKey:
    """A candidate and a column of an overview."""

    candidate: str
    column: str
    """The full name of a benchmark, or the name of an average."""


@dataclass(frozen=True, slots=True, eq=False)
class _Test:
    difference: Difference
    parts: Mapping[str, _Floats]
    """The groups' parts in the difference, by benchmark, in the order of the baseline's groups."""


def correct_across(
    comparisons: Iterable[Comparison],
    averages: Sequence[Average] = (),
    correction: str = "holm",
    replicates: int = REPLICATES,
) -> dict[FamilyKey, Difference]:
    """Returns the overall differences of all comparisons, and those of averages, corrected as one family.

    The estimates, intervals and uncorrected p-values of benchmarks are those of the comparisons.

    Args:
        comparisons: of one baseline and any number of candidates and benchmarks, one comparison for each pair.
        averages: an average has no difference for a candidate that lacks one of its benchmarks.
        correction: one of `compare.CORRECTIONS`.

    Raises:
        UsageError: for an unknown correction.
    """
    check_correction(correction)
    tests: dict[FamilyKey, _Test] = {}
    blocks: dict[str, _Floats] = {}
    for comparison in comparisons:
        blocks[comparison.task] = empty = np.zeros(len(comparison.pairing.baseline.groups))
        parts = empty.copy()
        parts[comparison.pairing.left] = comparison.weighted[:, 0]
        key = FamilyKey(comparison.candidate, comparison.task)
        tests[key] = _Test(comparison.overall, {comparison.task: parts})
    for candidate in dict.fromkeys(key.candidate for key in tests):
        for average in averages:
            members = [tests.get(FamilyKey(candidate, task)) for task in average.tasks]
            known = [test for test in members if test is not None]
            if len(known) == len(members):
                tests[FamilyKey(candidate, average.name)] = _mean(average.name, known, replicates)
    return _corrected(tests, blocks, correction, replicates)


def _corrected(
    tests: Mapping[FamilyKey, _Test], blocks: Mapping[str, _Floats], correction: str, replicates: int
) -> dict[FamilyKey, Difference]:
    p = np.array([test.difference.p for test in tests.values()])
    if correction == "max-t" and tests:
        columns = [
            np.concatenate([test.parts.get(task, empty) for task, empty in blocks.items()])
            for test in tests.values()
        ]
        p = max_t(np.column_stack(columns), replicates=replicates)
    elif correction != "none":
        p = holm(p) if correction == "holm" else benjamini_hochberg(p)
    out = {}
    for (key, test), corrected in zip(tests.items(), p, strict=True):
        cell = test.difference
        if len(test.parts) == 1:
            square = cell.n * math.fsum(float(part @ part) for part in test.parts.values())
            out[key] = in_family(
                cell, float(corrected), len(tests), square, is_corrected=correction != "none"
            )
        else:
            alpha = ALPHA if correction == "none" else ALPHA / len(tests)
            mde = detectable_mean(cell.ci95, alpha)
            out[key] = replace(cell, p_corrected=float(corrected), family=len(tests), mde=mde)
    return out


def _mean(name: str, tests: Sequence[_Test], replicates: int) -> _Test:
    """Returns the mean difference of independent benchmarks; its p flips the signs of the questions of all."""
    cells, k = [test.difference for test in tests], len(tests)
    parts = {task: part / k for test in tests for task, part in test.parts.items()}
    values = [cell.value for cell in cells]

    def mean(numbers: Iterable[float]) -> float:
        return math.fsum(numbers) / k

    difference = Difference(
        level="average",
        name=name,
        n=sum(cell.n for cell in cells),
        baseline=mean(cell.baseline for cell in cells),
        candidate=mean(cell.candidate for cell in cells),
        value=mean(values),
        se=mean_se([cell.se for cell in cells]),
        ci95=mean_interval(values, [cell.ci95 for cell in cells]),
        p=float(sign_flip(np.concatenate(list(parts.values()))[:, None], replicates=replicates)[0]),
        p_corrected=1.0,
        family=1,
        mde=1.0,
        needed=None,
        binary=False,
        gained=sum(cell.gained for cell in cells),
        lost=sum(cell.lost for cell in cells),
        counts=None,
        right=None,
        from_reading=Share(mean(cell.from_reading.value for cell in cells), None),
        from_answers=Share(mean(cell.from_answers.value for cell in cells), None),
    )
    return _Test(difference, parts)
