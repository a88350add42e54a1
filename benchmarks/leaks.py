"""Measures how well the SSL tasks can be solved on photographs without looking at the content.

Requires scikit-learn and scikit-image, whose wheels contain 15 photographs: `python benchmarks/leaks.py
[--sections N] [--photos FOLDER] [TASK ...]`. Non-square JPEG sections (quality 60 to 95, all kinds of
subsampling), 240 by default, are cut from these photographs and from the JPEG files of a folder. Classifiers
are tested on sections of photographs that they were not trained on. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

from ssl4rl_bench.core.identity import sha256_hex
from ssl4rl_bench.core.types import EncodedImage
from ssl4rl_bench.task.leak_features import TRACES
from ssl4rl_bench.task.leaks import FREE_OF_CONTENT, baselines
from ssl4rl_bench.task.registry import load_ssl
from ssl4rl_bench.task.taskfile import group_names

N_SECTIONS, N_SAMPLES = 240, 2000
NAMES = (
    *("astronaut", "chelsea", "coffee", "rocket", "camera", "coins", "clock", "moon", "horse"),
    *("immunohistochemistry", "hubble_deep_field", "retina", "page"),
)


LARGEST = 1600
"""Pixels: larger photographs of a folder are reduced to this, so that a section still shows objects."""


def photographs(folder: Path | None = None) -> dict[str, Image.Image]:
    """Returns the photographs in the wheels and in a folder.

    Names that this version of scikit-image lacks or would download are skipped.
    """
    import skimage.data
    from sklearn.datasets import load_sample_images

    images: dict[str, Image.Image] = {}
    for name in NAMES:
        try:
            pixels = np.asarray(getattr(skimage.data, name)())
        except Exception:  # the downloader may raise any exception
            continue
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * 255
        images[name] = Image.fromarray(pixels.astype(np.uint8)).convert("RGB")
    for number, pixels in enumerate(load_sample_images().images):
        images[f"sample {number}"] = Image.fromarray(pixels)
    for path in sorted(folder.glob("*.jpg")) if folder else ():
        image = Image.open(path).convert("RGB")
        image.thumbnail((LARGEST, LARGEST))
        images[path.name] = image
    return images


def sections(n: int, folder: Path | None = None) -> tuple[list[EncodedImage], dict[str, str]]:
    """Returns JPEG sections of 300 to 520 pixels, and the names of their photographs by hash."""
    photos = photographs(folder)
    rng = np.random.default_rng(0)
    out, origins = [], {}
    names = list(photos)
    for number in range(n):
        name = names[number % len(names)]
        image = photos[name]
        ratio, side = rng.uniform(0.65, 1.5), rng.uniform(0.45, 0.95) * min(image.size)
        width, height = int(min(image.width, side * ratio**0.5)), int(min(image.height, side / ratio**0.5))
        x = int(rng.integers(0, image.width - width + 1))
        y = int(rng.integers(0, image.height - height + 1))
        section = image.crop((x, y, x + width, y + height))
        if rng.random() < 0.5:
            section = section.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        scale = rng.uniform(300, 520) / max(width, height)
        section = section.resize((int(width * scale), int(height * scale)), Image.Resampling.LANCZOS)
        data = io.BytesIO()
        section.save(data, "JPEG", quality=int(rng.integers(60, 95)), subsampling=int(rng.choice([0, 1, 2])))
        digest = sha256_hex(data.getvalue())
        out.append(EncodedImage(data.getvalue(), digest))
        origins[digest] = name
    return out, origins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("--sections", type=int, default=N_SECTIONS)
    parser.add_argument("--photos", type=Path, help="a folder with more photographs (*.jpg)")
    arguments = parser.parse_args()
    tasks = arguments.tasks or [
        *(name.removeprefix("ssl4rl_") for name in group_names()["ssl4rl_ssl_difficulty"]),
        "ssl_rotation_90_released",
    ]
    pictures, origins = sections(arguments.sections, arguments.photos)
    print(
        f"{len(pictures)} sections of {len(set(origins.values()))} photographs, {N_SAMPLES} samples or more"
    )
    print("| task | chance | constant | sizes | borders | traces (control) | all statistics |")
    print("|---|---|---|---|---|---|---|")
    for name in tasks:
        results = baselines(load_ssl(name)[1], pictures, N_SAMPLES, origins)
        cells = []
        for one in results:
            text = f"{100 * one.accuracy:.1f} [{100 * one.ci95[0]:.1f}, {100 * one.ci95[1]:.1f}]"
            if one.name == TRACES and one.control is not None:
                text += f" ({100 * one.control:.1f})"
            cells.append(f"**{text}**" if one.differs and one.name in FREE_OF_CONTENT else text)
        print(f"| `{name}` | {100 * results[0].chance:.1f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
