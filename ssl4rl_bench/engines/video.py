"""Samples evenly spaced frames from a local video file, up to a given number."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError, MissingDependency, UsageError
from ssl4rl_bench.core.types import EncodedImage, VideoPart

if TYPE_CHECKING:
    from PIL import Image

MAX_FRAME_PIXELS = 768 * 28 * 28
"""Larger frames are shrunk to this size, which is the limit per frame in Qwen2.5-VL's toolkit."""
MAX_FRAMES = 768
"""The maximum number of sampled frames, also from Qwen2.5-VL's toolkit."""
MAX_PACKETS = 1_000_000
"""The maximum number of frames in a file, enough for about nine hours."""
FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif"
"""The allowed container formats. Playlists are excluded: they name other files, which FFmpeg would open."""


def plan_frames(times: list[float], duration: float, max_frames: int, fps: float) -> list[int]:
    """Returns the indices of the frames to take, `fps` per second, evenly spread from the first to the last.

    The number is even, because Qwen2.5-VL merges frames in pairs. It is at least 2 (a video of one frame
    gives it twice) and at most `max_frames` or the number of frames in the video, rounded down to even.

    Args:
        times: the times of the frames in seconds, ascending; not empty.
        duration: the duration of the video in seconds.
    """
    wanted = min(round(duration * fps), max_frames, len(times))
    n = max(2, wanted - wanted % 2)
    first, last = times[0], times[-1]
    chosen, index = [], 0
    for i in range(n):
        target = first + (last - first) * i / (n - 1)
        while index + 1 < len(times) and abs(times[index + 1] - target) <= abs(times[index] - target):
            index += 1
        chosen.append(index)
    return chosen


def sample_frames(path: Path, max_frames: int = 16, fps: float = 2.0) -> VideoPart:
    """Reads `fps` frames per second, at most `max_frames` in total, rotated upright and encoded as PNG.

    Raises:
        UsageError: for `max_frames` or `fps` out of range.
        DataError: if the file does not exist or is not a readable video.
        MissingDependency: if PyAV is not installed.
    """
    if not 2 <= max_frames <= MAX_FRAMES:
        raise UsageError(f"video frames must be between 2 and {MAX_FRAMES}, not {max_frames}")
    if not (math.isfinite(fps) and fps > 0):
        raise UsageError(f"frames per second must be above 0, not {fps}")
    try:
        import av
    except ImportError:
        raise MissingDependency.of("videos need PyAV", "video") from None
    if not path.is_file():
        raise DataError(f"no video file {path}")
    try:
        with _opened(av, path) as container:
            times, keys, base = _time_stamps(container, path)
            seconds = [float(stamp * base) for stamp in times]
            span = seconds[-1] - seconds[0]
            duration = span * len(times) / (len(times) - 1) if span else 0.0
            chosen = [times[i] for i in plan_frames(seconds, duration, max_frames, fps)]
            frames = dict(_decode(container, sorted(set(chosen)), keys, path))
        if len(frames) < len(set(chosen)):  # seeking in MPEG-TS can overshoot: decode again without seeking
            with _opened(av, path) as container:
                frames = dict(_decode(container, sorted(set(chosen)), [], path))
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{path} cannot be read as a video: {error.strerror or error}") from None
    missing = sum(stamp not in frames for stamp in chosen)
    if missing:
        raise DataError(f"{path} is damaged: {missing} of {len(chosen)} frames do not decode")
    rate = len(chosen) / duration if duration > 0 else fps
    return VideoPart(frames=tuple(frames[stamp] for stamp in chosen), fps=rate)


@contextmanager
def _opened(av: Any, path: Path) -> Iterator[Any]:
    options = {"format_whitelist": FORMATS, "protocol_whitelist": ""}
    with path.open("rb") as file, av.open(file, options=options, metadata_errors="ignore") as container:
        if not container.streams.video:
            raise DataError(f"{path} has no video stream")
        yield container


def _time_stamps(container: Any, path: Path) -> tuple[list[int], list[int], Fraction]:
    """Returns the time stamps of all frames and of the key frames, ascending, and their unit in seconds.

    Nothing is decoded.
    """
    stream = container.streams.video[0]
    stamps: list[int] = []
    keys: list[int] = []
    for packet in container.demux(stream):
        if packet.pts is None:
            continue
        stamps.append(packet.pts)
        if packet.is_keyframe:
            keys.append(packet.pts)
        if len(stamps) > MAX_PACKETS:
            raise DataError(f"{path} has more than {MAX_PACKETS:,} frames; cut it")
    if not stamps:
        raise DataError(f"{path} has no frames with a time; convert it to MP4")
    return sorted(stamps), sorted(keys), stream.time_base


def _decode(
    container: Any, wanted: list[int], keys: list[int], path: Path
) -> Iterator[tuple[int, EncodedImage]]:
    """Yields each wanted time stamp with its frame; seeks only if that skips to a later key frame."""
    stream = container.streams.video[0]
    frames: Iterator[Any] = container.decode(stream)
    position = -1 if not keys else keys[0] - 1
    for target in wanted:
        sought = bisect_right(keys, target) > bisect_right(keys, position)
        if sought:
            container.seek(target, stream=stream)
            frames = container.decode(stream)
        for frame in frames:
            if frame.width * frame.height > images.MAX_PIXELS:
                millions = images.MAX_PIXELS // 1_000_000
                raise DataError(f"{path} has frames of more than {millions} million pixels")
            position = frame.pts if frame.pts is not None else position
            if sought and position > target:
                return
            sought = False
            if position >= target:
                yield target, images.from_pil(_picture(frame))
                break


def _picture(frame: Any) -> Image.Image:
    """Converts a frame to an image of at most `MAX_FRAME_PIXELS`, rotated as the file's metadata says."""
    image: Image.Image = frame.to_image()
    excess = image.width * image.height / MAX_FRAME_PIXELS
    if excess > 1:
        scale = math.sqrt(excess)
        image = image.resize((max(1, int(image.width / scale)), max(1, int(image.height / scale))))
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image
