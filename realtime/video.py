"""One video job from end to end: which source, which sink, which engine, and what came of it."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

from ._memory import check_fits, lookahead_mb
from .engines import Engine
from .engines.choose import usable_cores
from .errors import SinkOpenError, SourceOpenError, StylizeError
from .folders import STDIO, names_sequence
from .frame import VideoInfo
from .journal import fingerprint, journal_folder
from .keyframes import Every
from .metrics import peak_memory_mb
from .peephole import Peephole, View
from .pipeline import Pipeline, Report
from .segments import LONG_S, SegmentJob, SegmentSettings, paint_in_segments
from .sinks import Sink
from .sinks._containers import Container, EncodeOptions
from .sinks.file import FileSink
from .sinks.images import ImageSequenceSink, is_sequence_pattern
from .sources import Source
from .sources.file import FileOptions, FileSource
from .sources.images import ImageSequenceSource, sequence_paths
from .stylizer import Stylizer
from .tiers import Tier, stage_for
from .turning import TurnedPainter, Turning

PIPES: Final = {
    "y4m": Container("yuv4mpegpipe", "wrapped_avframe", constant_rate=True),
    "raw": Container("rawvideo", "rawvideo", constant_rate=True),
}


@dataclass(frozen=True)
class VideoSettings:
    """Everything a job needs to know beside its input, output, style and engine."""

    threads: int = 0
    """Processors for painting; 0 for all."""

    read: FileOptions = field(default_factory=FileOptions)
    write: EncodeOptions = field(default_factory=EncodeOptions)
    sequence_rate: Fraction = Fraction(25)
    """Frames a second for sequences of pictures, which carry no rate of their own."""
    pipe_format: str = "y4m"
    temporal: Tier = "off"
    paint_every: Every = 1
    """How often the network runs; frames between are carried."""
    consistency: float = 1.0
    """How much of the past a tier carries on, as a share of what it usually does, 0..1."""
    show: View | None = None
    """Look into the temporal stage in place of the painting."""
    turning: Turning | None = None
    """The knobs over time; None to paint in one style as it is."""
    max_memory_mb: int | None = None
    """What this process may hold; frames too large for that are refused."""
    segments: SegmentSettings | None = None
    """Work in segments, so that an interrupted run can be gone on with; None never does."""


@dataclass
class Result:
    """What came of one job."""

    input: str
    report: Report
    notices: list[str]
    info: VideoInfo
    peak_memory_mb: float | None
    """The most memory this process has held so far, in MB."""

    def as_json(self) -> dict[str, Any]:
        """The result in plain types."""
        return {
            "input": self.input,
            "output": self.report.output,
            "whole": self.report.whole,
            "frames": self.report.frames,
            "frames_resumed": self.report.resumed,
            "seconds": round(self.report.seconds, 3),
            "cpu_seconds": round(self.report.cpu_seconds, 3),
            "fps": round(self.report.fps, 2),
            "peak_memory_mb": self.peak_memory_mb and round(self.peak_memory_mb),
            "size": [self.info.width, self.info.height],
            "notices": self.notices,
        }


class Watcher(Protocol):
    """Follows a job while it runs."""

    def begin(self, info: VideoInfo, output: str) -> None:
        """The first frame was read; painting begins."""
        ...

    def frame(self, report: Report) -> None:
        """One more frame is painted."""
        ...


def paint_video(
    source_name: str,
    target_name: str,
    engine: Engine,
    settings: VideoSettings,
    watcher: Watcher | None = None,
) -> Result:
    """Paint one input into one output.

    Raises what source, engine or sink raise; the message then says where the part that was done
    lies. An interrupt (KeyboardInterrupt) does the same after keeping that part.
    """
    source = open_source(source_name, settings)
    limit = settings.max_memory_mb
    painter = painter_for(engine, settings)
    try:
        if limit:
            check_fits(source.info, settings.temporal, limit)
        if plan := _segment_plan(source_name, target_name, source, settings):
            if watcher:
                watcher.begin(source.info, target_name)
            report, notices = paint_in_segments(plan, painter, watcher.frame if watcher else None)
            return Result(source_name, report, notices, source.info, peak_memory_mb())
        sink = _open_sink(target_name, source, settings)
        pipeline = Pipeline(source, painter, sink)
        if watcher:
            watcher.begin(source.info, target_name)
        try:
            pipeline.run(watcher.frame if watcher else None)
        except StylizeError as error:
            raise type(error)(f"{error}{_kept(pipeline.report)}") from error
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(_kept(pipeline.report).removeprefix("; ")) from error
        notices = [*source.notices, *sink.notices]
        return Result(source_name, pipeline.report, notices, source.info, peak_memory_mb())
    finally:
        painter.reset()
        source.close()


def painter_for(engine: Engine, settings: VideoSettings) -> Stylizer | TurnedPainter:
    """What paints one file from its first frame on."""
    threads = settings.threads or usable_cores()
    limit = settings.max_memory_mb

    def stylizer(engine: Engine) -> Stylizer:
        stage = stage_for(
            settings.temporal,
            threads,
            settings.consistency,
            settings.paint_every,
            lookahead_mb(limit) if limit else None,
        )
        show = Peephole(stage, settings.show) if settings.show and stage else None
        return Stylizer(engine, stage, show)

    return TurnedPainter(settings.turning, stylizer) if settings.turning else stylizer(engine)


def parse_raw(text: str) -> Mapping[str, str]:
    """FFmpeg options for raw video described as ``640x360@30`` or ``640x360@30000/1001:yuv420p``.

    Raises ValueError for anything else.
    """
    match = re.fullmatch(r"(\d+)x(\d+)@(\d+(?:/\d+)?)(?::(\w+))?", text)
    if not match:
        raise ValueError(f"{text!r} is not of the form 640x360@30 or 640x360@30000/1001:yuv420p")
    width, height, rate, pix_fmt = match.groups()
    return {
        "video_size": f"{width}x{height}",
        "framerate": rate,
        "pixel_format": pix_fmt or "rgb24",
    }


def open_source(name: str, settings: VideoSettings) -> Source:
    """The input of a name. Raises `SourceOpenError`."""
    if name == STDIO:
        return FileSource(sys.stdin.buffer, settings.read)
    path = Path(name)
    if path.is_dir() or (not path.exists() and names_sequence(path)):
        return ImageSequenceSource(
            sequence_paths(path),
            settings.sequence_rate,
            settings.read.resize,
            settings.read.max_pixels,
        )
    return FileSource(path, settings.read)


def _open_sink(name: str, source: Source, settings: VideoSettings) -> Any:
    if name == STDIO:
        return FileSink(
            sys.stdout.buffer,
            source.info,
            source.extras,
            settings.write,
            PIPES[settings.pipe_format],
        )
    path = Path(name)
    if is_sequence_pattern(path):
        sink: Sink = ImageSequenceSink(path, overwrite=settings.write.overwrite)
        return sink
    return FileSink(path, source.info, source.extras, settings.write)


def _segment_plan(
    source_name: str, target_name: str, source: Source, settings: VideoSettings
) -> SegmentJob | None:
    """How to paint in segments; None where that is neither asked for nor worth it.

    Raises `SinkOpenError` where it is asked for and can't be.
    """
    wanted = settings.segments
    if wanted is None:
        return None
    target = Path(target_name)
    hindrance = why_in_one_piece(source_name, target_name, settings)
    if hindrance:
        if wanted.always or wanted.must_resume:
            raise SinkOpenError(f"{hindrance}: leave --segments and --resume out")
        return None
    long = (source.info.duration_from_header or 0) >= LONG_S
    if not (wanted.always or wanted.must_resume or long or journal_folder(target).is_dir()):
        return None
    all_of_it = {**wanted.made_of, **made_of(source_name, settings)}
    return SegmentJob(
        source,
        target,
        settings.write,
        replace(wanted, made_of=all_of_it),
        lambda: open_source(source_name, settings),
    )


def why_in_one_piece(source_name: str, target_name: str, settings: VideoSettings) -> str | None:
    """What keeps a job from being painted in segments; None for nothing."""
    target = Path(target_name)
    if STDIO in (source_name, target_name):
        return "a pipe can't be taken up again"
    if is_sequence_pattern(target):
        return "sequences of pictures are not written in segments"
    if target.suffix.lower() == ".gif":
        return "a GIF is written in one piece"
    if settings.show:
        return "--show is not painted in segments"
    if settings.turning and not settings.turning.lasting:
        return "what a mask of movement has learned can't be taken up again"
    return None


def made_of(source_name: str, settings: VideoSettings) -> dict[str, str]:
    """What decides the output beside style and engine, by the names people know it by."""
    read, write = settings.read, settings.write
    path = Path(source_name)
    sequence = path.is_dir() or not path.exists()
    try:
        prints = [fingerprint(p) for p in (sequence_paths(path) if sequence else [path])]
    except OSError as error:
        raise SourceOpenError(f"{path} can't be read: {error.strerror}") from error
    assert settings.segments is not None
    facts = {
        "the input": prints[0] if len(prints) == 1 else sha256(str(prints).encode()).hexdigest(),
        "--start": read.start,
        "--end": read.end,
        "--size": "x".join(str(side or "") for side in read.resize),
        "audio": read.audio,
        "--codec": write.codec,
        "--crf": write.crf,
        "--preset": write.preset,
        "--pix-fmt": write.pix_fmt,
        "--fps": settings.sequence_rate if sequence else None,
        "--temporal": settings.temporal,
        "--consistency": settings.consistency,
        "--paint-every": settings.paint_every,
        "--segments": settings.segments.seconds,
        **(settings.turning.made_of if settings.turning else {}),
        "--max-memory": settings.max_memory_mb if settings.temporal == "best" else None,
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


def _kept(report: Report) -> str:
    if report.output is None:
        return "; nothing was kept"
    return f"; the {report.frames} frames painted before are in {report.output}"


def default_threads(asked: int) -> tuple[int, int]:
    """Threads for decoder and encoder: one each on small machines, where the network needs the
    rest.
    """
    cores = asked or usable_cores()
    return max(1, cores // 4), max(1, cores // 2)
