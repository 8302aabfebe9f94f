"""The options of `stylize video` and `image`, and what they ask for."""

import argparse
from fractions import Fraction
from typing import Any

from ._batch_options import add_batch, add_inputs
from ._cluster_options import add_cluster
from ._looks import add_look, add_timeline
from ._memory import tile_pixels
from ._options import (
    parse_count,
    parse_devices,
    parse_every,
    parse_megabytes,
    parse_names,
    parse_painting,
    parse_ranges,
    parse_rate,
    parse_raw_video,
    parse_seconds,
    parse_share,
    parse_size,
    parse_threads,
    read_paintings,
)
from ._segment_options import add_segments
from .accelerators import ACCELERATORS
from .catalogue import DEFAULT_STYLE
from .engines import ENGINE_NAMES
from .engines.choose import EngineRequest
from .errors import StylizeError
from .folders import STDIO
from .hwaccel import HardwareRequest
from .peephole import VIEWS
from .sinks._containers import DEFAULT_CRF, DEFAULT_PRESET, EncodeOptions
from .sources.file import DEFAULT_MAX_PIXELS, FileOptions
from .tiers import TIERS
from .video import PIPES, VideoSettings, default_threads


def add_temporal(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("steadiness")
    group.add_argument(
        "--temporal",
        choices=TIERS,
        default="quality",
        help="how frames are kept steady in time: off paints each by itself, fast and quality "
        "carry the last painting along by optical flow, best averages each with those before and "
        "after it (default: %(default)s)",
    )
    group.add_argument(
        "--consistency",
        type=parse_share,
        default=1.0,
        metavar="0..1",
        help="how much of other frames is taken over, from none to all that fits (default: 1)",
    )
    group.add_argument(
        "--paint-every",
        type=parse_every,
        default=1,
        metavar="N",
        help="run the network on every Nth frame, or auto, and carry its strokes through the "
        "frames between: for slow networks, with --temporal fast or quality (default: 1)",
    )
    group.add_argument(
        "--show",
        choices=VIEWS,
        help="look into it: write this in place of the painting",
    )


def add_video(parser: argparse.ArgumentParser) -> None:
    add_inputs(parser)
    parser.add_argument(
        "--styles",
        type=parse_names,
        metavar="NAME,NAME…",
        help="paint in several styles at once, an output for each: the input is read and decoded "
        "once; the output is a folder, or a name with {style} in it",
    )
    add_temporal(parser)
    add_look(parser)
    add_timeline(parser)
    picture = parser.add_argument_group("picture")
    picture.add_argument(
        "--start", type=parse_seconds, metavar="TIME", help="begin here: seconds or H:MM:SS.s"
    )
    picture.add_argument(
        "--end", type=parse_seconds, metavar="TIME", help="stop here: seconds or H:MM:SS.s"
    )
    add_size(picture)
    picture.add_argument(
        "--fps",
        type=parse_rate,
        default=Fraction(25),
        metavar="RATE",
        help="frames a second of a sequence of pictures (default: 25)",
    )
    picture.add_argument(
        "--raw",
        type=parse_raw_video,
        metavar="WxH@RATE[:FORMAT]",
        help="stdin is raw video of this size, rate and pixel format (default rgb24)",
    )
    encoding = parser.add_argument_group("output")
    encoding.add_argument("--codec", help="video encoder (default: libx264, libvpx-vp9 for .webm)")
    encoding.add_argument(
        "--crf",
        type=int,
        metavar="N",
        help=f"quality, lower is better (default: {DEFAULT_CRF} for x264 and x265)",
    )
    encoding.add_argument(
        "--preset", help=f"encoder speed (default: {DEFAULT_PRESET} for x264 and x265)"
    )
    encoding.add_argument("--pix-fmt", help="pixel format (default: yuv420p)")
    encoding.add_argument("--no-audio", action="store_true", help="leave the audio tracks out")
    encoding.add_argument(
        "--format",
        choices=sorted(PIPES),
        default="y4m",
        help="what is written to stdout (default: %(default)s; raw is rgb24)",
    )
    add_hardware(encoding)
    encoding.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    add_memory(parser)
    add_batch(parser)
    add_segments(parser)
    add_cluster(parser)
    add_engine(parser)
    parser.add_argument(
        "--devices",
        type=parse_devices,
        metavar="N,N…",
        help="graphics cards to paint on, by number: several inputs are dealt to them",
    )
    add_talk(parser)


def add_hardware(group: Any) -> None:
    group.add_argument(
        "--hwaccel",
        choices=["none", "auto", *(accelerator.name for accelerator in ACCELERATORS)],
        default="none",
        help="decode and encode by hardware, tried on real frames first: auto takes the first that "
        "works and says what it does, a name is refused where it doesn't work (default: "
        "%(default)s, whose files are smaller, and the same on every machine)",
    )
    group.add_argument(
        "--hwaccel-only",
        choices=["decode", "encode"],
        help="one half of the work by hardware, the other in software",
    )


def hardware_request(options: argparse.Namespace) -> HardwareRequest | None:
    if options.hwaccel == "none":
        if options.hwaccel_only:
            raise StylizeError("--hwaccel-only goes with --hwaccel")
        return None
    return HardwareRequest(options.hwaccel, options.hwaccel_only, ACCELERATORS)


def add_image(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", help="a picture")
    parser.add_argument(
        "output", nargs="?", help="the painted picture; by default beside the input"
    )
    add_size(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    add_look(parser)
    add_engine(parser)
    add_talk(parser)


def add_size(parser: Any) -> None:
    parser.add_argument(
        "--size",
        type=parse_size,
        default=(None, None),
        metavar="WxH",
        help="scale to this size; 1280x or x720 keeps the aspect",
    )
    parser.add_argument(
        "--max-pixels",
        type=parse_count,
        default=DEFAULT_MAX_PIXELS,
        metavar="N",
        help="refuse larger frames (default: %(default)s)",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("style and engine")
    group.add_argument(
        "--style",
        default=DEFAULT_STYLE,
        help="a style's name (see `stylize styles`), its folder, or an ONNX file "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--painting",
        action="append",
        default=[],
        type=parse_painting,
        metavar="FILE[:WEIGHT]",
        help="a picture to paint like, for a style that takes any; several are mixed by weight, "
        "which the knob paintings turns",
    )
    group.add_argument(
        "--alpha",
        type=parse_share,
        default=1.0,
        metavar="0..1",
        help="how much of such a style, from the photo to all of it (default: 1)",
    )
    group.add_argument(
        "--engine",
        choices=ENGINE_NAMES,
        default="auto",
        help="what runs the network (default: the fastest that works here)",
    )
    group.add_argument(
        "--precision",
        choices=["fp32", "int8"],
        help="which of the style's networks (default: int8 on the CPU, else fp32)",
    )
    group.add_argument(
        "--threads",
        type=parse_threads,
        default=0,
        metavar="N",
        help="processor threads (default: all)",
    )
    group.add_argument(
        "--model-range",
        type=parse_ranges,
        metavar="IN[,OUT]",
        help="values a foreign float model takes and gives: 0..255, 0..1 or -1..1",
    )
    group.add_argument(
        "--fit",
        choices=["resize", "tile"],
        default="resize",
        help="how frames reach a foreign model of fixed size (default: %(default)s)",
    )


def add_talk(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON on stdout")


def add_memory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-memory",
        type=parse_megabytes,
        metavar="SIZE",
        help="keep below this, 2G or 1500M for instance: frames are painted in smaller tiles, and "
        "refused where that is not enough (default: tiles from 4K on, which keep 4K below 1.5 GB "
        "and 8K below 3 GB)",
    )


def engine_request(options: argparse.Namespace) -> EngineRequest:
    limit = getattr(options, "max_memory", None)
    devices = getattr(options, "devices", None)
    return EngineRequest(
        options.engine,
        options.precision,
        options.threads,
        options.fit,
        options.model_range,
        read_paintings(options.painting),
        options.alpha,
        tile_pixels(limit, options.engine) if limit else None,
        devices[0] if devices else None,
    )


def video_settings(options: argparse.Namespace) -> VideoSettings:
    if options.raw and options.input != STDIO:
        raise StylizeError("--raw describes raw video on standard input: give - as the input")
    if options.show and options.temporal == "off":
        raise StylizeError("--show looks into the temporal stage, which --temporal off leaves out")
    if options.start is not None and options.end is not None and options.end <= options.start:
        raise StylizeError(
            f"--end {float(options.end)} must come after --start {float(options.start)}"
        )
    codec, pix_fmt = options.codec, options.pix_fmt
    to_pipe = options.output == STDIO or (options.output is None and options.input == STDIO)
    if to_pipe and options.format == "raw" and pix_fmt is None:
        pix_fmt = "rgb24"
    decoding, encoding = default_threads(options.threads)
    return VideoSettings(
        threads=options.threads,
        temporal=options.temporal,
        consistency=options.consistency,
        paint_every=options.paint_every,
        show=options.show,
        read=FileOptions(
            start=options.start,
            end=options.end,
            resize=options.size,
            max_pixels=options.max_pixels,
            audio=not options.no_audio,
            threads=decoding,
            format="rawvideo" if options.raw else None,
            format_options=options.raw,
        ),
        write=EncodeOptions(
            codec=codec,
            crf=options.crf,
            preset=options.preset,
            pix_fmt=pix_fmt,
            overwrite=options.overwrite,
            threads=encoding,
        ),
        max_memory_mb=options.max_memory,
        hardware=hardware_request(options),
        sequence_rate=options.fps,
        pipe_format=options.format,
    )
