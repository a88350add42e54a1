"""Sampling frames from real video files, made here."""

from __future__ import annotations

import builtins
import struct
import sys
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench_data import picture

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import DataError, MissingDependency, UsageError
from ssl4rl_bench.core.types import VideoPart
from ssl4rl_bench.engines import video
from ssl4rl_bench.engines.video import MAX_FRAME_PIXELS, plan_frames, sample_frames

av: Any = pytest.importorskip("av")


def make_video(path: Path, n: int = 60, codec: str = "mpeg4", size: tuple[int, int] = (64, 48)) -> Path:
    """`n` frames at 10 a second; frame i is grey of level 4 i, with a white mark in its top left corner."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 12
        for i in range(n):
            picture = np.full((size[1], size[0], 3), 4 * i, np.uint8)
            picture[:8, :8] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def numbers(video: VideoPart) -> list[int]:
    """Which frames these are, read from their grey."""
    return [round(float(np.asarray(images.decode(frame))[20:, 20:].mean()) / 4) for frame in video.frames]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mpeg4"), ("a.mkv", "mpeg4"), ("a.avi", "mpeg4"), ("a.ts", "mpeg2video")]
)
def test_frames_are_spread_from_the_first_to_the_last(tmp_path: Path, name: str, codec: str) -> None:
    video = sample_frames(make_video(tmp_path / name, codec=codec))
    wanted = [round(59 * i / 11) for i in range(12)]
    assert len(video.frames) == 12
    assert all(abs(a - b) <= 1 for a, b in zip(numbers(video), wanted, strict=True))
    assert video.fps == pytest.approx(2.0)


def test_the_limit_holds_and_the_rate_says_so(tmp_path: Path) -> None:
    video = sample_frames(make_video(tmp_path / "a.mp4"), max_frames=5)
    assert len(video.frames) == 4
    assert video.fps == pytest.approx(4 / 6)
    assert numbers(video)[0] == 0 and numbers(video)[-1] in (58, 59)


def test_every_frame_of_a_short_video_can_be_had(tmp_path: Path) -> None:
    video = sample_frames(make_video(tmp_path / "a.mp4", n=30), max_frames=100, fps=10)
    assert [abs(a - b) <= 1 for a, b in zip(numbers(video), range(30), strict=True)] == [True] * 30


def test_a_video_of_one_frame_gives_it_twice(tmp_path: Path) -> None:
    video = sample_frames(make_video(tmp_path / "a.mp4", n=1))
    assert len(video.frames) == 2 and video.frames[0] == video.frames[1]


def test_the_same_file_gives_the_same_frames(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4")
    assert sample_frames(path) == sample_frames(path)


def test_a_video_that_was_filmed_upright_comes_upright(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4")
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 44  # the display matrix of ISO 14496-12: here a quarter turn clockwise
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    pixels = np.asarray(images.decode(sample_frames(path).frames[0]))
    assert pixels.shape == (64, 48, 3)
    assert pixels[:6, -6:].mean() > 250 and pixels[:6, :6].mean() < 10


def test_large_frames_are_shrunk_in_proportion(tmp_path: Path) -> None:
    video = sample_frames(make_video(tmp_path / "a.mp4", n=2, size=(1920, 1080)))
    width, height = images.size(video.frames[0])
    assert width * height <= MAX_FRAME_PIXELS
    assert width / height == pytest.approx(1920 / 1080, rel=0.01)


def test_a_playlist_that_names_another_file_is_not_followed(tmp_path: Path) -> None:
    make_video(tmp_path / "secret.ts", codec="mpeg2video")
    for name, text in (
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\nsecret.ts\n#EXT-X-ENDLIST\n"),
        ("a.ffconcat", "ffconcat version 1.0\nfile secret.ts\n"),
    ):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(DataError, match="cannot be read as a video"):
            sample_frames(path)


@pytest.mark.parametrize("data", [b"", b"text", b"\x00" * 4096])
def test_what_is_no_video_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.mp4"):
        sample_frames(path)


def test_a_video_that_is_cut_off_is_an_error_and_no_fewer_frames(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.avi")
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        try:
            video = sample_frames(path)
        except DataError as error:
            assert "a.avi" in str(error)
        else:
            assert numbers(video) == sorted(numbers(video)) and len(video.frames) % 2 == 0


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match="no video stream"):
        sample_frames(path)


@pytest.mark.parametrize(("frames", "fps"), [(1, 2.0), (100_000, 2.0), (8, 0.0), (8, float("nan"))])
def test_limits_that_make_no_sense_are_refused(tmp_path: Path, frames: int, fps: float) -> None:
    with pytest.raises(UsageError):
        sample_frames(tmp_path / "a.mp4", frames, fps)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no video file"):
        sample_frames(tmp_path / "a.mp4")


def test_without_pyav_the_command_that_adds_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_av(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(MissingDependency, match=r"ssl4rl-bench\[video\]"):
        sample_frames(tmp_path / "a.mp4")


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1e4, width=32), min_size=1, max_size=60, unique=True).map(sorted),
    st.integers(2, 40),
    st.floats(0.01, 60),
)
def test_a_plan_is_even_ordered_and_within_its_limits(times: list[float], limit: int, fps: float) -> None:
    chosen = plan_frames(times, times[-1] - times[0], limit, fps)
    assert len(chosen) % 2 == 0 and 2 <= len(chosen) <= limit
    assert chosen == sorted(chosen)
    assert chosen[0] == 0 and chosen[-1] == len(times) - 1


def packets(*stamps: int | None) -> Any:
    found = [SimpleNamespace(pts=stamp, is_keyframe=stamp == 0) for stamp in stamps]
    stream = SimpleNamespace(time_base=Fraction(1, 2))
    return SimpleNamespace(streams=SimpleNamespace(video=[stream]), demux=lambda _: found)


def test_time_stamps_come_in_order_and_are_there_and_few(monkeypatch: pytest.MonkeyPatch) -> None:
    times = video._time_stamps(packets(4, None, 0, 2), Path("a.mp4"))
    assert times == ([0, 2, 4], [0], Fraction(1, 2))
    with pytest.raises(DataError, match=r"a\.mp4 has no frames with a time; convert it to MP4"):
        video._time_stamps(packets(None), Path("a.mp4"))
    monkeypatch.setattr(video, "MAX_PACKETS", 2)
    with pytest.raises(DataError, match=r"a\.mp4 has more than 2 frames; cut it"):
        video._time_stamps(packets(0, 1, 2), Path("a.mp4"))


def test_frames_that_do_not_decode_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    path.touch()
    decoded: list[list[int]] = []

    def decode(container: Any, wanted: list[int], keys: list[int], path: Path) -> Any:
        decoded.append(keys)
        return [(wanted[0], images.from_bytes(picture()))]

    @contextmanager
    def opened(*_: Any) -> Any:
        yield packets(0, 1, 2, 3)

    monkeypatch.setitem(sys.modules, "av", SimpleNamespace(FFmpegError=OSError))
    monkeypatch.setattr(video, "_opened", opened)
    monkeypatch.setattr(video, "_decode", decode)
    with pytest.raises(DataError) as caught:
        video.sample_frames(path, max_frames=4)
    assert str(caught.value) == f"{path} is damaged: 3 of 4 frames do not decode"
    assert decoded == [[0], []], "the second time without seeking"


def test_frames_of_too_many_pixels_are_refused() -> None:
    large = SimpleNamespace(width=10_000, height=10_000, pts=0)
    stream = SimpleNamespace(video=[None])
    container = SimpleNamespace(streams=stream, decode=lambda _: iter([large]))
    with pytest.raises(DataError, match=r"a\.mp4 has frames of more than 40 million pixels"):
        list(video._decode(container, [0], [], Path("a.mp4")))
