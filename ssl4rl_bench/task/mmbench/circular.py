"""Checks circular groups: the copies of a question with rotated options and a correspondingly changed answer.

Copy k has `option_k[j] = option_0[(j - k) mod n]`. If the last option must stay last ("None of these"),
only the first n - 1 options rotate, and there is one copy fewer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.types import EncodedImage
from ssl4rl_bench.task.mmbench.rows import MMBenchRow, Problem, parse_rows, read_images
from ssl4rl_bench.task.mmbench.taxonomy import categories
from ssl4rl_bench.task.tables.columns import LocatedRow, Reader


class Copy(NamedTuple):
    """The data of one copy of a question that the circular rule concerns."""

    roll: int
    choices: Mapping[str, str]
    answer: str


def defect(copies: Sequence[Copy]) -> str | None:
    """Returns why the copies are not one complete circular group, as a clause, or None if they are.

    A main row alone passes, because only the other groups show whether the data set has copies at all.
    """
    copies = sorted(copies, key=lambda copy: copy.roll)
    rolls = [copy.roll for copy in copies]
    twice = [roll for roll, following in pairwise(rolls) if roll == following]
    if twice:
        return f"circular copy {twice[0]} appears twice"
    missing = [roll for roll in range(len(rolls)) if roll not in rolls]
    if missing:
        return f"circular copy {missing[0]} is missing"
    main = list(copies[0].choices.values())
    right = copies[0].choices[copies[0].answer]
    for copy in copies:
        if sorted(copy.choices.values()) != sorted(main):
            return f"circular copy {copy.roll} has other options than the main row"
        if copy.choices[copy.answer] != right:
            return f"circular copy {copy.roll} has another right answer than the main row"
    if len(copies) == 1:
        return None
    rules = [
        n
        for n in (len(main), len(main) - 1)
        if all(list(copy.choices.values()) == rotated(main, copy.roll, n) for copy in copies)
    ]
    if len(copies) in rules:
        return None
    if rules and len(copies) < rules[0]:
        return f"circular copy {len(copies)} is missing"
    return "its circular copies are not rotations of the main row's options"


@dataclass(frozen=True, slots=True)
class Checked:
    """The complete groups of a source."""

    rows: list[MMBenchRow]
    problems: list[Problem]
    """The reasons why other groups were left out."""
    n_groups_skipped: int
    circular: bool
    """Whether there are any copies besides the main rows."""
    nan_is_missing: bool
    """See `mmbench.rows.Parsed`."""
    n_groups: int
    """The number of complete groups; more than `rows` has if some of them were not drawn."""
    n_abilities: int
    """The number of abilities of these groups."""


def check_rows(
    source: str, located: Iterable[LocatedRow], *, skip_bad: bool = False, images: bool = True
) -> Checked:
    """Reads all rows and checks their groups; `source` is the name of the data in messages.

    Without `images`, no image is read (`mmbench.rows.parse_rows`).

    Raises:
        DataError: if the source cannot be used, or any of its rows unless `skip_bad`; the message names a bad
            row and the fix.
    """
    parsed = parse_rows(source, located, images=images)
    bad = {problem.group for problem in parsed.problems}
    circular = any(row.roll for row in parsed.rows)
    problems = parsed.problems + _group_problems(
        [row for row in parsed.rows if row.group not in bad], circular
    )
    bad.update(problem.group for problem in problems)
    if problems and not skip_bad:
        raise _refused(source, problems, len(bad))
    rows = [row for row in parsed.rows if row.group not in bad]
    if not rows:
        raise DataError(f"{source} has no question without a bad row; the first: {problems[0]}.")
    return Checked(
        rows,
        problems,
        n_groups_skipped=len(bad - {None}),
        circular=circular,
        nan_is_missing=parsed.nan_is_missing,
        n_groups=len({row.group for row in rows}),
        n_abilities=len({categories(row.category, row.l2).l2 for row in rows}),
    )


def with_images(
    source: str,
    read: Reader,
    rows: Sequence[MMBenchRow],
    choose: Callable[[Sequence[MMBenchRow]], Sequence[MMBenchRow]],
    *,
    skip_bad: bool = False,
) -> tuple[list[MMBenchRow], list[Problem]]:
    """Chooses rows with `choose` from checked rows without images, and reads their images.

    A question whose image cannot be used is left out, and `choose` is called again. Images of other rows
    are not decoded.

    Returns:
        The chosen rows with their images, and the reasons why others were left out.

    Raises:
        DataError: for an image that cannot be used, unless `skip_bad`.
    """
    known: dict[int, EncodedImage | int | str] = {}
    problems: list[Problem] = []
    while True:
        bad = {problem.group for problem in problems}
        chosen = choose([row for row in rows if row.group not in bad])
        _add_images(known, read, {row.index for row in chosen})
        _add_images(known, read, {image for image in known.values() if isinstance(image, int)})
        more: list[Problem] = []
        completed: list[MMBenchRow] = []
        for row in chosen:
            image = known[row.index]
            holder = known.get(image) if isinstance(image, int) else image
            if isinstance(holder, EncodedImage):
                completed.append(replace(row, image=holder))
            else:
                reason = f"the image refers to row {image}, which has no usable image"
                more.append(Problem(row.where, row.index, image if isinstance(image, str) else reason))
        broken = {problem.group for problem in more}
        more += _group_problems([row for row in completed if row.group not in broken], circular=False)
        if not more:
            return completed, problems
        if not skip_bad:
            raise _refused(source, more, len({problem.group for problem in more}))
        problems += more


def _add_images(known: dict[int, EncodedImage | int | str], read: Reader, indices: set[int]) -> None:
    """Reads the images of those rows of `indices` that are not in `known` yet."""
    if missing := indices - known.keys():
        known |= dict.fromkeys(missing, "the row no longer exists")
        known |= read_images(read(), missing)


def _refused(source: str, problems: Sequence[Problem], n_bad: int) -> DataError:
    more = f" {n_bad} questions have bad rows." if n_bad > 1 else ""
    fix = "correct the data, or leave the question out with --skip-bad"
    return DataError(f"{source}, {problems[0]}: {fix}.{more}")


def _group_problems(rows: Sequence[MMBenchRow], circular: bool) -> list[Problem]:
    groups: dict[int, list[MMBenchRow]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    problems: list[Problem] = []
    for group in groups.values():
        reason = defect([Copy(row.roll, row.choices, row.answer) for row in group])
        if not reason and circular and len(group) == 1:
            reason = "its circular copies are missing"
        if not reason and len({(row.question, row.hint, row.category, row.l2) for row in group}) > 1:
            reason = "its circular copies differ in question, hint or category"
        if not reason and len({row.image.sha256 for row in group}) > 1:
            reason = "its circular copies differ in their images"
        if reason:
            problems.append(Problem(group[0].where, group[0].index, reason))
    return problems


def rotated(options: Sequence[str], roll: int, n_rolling: int) -> list[str]:
    """Returns the options of circular copy `roll`: the first `n_rolling` rotate right, the others stay."""
    return [options[(index - roll) % n_rolling] for index in range(n_rolling)] + list(options[n_rolling:])
