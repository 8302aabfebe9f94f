"""Small media and models for tests, made on the spot through PyAV and onnx."""

import importlib.util
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from stylize_video.realtime import SyntheticSource
from stylize_video.realtime.sinks._containers import EncodeOptions

Draw = Callable[[int], NDArray[np.uint8]]

LOSSLESS = EncodeOptions(codec="ffv1", pix_fmt="bgr0", threads=1, overwrite=True)
"""How a film is written that must hold every pixel as it was painted."""

ODD_CLIPS = (
    "interlaced_tff_mpeg2.ts",
    "timestamps_jump_back_concat.ts",
    "no_timestamps_raw_annexb.h264",
    "duplicate_pts.mkv",
    "real_mpeg4_xvid.avi",
    "vfr_dropped_frames.mp4",
    "audio_starts_late_1.2s.mp4",
    "start_time_5000s.mkv",
    "display_matrix_rotate90.mp4",
    "resolution_changes_mid_stream.ts",
)
"""Test clips that are hard to take up midway."""


def write_video(
    path: Path,
    frames: int,
    size: tuple[int, int],
    rate: Fraction,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    audio: bool = False,
    draw: Draw | None = None,
    prepare: Callable[[Any], None] | None = None,
) -> Path:
    """Write a video; `times` are pts in `time_base`, by default every frame after the other.

    `prepare` gets the video stream before anything is written, to set tags.
    """
    source = SyntheticSource(*size, frames, rate)
    base = time_base or 1 / rate
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=rate, options=options or {"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        video.codec_context.time_base = base
        if prepare:
            prepare(video)
        sound = output.add_stream("aac", rate=44100) if audio else None
        for index in range(frames):
            picture = (draw or source.draw)(index)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (times[index] if times else index), base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if sound is not None:
            samples = round(44100 * frames / rate)
            wave = 0.2 * np.sin(np.arange(samples) / 20).astype(np.float32)
            block = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
            block.rate, block.pts = 44100, 0
            output.mux(sound.encode(block))
            output.mux(sound.encode(None))
    return path


def write_film(
    path: Path,
    frames: int,
    size: tuple[int, int],
    draw: Draw,
    seed: int = 3,
    keyframes: int = 30,
) -> Path:
    """A film with sound, at a rate that wanders, a keyframe at least every so many frames."""
    ticks = np.random.default_rng(seed).integers(2000, 5200, frames).cumsum()
    return write_video(
        path,
        frames,
        size,
        Fraction(25),
        times=[int(t) for t in ticks],
        time_base=Fraction(1, 90000),
        audio=True,
        draw=draw,
        options={"preset": "ultrafast", "bf": "2", "g": str(keyframes)},
    )


def rolling(cut: int) -> Draw:
    """Two scenes of 128x96 coloured squares that move: one before the frame `cut`, then another."""
    scenes = np.random.default_rng(3).integers(0, 256, (2, 12, 16, 3)).astype(np.uint8)

    def draw(index: int) -> NDArray[np.uint8]:
        picture = scenes[index // cut].repeat(8, 0).repeat(8, 1)
        return np.ascontiguousarray(np.roll(picture, (index // 2, index), (0, 1)))

    return draw


def load_script(path: Path) -> ModuleType:
    """A script as a module, without running its main()."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_video(path: Path) -> list[av.VideoFrame]:
    """Every frame of the first moving picture of a file."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def frame_times(path: Path) -> list[Fraction]:
    """When each frame of a file is shown, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [f.pts * Fraction(f.time_base or stream.time_base) for f in container.decode(stream)]


def packets(path: Path, kind: str, index: int = 0) -> list[tuple[Fraction, int, bytes]]:
    """Time, size and bytes of every packet of the n-th stream of a kind."""
    with av.open(str(path)) as container:
        stream = [s for s in container.streams if s.type == kind][index]
        return [
            (p.pts * Fraction(p.time_base), p.size, bytes(p))
            for p in container.demux(stream)
            if p.size
        ]


def assert_same_frames(one: Path, other: Path) -> None:
    """Times and pixels of all frames are equal."""
    assert frame_times(one) == frame_times(other)
    for a, b in zip(read_video(one), read_video(other), strict=True):
        assert np.array_equal(a.to_ndarray(format="rgb24"), b.to_ndarray(format="rgb24"))


def assert_same(one: Path, other: Path) -> None:
    """Frames, times, pixels and every packet of sound are equal."""
    assert_same_frames(one, other)
    assert packets(one, "audio") == packets(other, "audio")


def identity_model() -> bytes:
    """uint8 (1, height, width, 3) in and out, unchanged."""
    shape: list[Any] = [1, "height", "width", 3]
    return model_bytes(
        [helper.make_node("Identity", ["frame"], ["painted"])],
        ("frame", TensorProto.UINT8, shape),
        ("painted", TensorProto.UINT8, shape),
    )


def model_bytes(
    nodes: Sequence[onnx.NodeProto],
    entry: tuple[str, int, Sequence[Any]],
    end: tuple[str, int, Sequence[Any]],
    constants: Sequence[onnx.TensorProto] = (),
    more_inputs: Sequence[onnx.ValueInfoProto] = (),
) -> bytes:
    """The bytes of a model with one input and one output, each (name, type, shape)."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(*entry), *more_inputs],
        [helper.make_tensor_value_info(*end)],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    content: bytes = model.SerializeToString()
    return content
