"""Frames from and for hardware, doubled at the border to PyAV, and settings of its encoders."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hwaccel_tools import BY_NAME, CUDA, INFO
from media import read_video, write_video

from stylize_video.realtime import FileSource
from stylize_video.realtime.accelerators import HardwareDecoder
from stylize_video.realtime.colour import Colour
from stylize_video.realtime.errors import SinkOpenError, SourceOpenError, SourceReadError
from stylize_video.realtime.frame import Extras, Frame
from stylize_video.realtime.sinks._containers import EncodeOptions, encoder_options, pixel_format
from stylize_video.realtime.sinks._hardware import quality_options, speed_options
from stylize_video.realtime.sinks.file import FileSink
from stylize_video.realtime.sources import Mark, _hardware, digest_of
from stylize_video.realtime.sources.file import FileOptions


def pictures(path: Path, hardware: HardwareDecoder | None = None, **changes: Any) -> list[Frame]:
    source = FileSource(path, FileOptions(hardware=hardware, **changes))
    try:
        return [item for item in source if isinstance(item, Frame)]
    finally:
        source.close()


# --- frames as cards give them


class Card:
    """A decoder at the border to PyAV that gives frames as cards do: colours in one plane."""

    def __init__(self, context: Any, fails_after: int | None) -> None:
        self.__dict__.update(_context=context, _left=fails_after)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._context, name, value)

    def decode(self, packet: Any) -> list[av.VideoFrame]:
        if self._left is not None and packet.size:
            self.__dict__["_left"] -= 1
            if self._left < 0:
                raise av.InvalidDataError(-1094995529, "Invalid data")
        return [self._packed(frame) for frame in self._context.decode(packet)]

    def _packed(self, frame: av.VideoFrame) -> av.VideoFrame:
        formats = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}
        layout = formats[frame.format.name]
        packed = frame.reformat(format=layout)
        packed.colorspace, packed.color_range = frame.colorspace, frame.color_range
        packed.color_trc, packed.color_primaries = frame.color_trc, frame.color_primaries
        return packed


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Makes decoders by name cards; `fails_after` packets they break."""
    settings: dict[str, Any] = {"fails_after": None, "made": 0}

    class Context:
        @staticmethod
        def create(name: str, mode: str) -> Card:
            settings["made"] += 1
            return Card(av.CodecContext.create(name, mode), settings["fails_after"])

    class Border:
        CodecContext = Context
        FFmpegError, VideoFrame = av.FFmpegError, av.VideoFrame

    monkeypatch.setattr(_hardware, "av", Border)
    return settings


def _interlaced(stream: Any) -> None:
    stream.codec_context.flags |= 0x40000  # interlaced DCT


KINDS: dict[str, dict[str, Any]] = {
    "plain": {"audio": True},
    "709 full": {"prepare": lambda s: _tag(s, matrix=1, full=True)},
    "odd": {"size": (99, 67), "pix_fmt": "yuv420p", "codec": "libvpx-vp9"},
    "10 bit": {"pix_fmt": "yuv420p10le", "codec": "libx265"},
    "HDR": {
        "pix_fmt": "yuv420p10le",
        "codec": "libx265",
        "prepare": lambda s: _tag(s, matrix=9, transfer=16, primaries=9),
    },
    "interlaced": {"prepare": _interlaced, "options": {"x264-params": "tff=1"}},
}


def _tag(stream: Any, matrix: int, full: bool = False, **more: int) -> None:
    context = stream.codec_context
    context.colorspace, context.color_range = matrix, 2 if full else 1
    context.color_trc = more.get("transfer", 1)
    context.color_primaries = more.get("primaries", 1)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("kinds")

    def make(name: str) -> Path:
        options = dict(KINDS[name])
        size = options.pop("size", (96, 64))
        if options.get("codec") == "libx265":
            options["options"] = {"preset": "ultrafast", "x265-params": "log-level=error"}
        elif options.get("codec"):
            options["options"] = {"cpu-used": "8", "crf": "10", "b": "0"}
        path = folder / f"{name}.mkv"
        return path if path.exists() else write_video(path, 30, size, Fraction(25), **options)

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_cards_become_the_pixels_of_software(
    kind: str, kinds: Callable[[str], Path], card: dict[str, Any]
) -> None:
    path = kinds(kind)
    ours, theirs = pictures(path), pictures(path, BY_NAME)
    assert card["made"] == 1
    assert len(ours) == 30
    assert [f.pts for f in ours] == [f.pts for f in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert np.array_equal(a.pixels, b.pixels)


def test_a_part_and_a_place_found_again(kinds: Callable[[str], Path], card: dict[str, Any]) -> None:
    path = kinds("plain")
    part = {"start": Fraction(2, 5), "end": Fraction(1)}
    ours, theirs = pictures(path, **part), pictures(path, BY_NAME, **part)
    assert [(f.pts, digest_of(f.pixels)) for f in ours] == [
        (f.pts, digest_of(f.pixels)) for f in theirs
    ]
    whole = pictures(path)
    mark = Mark(27, whole[26].pts, digest_of(whole[26].pixels))
    source = FileSource(path, FileOptions(hardware=BY_NAME))
    source.skip_through(mark)
    rest = [item for item in source if isinstance(item, Frame)]
    source.close()
    assert [digest_of(f.pixels) for f in rest] == [digest_of(f.pixels) for f in whole[27:]]


def test_what_a_card_refuses_midway_is_said_and_not_skipped(
    clip: Path, card: dict[str, Any]
) -> None:
    card["fails_after"] = 20
    with pytest.raises(SourceReadError, match=r"by fake beyond frame \d+: .*--hwaccel none"):
        pictures(clip, BY_NAME)


def test_a_stream_that_no_card_decodes_is_refused(clip: Path, tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv", 3, (64, 48), Fraction(25), codec="ffv1", options={"level": "3"}
    )
    with pytest.raises(SourceOpenError, match="fake has no decoder for ffv1"):
        FileSource(path, FileOptions(hardware=HardwareDecoder("fake", None, "_nvenc")))
    with pytest.raises(SourceOpenError, match=r"is not a readable video: \S"):
        FileSource(path, FileOptions(hardware=CUDA.decoder))
    with pytest.raises(SourceOpenError, match=r"is not a readable video: \S"):
        FileSource(clip, FileOptions(hardware=CUDA.decoder))


# --- knobs of encoders


def knobs(codec: str) -> set[str]:
    context = av.CodecContext.create(codec, "w")
    return {
        o.name for o in (*context.supported_options.private, *context.supported_options.generic)
    }


@pytest.mark.parametrize(
    "codec", ["h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "h264_amf"]
)
@pytest.mark.parametrize("preset", [None, "ultrafast", "medium", "veryslow"])
def test_quality_and_speed_are_knobs_the_encoder_has(codec: str, preset: str | None) -> None:
    chosen = encoder_options(codec, EncodeOptions(crf=23, preset=preset))
    assert "23" in chosen.values()
    assert chosen["bf"] == "0"
    assert set(chosen) <= knobs(codec)
    context = av.CodecContext.create(codec, "w")
    for option in context.supported_options.private:
        if option.name in chosen and option.choices:
            names = {choice.name for choice in option.choices}
            assert chosen[option.name] in names, f"{codec} has no {option.name} {chosen}"


def test_quality_means_what_it_means_to_x264() -> None:
    assert quality_options("h264_nvenc", 20, set())["cq"] == "20"
    assert quality_options("h264_nvenc", 0, set())["cq"] == "1"  # 0 would be automatic
    assert quality_options("hevc_qsv", 20, set())["global_quality"] == "20"
    assert quality_options("h264_vaapi", 20, {"qp"})["qp"] == "20"
    assert quality_options("vp9_vaapi", 20, set())["global_quality"] == "20"
    apple = [quality_options("h264_videotoolbox", n, set())["global_quality"] for n in (0, 18, 51)]
    assert [round(int(q) / 118) for q in apple] == [100, 66, 4]
    assert quality_options("hevc_amf", 20, {"qp_i", "qp_p"}) == {
        "bf": "0", "rc": "cqp", "qp_i": "20", "qp_p": "20",
    }  # fmt: skip
    assert speed_options("h264_nvenc", "p6") == {"preset": "p6"}
    assert speed_options("h264_vaapi", "fast") is None


def test_formats_of_frames() -> None:
    assert pixel_format("h264_qsv", None) == "nv12"
    assert pixel_format("h264_qsv", "yuv420p") == "nv12"
    assert pixel_format("hevc_nvenc", None) == "yuv420p"
    assert pixel_format("hevc_nvenc", "yuv420p10le") == "p010le"
    assert pixel_format("hevc_qsv", "yuv420p10le") == "p010le"
    with pytest.raises(SinkOpenError, match="does not take --pix-fmt yuv422p"):
        pixel_format("h264_qsv", "yuv422p")


def test_frames_for_cards_hold_the_samples_of_software(tmp_path: Path) -> None:
    """x264 takes both layouts: what it makes of them must be the same."""
    random = np.random.default_rng(0)
    info = replace(INFO, colour=Colour(1, 1, 1, 1))
    shots = [random.integers(0, 256, (65, 97, 3)).astype(np.uint8) for _ in range(3)]
    shown = []
    for layout in ("yuv420p", "nv12"):
        file = tmp_path / f"{layout}.mkv"
        options = EncodeOptions(codec="libx264", crf=1, pix_fmt=layout, threads=1)
        sink = FileSink(file, info, Extras(), options)
        for number, pixels in enumerate(shots):
            sink.write(Frame(pixels, Fraction(number, 25)))
        sink.finish()
        shown.append(read_video(file))
    for a, b in zip(*shown, strict=True):
        assert (a.width, a.height) == (98, 66)
        assert (int(a.colorspace), int(a.color_range)) == (1, 1)
        assert (int(b.colorspace), int(b.color_range)) == (1, 1)
        assert np.array_equal(a.to_ndarray(format="yuv420p"), b.to_ndarray(format="yuv420p"))
