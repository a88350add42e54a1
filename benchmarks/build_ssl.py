"""Compares the speed and memory of building SSL data sets with those of the released construction.

The released construction follows published descriptions of SSL4RL's scripts: a loop over a `datasets.Dataset`
that decodes images at each access, Pillow, an augmentation pipeline (torchvision) rebuilt for each view, rows
collected in a list, and `datasets` writing them to parquet, all in one process. It is compared with `build`
with `--workers` processes, including their start. Both make the same number of samples from the same images:
crops of the photographs of scikit-image and scikit-learn, as 500x400 JPEG files. Both store all pictures
losslessly; the released way does so because it converts pictures to RGB after reading. With --lossy it does not
convert them, and `datasets` stores unchanged pictures as JPEG again, which takes less time and loses quality.
With --as-run, the released contrastive way also performs the incidental work of SSL4RL's script: it reads the
augmentation settings from a YAML file for each view and collects garbage after each pair. Prints the samples
per second of each, their ratio, and the ratio of bytes, by task.

With --memory N: builds a rotation set of N synthetic images and prints the peak memory of all processes
together.
"""

from __future__ import annotations

import argparse
import gc
import math
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

SIZE = (500, 400)
TASKS = (
    "ssl_rotation_90",
    "ssl_jigsaw_2x2",
    "ssl_position",
    "ssl_contrastive_weak",
    "ssl_contrastive_strong",
)
PHOTOS = (
    *(
        "astronaut.png",
        "chelsea.png",
        "coffee.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "motorcycle_left.png",
    ),
    *("motorcycle_right.png", "retina.jpg", "rocket.jpg"),
)


def photographs(folder: Path, n: int) -> None:
    """Writes n JPEG files: crops of real photographs that differ in position, size and tint."""
    import skimage
    import sklearn
    from PIL import Image, ImageEnhance

    data, more = Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images"
    paths = [data / name for name in PHOTOS] + sorted(more.glob("*.jpg"))
    photos = [Image.open(path).convert("RGB") for path in paths if path.exists()]
    draw = random.Random(0)
    for number in range(n):
        photo = photos[number % len(photos)]
        width = draw.uniform(0.25, 1) * min(photo.width, photo.height * SIZE[0] / SIZE[1])
        height = width * SIZE[1] / SIZE[0]
        x, y = draw.uniform(0, photo.width - width), draw.uniform(0, photo.height - height)
        picture = photo.resize(SIZE, Image.Resampling.BICUBIC, (x, y, x + width, y + height))
        if draw.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        bands = list(picture.split())
        draw.shuffle(bands)
        picture = ImageEnhance.Brightness(Image.merge("RGB", bands)).enhance(draw.uniform(0.6, 1.4))
        picture.save(folder / f"{number:06d}.jpg", quality=90)


def synthetic(folder: Path, n: int) -> None:
    """Writes n JPEG files of 112 x 112 pixels, each of 8 x 8 random colours."""
    from PIL import Image

    draw = random.Random(0)
    for number in range(n):
        coarse = Image.frombytes("RGB", (8, 8), draw.randbytes(8 * 8 * 3))
        coarse.resize((112, 112), Image.Resampling.BICUBIC).save(folder / f"{number:06d}.jpg", quality=90)


LOSSY = False
"""Whether the released rows keep a picture as it was decoded; `datasets` then stores it as JPEG of quality 75."""


def _picture(dataset: Any, index: int) -> Any:
    """Decodes a picture, which happens at each access to a row."""
    picture = dataset[index]["image"]
    return picture if LOSSY else picture.convert("RGB")


def released_rotation(dataset: Any) -> Iterator[dict[str, Any]]:
    for index in range(len(dataset)):
        image = _picture(dataset, index)
        angle = random.choice([0, 90, 180, 270])
        turned = image.rotate(angle, expand=True)
        width, height = _inside(image.width, image.height, math.radians(angle))
        left, top = (turned.width - width) / 2, (turned.height - height) / 2
        turned = turned.crop((int(left), int(top), int(left + width), int(top + height)))
        yield {"images": [image, turned], "answer": str(angle)}


def _inside(width: int, height: int, angle: float) -> tuple[float, float]:
    """Returns the size of the largest upright rectangle in a rotated one."""
    long, short = max(width, height), min(width, height)
    sin, cos = abs(math.sin(angle)), abs(math.cos(angle))
    if short <= 2 * sin * cos * long or abs(sin - cos) < 1e-10:
        half = short / 2
        return (half / sin, half / cos) if width >= height else (half / cos, half / sin)
    spread = cos * cos - sin * sin
    return (width * cos - height * sin) / spread, (height * cos - width * sin) / spread


def released_jigsaw(dataset: Any, k: int = 2) -> Iterator[dict[str, Any]]:
    for index in range(len(dataset)):
        image = _picture(dataset, index)
        width, height = image.width // k, image.height // k
        pieces = [
            image.crop((column * width, row * height, (column + 1) * width, (row + 1) * height))
            for row in range(k)
            for column in range(k)
        ]
        order = list(range(k * k))
        random.shuffle(order)
        yield {
            "images": [pieces[place] for place in order],
            "answer": ",".join(str(place + 1) for place in order),
        }


def released_position(dataset: Any) -> Iterator[dict[str, Any]]:
    import numpy as np
    from PIL import Image

    for index in range(len(dataset)):
        image = _picture(dataset, index)
        pixels = np.array(image)
        part = random.randrange(4)
        middle_x, middle_y = image.width // 2, image.height // 2
        columns = slice(0, middle_x) if part % 2 == 0 else slice(middle_x, image.width)
        rows = slice(0, middle_y) if part < 2 else slice(middle_y, image.height)
        quadrant = Image.fromarray(pixels[rows, columns])
        width = random.randint(int(0.2 * quadrant.width), int(0.8 * quadrant.width))
        height = random.randint(int(0.2 * quadrant.height), int(0.8 * quadrant.height))
        x, y = random.randint(0, quadrant.width - width), random.randint(0, quadrant.height - height)
        crop = quadrant.crop((x, y, x + width, y + height))
        answer = ("top-left", "top-right", "bottom-left", "bottom-right")[part]
        yield {"images": [image, crop], "answer": answer}


def released_contrastive(dataset: Any, strong: bool) -> Iterator[dict[str, Any]]:
    for index in range(len(dataset)):
        image = _picture(dataset, index)
        yield {"images": [_pipeline(strong)(image), _pipeline(strong)(image)], "answer": "positive"}
        if AS_RUN:
            gc.collect()
        first, second = random.sample(range(len(dataset)), 2)
        views = [_pipeline(strong)(_picture(dataset, first)), _pipeline(strong)(_picture(dataset, second))]
        yield {"images": views, "answer": "negative"}
        if AS_RUN:
            gc.collect()


AS_RUN = False
CONFIG = """
- rrc: {enabled: True, crop_min_scale: 0.08, crop_max_scale: 0.3}
  color_jitter: {prob: 0.8, brightness: 0.8, contrast: 0.8, saturation: 0.8, hue: 0.2}
  grayscale: {prob: 0.8}
  gaussian_blur: {prob: 0.8}
  solarization: {prob: 0.8}
  equalization: {prob: 0.8}
  horizontal_flip: {prob: 0.8}
  crop_size: 224
"""
"""Read again for each view with --as-run; the parameters are those of `_pipeline`."""


def _pipeline(strong: bool) -> Any:
    """Returns the published augmentation, which is rebuilt for each view."""
    from PIL import ImageFilter, ImageOps
    from torchvision import transforms as tv

    def blur(image: Any) -> Any:
        return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))

    if AS_RUN:
        import yaml

        yaml.safe_load(CONFIG)
    p = 0.8 if strong else 0.0
    return tv.Compose(
        [
            tv.RandomResizedCrop(
                224, scale=(0.08, 0.3 if strong else 1.0), interpolation=tv.InterpolationMode.BICUBIC
            ),
            tv.RandomApply([tv.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            tv.RandomGrayscale(p=0.8 if strong else 0.2),
            tv.RandomApply([tv.Lambda(blur)], p=0.8 if strong else 0.5),
            tv.RandomApply([tv.Lambda(ImageOps.solarize)], p=p),
            tv.RandomApply([tv.Lambda(ImageOps.equalize)], p=p),
            tv.RandomHorizontalFlip(p=0.8 if strong else 0.5),
        ]
    )


RELEASED: dict[str, Callable[[Any], Iterator[dict[str, Any]]]] = {
    "ssl_rotation_90": released_rotation,
    "ssl_jigsaw_2x2": released_jigsaw,
    "ssl_position": released_position,
    "ssl_contrastive_weak": lambda dataset: released_contrastive(dataset, strong=False),
    "ssl_contrastive_strong": lambda dataset: released_contrastive(dataset, strong=True),
}


class Timed(NamedTuple):
    """The cost of one construction."""

    seconds: float
    cpu: float
    """CPU seconds of all processes, which other load on the machine affects less."""
    n: int
    """Number of samples."""

    @property
    def per_second(self) -> float:
        return self.n / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per sample."""
        return 1000 * self.cpu / self.n


def processor_seconds() -> float:
    """Returns the CPU seconds of this process and of the child processes that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def time_released(task: str, dataset: Any, out: Path) -> Timed:
    """Times the released construction, excluding imports."""
    import datasets

    if "contrastive" in task:
        _pipeline(True)
    random.seed(0)
    start, cpu = time.perf_counter(), processor_seconds()
    rows = []
    for row in RELEASED[task](dataset):
        rows.append(row)
    datasets.Dataset.from_list(rows).to_parquet(str(out))
    return Timed(time.perf_counter() - start, processor_seconds() - cpu, len(rows))


def time_ours(task: str, images: Path, out: Path, workers: int) -> tuple[Timed, int]:
    """Times our construction, and returns the number of images used."""
    from ssl4rl_bench.datasets import build_dataset
    from ssl4rl_bench.task.registry import load_ssl

    taskfile, ssl = load_ssl(task)
    start, cpu = time.perf_counter(), processor_seconds()
    manifest = build_dataset(ssl, taskfile.name, str(images), out, workers=workers)
    timed = Timed(time.perf_counter() - start, processor_seconds() - cpu, manifest.n_samples)
    return timed, manifest.counts["images"]["kept"]


def compare(args: argparse.Namespace) -> None:
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "images"
        folder.mkdir()
        photographs(folder, args.images)
        files = sorted(map(str, folder.iterdir()))
        plain = datasets.Dataset.from_dict({"image": files}).cast_column("image", datasets.Image())
        dataset = _embedded(plain)
        n_bytes = sum(Path(file).stat().st_size for file in files)
        print(f"{len(files)} photographs of {SIZE[0]} x {SIZE[1]}, {n_bytes / len(files) / 1000:.0f} kB each")
        print(
            f"released: samples/s (processor ms a sample); ours with {args.workers} workers; ratio of both; size"
        )
        for task in args.tasks.split(","):
            parquet, out = Path(scratch) / f"{task}.parquet", Path(scratch) / task
            theirs = time_released(task, dataset, parquet)
            ours, n_used = time_ours(task, folder, out, args.workers)
            size = (out / "data.parquet").stat().st_size / ours.n / (parquet.stat().st_size / theirs.n)
            print(
                f"{task:24} {theirs.per_second:6.1f}/s ({theirs.cpu_ms:5.1f} ms) {ours.per_second:6.1f}/s "
                f"({ours.cpu_ms:5.1f} ms) {ours.per_second / theirs.per_second:5.1f} times "
                f"({theirs.cpu_ms / ours.cpu_ms:4.1f}) {size:5.2f} of the bytes, {n_used} images used",
                flush=True,
            )
            parquet.unlink()


def _embedded(dataset: Any) -> Any:
    """Returns the data set with the bytes of its files embedded, like a data set from the hub."""
    import datasets
    from datasets.table import embed_table_storage

    return datasets.Dataset(embed_table_storage(dataset.data.table), info=dataset.info)


def memory(n: int, workers: int) -> None:
    """Builds n images in a separate process, and prints the peak memory of its process tree."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "images"
        folder.mkdir()
        synthetic(folder, n)
        command = [sys.executable, "-m", "ssl4rl_bench", "build", "ssl_rotation_90", "--images", str(folder)]
        command += ["--out", str(Path(scratch) / "out"), "--workers", str(workers)]
        start = time.perf_counter()
        process = subprocess.Popen(command)
        peak = 0
        done = threading.Event()
        while process.poll() is None:
            peak = max(peak, _tree(process.pid))
            done.wait(0.2)
        if process.returncode:
            sys.exit(f"the build failed with exit code {process.returncode}")
        seconds = time.perf_counter() - start
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(
            f"{n} images, {workers} workers: {seconds:.0f} s, {n / seconds:.0f} images/s, peak "
            f"{peak / 2**20:.0f} MiB for all processes together (largest process {largest:.0f} MiB)"
        )


def _tree(pid: int) -> int:
    """Returns the resident bytes of a process and its descendants; shared pages count once per process."""
    total = 0
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
            for thread in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (thread / "children").read_text().split())
        except (OSError, ValueError):
            continue
    return total


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--lossy", action="store_true", help="let the released way store JPEG again")
    parser.add_argument(
        "--as-run", action="store_true", help="released contrastive: read settings, collect garbage"
    )
    parser.add_argument(
        "--memory", type=int, metavar="N", help="build N synthetic images and print the peak memory"
    )
    args = parser.parse_args()
    global LOSSY, AS_RUN
    LOSSY, AS_RUN = args.lossy, args.as_run
    if args.memory:
        memory(args.memory, args.workers)
    else:
        compare(args)


if __name__ == "__main__":
    main()
