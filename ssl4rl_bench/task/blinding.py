"""Blinds tasks: replaces or removes their images, to measure how far a model gets without seeing them.

`blank` replaces each image by a mid-grey one of the same size, `shuffled` shows each question the images of
another question, and `none` leaves the images out. Questions, options, targets, ids and `data_sha256` do not
change, so that a blinded run can be paired question by question with one that showed the images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError, UsageError, did_you_mean
from ssl4rl_bench.core.identity import seed_of
from ssl4rl_bench.core.types import EncodedImage, ImagePart, Part, Sample, Task, TextPart, VideoPart

BLINDINGS = ("real", "blank", "shuffled", "none")
"""The values that `blind_task` accepts; `real` changes nothing."""

GREY = 128
"""The value of each channel of a blank image, from 0 to 255."""

Pictures = tuple[EncodedImage, ...]
"""The images of one sample, in order; each frame of a video is one image."""


def check_blinding(how: str) -> str:
    """Returns `how` unchanged if it is one of `BLINDINGS`.

    Raises:
        UsageError: for any other name.
    """
    if how not in BLINDINGS:
        raise UsageError(
            f"no --image {how} (known: {', '.join(BLINDINGS)}; --images is the image source of SSL tasks)"
            f"{did_you_mean(how, BLINDINGS)}"
        )
    return how


def blind_task(task: Task, how: str) -> Task:
    """Returns the task with its images replaced; its `image` is then `how`.

    The result depends only on the task's samples, not on their order, and is the same on every machine.

    Args:
        how: one of `BLINDINGS`.

    Raises:
        UsageError: for another name, or a task that is already blinded in another way.
        DataError: with `shuffled`, if there are not enough questions with other images to swap with.
    """
    check_blinding(how)
    if task.image == how:
        return task
    if task.image != "real":
        raise UsageError(f"{task.name} is loaded with --image {task.image}; load it again for {how}")
    if how == "none":
        samples = [_showing(sample, None) for sample in task.samples]
    elif how == "blank":
        samples = [_showing(sample, map(blank, sample.images)) for sample in task.samples]
    else:
        swapped = _swaps(task.name, task.samples)
        samples = [_showing(sample, swapped[sample.id]) for sample in task.samples]
    return task.showing(samples, how)


def blank(image: EncodedImage) -> EncodedImage:
    """Returns a mid-grey PNG of the size that the image has when it is decoded.

    Raises:
        ImageError: for an image whose size cannot be determined.
    """
    return _grey(*images.size(image))


@cache
def _grey(width: int, height: int) -> EncodedImage:
    from PIL import Image

    return images.lossless(Image.new("RGB", (width, height), (GREY, GREY, GREY)))


def _showing(sample: Sample, shown: Iterable[EncodedImage] | None) -> Sample:
    """Returns the sample with its images replaced in order by `shown`, or removed if `shown` is None."""
    left = iter(shown or ())

    def part_of(part: Part) -> Part:
        if isinstance(part, ImagePart):
            return ImagePart(next(left))
        if isinstance(part, VideoPart):
            return replace(part, frames=tuple(next(left) for _ in part.frames))
        return part

    messages = (
        replace(
            message,
            content=tuple(
                part_of(part) for part in message.content if shown is not None or isinstance(part, TextPart)
            ),
        )
        for message in sample.messages
    )
    return replace(sample, messages=tuple(messages))


def _swaps(name: str, samples: Sequence[Sample]) -> dict[str, Pictures]:
    """Maps each sample id to the images of another question; each question's images are used once.

    Questions are swapped only if they have the same number of distinct image lists, of the same lengths
    (circular copies share one list). If all lists of a question have one length, they are assigned starting
    at an offset from a hash: without it, the two samples of a contrastive image would keep their answers.
    """
    lists: dict[str, dict[Pictures, None]] = {}
    for sample in samples:
        lists.setdefault(sample.group, {})[sample.images] = None
    owned = {
        group: sorted(
            shown, key=lambda sample_images: (len(sample_images), [image.sha256 for image in sample_images])
        )
        for group, shown in lists.items()
    }
    alike: dict[tuple[int, ...], list[str]] = {}
    for group, shown in owned.items():
        alike.setdefault(tuple(map(len, shown)), []).append(group)
    giver: dict[str, str] = {}
    for shape, groups in alike.items():
        giver |= _derangement(name, {group: owned[group] for group in groups}) if any(shape) else {}
    out = {}
    for sample in samples:
        own_images = owned[sample.group]
        other = owned[giver.get(sample.group, sample.group)]
        same_length = len({len(shown) for shown in own_images}) == 1
        first = seed_of("shuffled", sample.group) % len(own_images) if same_length else 0
        out[sample.id] = other[(own_images.index(sample.images) + first) % len(own_images)]
    return out


def _derangement(name: str, owned: Mapping[str, Sequence[Pictures]]) -> dict[str, str]:
    """Maps each group to a group that shares no image with it; each group is a key once and a value once.

    Groups that share images (a family) are adjacent; otherwise the order is that of hashes. A cyclic shift
    by the size of the largest family then leads out of every family. Such a mapping exists if and only if
    the largest family has at most half of all groups.
    """
    families = _families(owned)
    ordered = [
        group
        for family in sorted(families, key=lambda family: min(seed_of("family", group) for group in family))
        for group in sorted(family, key=lambda group: (seed_of("shuffled", group), group))
    ]
    shift = max(map(len, families))
    if 2 * shift > len(ordered):
        raise DataError(
            f"{name} cannot be asked with --image shuffled: {shift} of its {len(ordered)} questions with as many "
            "images share an image, so that not each can get another's; ask more questions, or use --image blank."
        )
    return {group: ordered[(index + shift) % len(ordered)] for index, group in enumerate(ordered)}


def _families(owned: Mapping[str, Sequence[Pictures]]) -> list[list[str]]:
    """Returns the families: lists of groups that are connected by shared images."""
    family_of: dict[str, list[str]] = {}
    holder: dict[str, str] = {}
    for group, lists in owned.items():
        family_of[group] = [group]
        for sha256 in {image.sha256 for shown in lists for image in shown}:
            other = holder.setdefault(sha256, group)
            if family_of[other] is not family_of[group]:
                small, large = sorted((family_of[other], family_of[group]), key=len)
                large += small
                family_of |= dict.fromkeys(small, large)
    return list({id(family): family for family in family_of.values()}.values())
