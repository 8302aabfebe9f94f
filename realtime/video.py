"""One video job from end to end: which source, which sink, which engine, and what came of it."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Protocol

from .catalogue import Style
from .engines import Engine
from .engines.choose import usable_cores
from .errors import SinkOpenError, SourceOpenError, StylizeError
from .frame import VideoInfo
from .keyframes import Every
from .metrics import peak_memory_mb
from .peephole import Peephole, View
from .pipeline import Pipeline, Report
from .sinks import Sink
from .sinks._containers import CONTAINERS, Container, EncodeOptions
from .sinks.file import FileSink
from .sinks.images import ImageSequenceSink, is_sequence_pattern
from .sources import Source
from .sources.file import FileOptions, FileSource
from .sources.images import IMAGE_SUFFIXES, ImageSequenceSource, sequence_paths
from .stylizer import Stylizer
from .tiers import Tier, stage_for
from .turning import TurnedPainter, Turning

STDIO: Final = "-"
PIPES: Final = {
    "y4m": Container("yuv4mpegpipe", "wrapped_avframe", constant_rate=True),
    "raw": Container("rawvideo", "rawvideo", constant_rate=True),
}
VIDEO_SUFFIXES: Final = frozenset(CONTAINERS) | {
    ".3gp",
    ".apng",
    ".asf",
    ".avi",
    ".flv",
    ".h264",
    ".hevc",
    ".m2ts",
    ".mpeg",
    ".mpg",
    ".mts",
    ".mxf",
    ".nut",
    ".ogv",
    ".ts",
    ".wmv",
    ".y4m",
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


def jobs(source: str, target: str | None, style: Style) -> list[tuple[str, str]]:
    """The (input, output) pairs for what was given: one for a file, one for each clip of a folder.

    Without a target, the output is ``<stem>_<style>.<ending>`` beside the input, MP4 where the
    input's own container is not one that is written. Raises `SourceOpenError` or `SinkOpenError`.
    """
    if source == STDIO:
        return [(source, STDIO if target is None else target)]
    path = Path(source)
    if path.is_dir() and not _holds_only_pictures(path):
        return _folder_jobs(path, target, style)
    if target is None:
        target = str(_beside(path, style))
    elif target != STDIO and Path(target).is_dir():
        target = str(Path(target) / _beside(path, style).name)
    if target != STDIO and _same_file(path, Path(target)):
        raise SinkOpenError(f"{target} is the input itself: give the output another name")
    return [(source, target)]


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
    source = _open_source(source_name, settings)
    painter = _painter(engine, settings)
    try:
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


def _painter(engine: Engine, settings: VideoSettings) -> Stylizer | TurnedPainter:
    """What paints one file from its first frame on."""
    threads = settings.threads or usable_cores()

    def stylizer(engine: Engine) -> Stylizer:
        stage = stage_for(settings.temporal, threads, settings.consistency, settings.paint_every)
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


def _open_source(name: str, settings: VideoSettings) -> Source:
    if name == STDIO:
        return FileSource(sys.stdin.buffer, settings.read)
    path = Path(name)
    if path.is_dir() or (not path.exists() and _names_sequence(path)):
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


def _folder_jobs(folder: Path, target: str | None, style: Style) -> list[tuple[str, str]]:
    clips = sorted(
        p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in VIDEO_SUFFIXES
    )
    if not clips:
        raise SourceOpenError(f"the folder {folder} holds no video files and no pictures")
    if target is None:
        return [(str(clip), str(_beside(clip, style))) for clip in clips]
    into = Path(target)
    if into.suffix and not into.is_dir():
        raise SinkOpenError(
            f"{folder} is a folder of clips, so the output {target} must be a folder too"
        )
    into.mkdir(parents=True, exist_ok=True)
    return [(str(clip), str(into / _beside(clip, style).name)) for clip in clips]


def _holds_only_pictures(folder: Path) -> bool:
    suffixes = {p.suffix.lower() for p in folder.iterdir() if p.is_file()}
    return bool(suffixes & IMAGE_SUFFIXES) and not suffixes & VIDEO_SUFFIXES


def _names_sequence(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and ("*" in path.name or is_sequence_pattern(path))


def _beside(path: Path, style: Style) -> Path:
    suffix = path.suffix.lower()
    stem = path.name if path.is_dir() else path.stem
    stem = re.sub(r"%0?\d*d|\*", "", stem).rstrip("_-. ") or "painted"
    return path.with_name(f"{stem}_{style.card.id}{suffix if suffix in CONTAINERS else '.mp4'}")


def _same_file(source: Path, target: Path) -> bool:
    if target.exists() and source.exists():
        return target.samefile(source)
    return target.resolve() == source.resolve()


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
