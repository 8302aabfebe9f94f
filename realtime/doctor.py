"""`stylize doctor`: what works on this machine, tried rather than looked up; what to install."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np

from ._child import find_ffmpeg
from .accelerators import ACCELERATORS, Accelerator
from .catalogue import Style, all_styles
from .engines import ENGINE_NAMES
from .engines.choose import EngineRequest, load_engine, usable_cores
from .errors import MissingDependency, SinkOpenError, StylizeError
from .hwaccel import Prober, writing_by
from .sinks._containers import EncodeOptions, encoder_options
from .sinks.file import FileSink
from .sinks.virtual_camera import VirtualCameraSink
from .sinks.window import why_no_window
from .sources._cameras import cameras
from .sources.file import FileOptions
from .sources.synthetic import SyntheticSource

_PACKAGES: Final = ("av", "opencv-python", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino")
_SIZE: Final = (320, 180)
_TIMEOUT_S: Final = 10.0
_VIDEO_ENCODERS: Final = ("libx264", "libx265", "libvpx-vp9")
_CLIP_FRAMES: Final = 8
_AUDIO_ENCODERS: Final = ("aac", "libopus")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    group: str
    name: str
    works: bool
    detail: str
    """What was seen, in one line."""
    remedy: str = ""
    """What to do where it doesn't work."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, write: Callable[[str], None]) -> int:
    """Look at everything and write it down; 1 where nothing can be painted, else 0."""
    found = list(examine())
    paints = can_paint(found)
    if options.json:
        document = {"paints": paints, "findings": [asdict(finding) for finding in found]}
        write(json.dumps(document, indent=2))
    else:
        write("\n".join(_lines(found)))
        write("" if paints else "nothing can be painted here: see engines and styles above")
    return 0 if paints else 1


def can_paint(found: Iterable[Finding]) -> bool:
    """Whether there is a style and an engine that runs it."""
    return any(finding.group == "engines" and finding.works for finding in found)


def examine() -> Iterator[Finding]:
    """Everything, in the order in which it is told."""
    yield from _versions()
    try:
        styles = all_styles()
    except StylizeError as error:
        styles = []
        yield Finding("styles", "catalogue", False, str(error), "install stylize-video anew")
    yield _styles(styles)
    yield from _engines(styles)
    yield from _encoders()
    yield from hardware(ACCELERATORS, Prober())
    yield from _cameras()
    yield _screen()
    yield _window()
    yield _virtual_camera()
    yield _ffmpeg()


def _lines(found: Iterable[Finding]) -> Iterator[str]:
    group = ""
    for finding in found:
        if finding.group != group:
            group = finding.group
            yield f"{group}:"
        mark = "yes" if finding.works else "no "
        advice = f" -> {finding.remedy}" if finding.remedy and not finding.works else ""
        yield f"  {mark}  {finding.name:18} {finding.detail}{advice}"


def _versions() -> Iterator[Finding]:
    ours = metadata.version("stylize-video")
    yield Finding("versions", "stylize-video", True, ours)
    where = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("versions", "python", True, f"{where}, {usable_cores()} cores")
    for name in _PACKAGES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        yield Finding("versions", name, True, version)
    libraries = ", ".join(
        f"{name} {'.'.join(map(str, number))}"
        for name, number in sorted(av.library_versions.items())
    )
    yield Finding("versions", "FFmpeg in av", True, f"{av.ffmpeg_version_info}: {libraries}")


def _styles(styles: list[Style]) -> Finding:
    names = ", ".join(style.card.id for style in styles)
    return Finding(
        "styles", "catalogue", bool(styles), names or "none found", "install stylize-video anew"
    )


def _engines(styles: list[Style]) -> Iterator[Finding]:
    plain = [style for style in styles if style.encoder is None]
    if not plain:
        return
    style = min(plain, key=lambda s: s.file("int8").path.stat().st_size)
    for name in ENGINE_NAMES:
        if name == "auto":
            continue
        try:
            detail = _painted(style, name)
        except StylizeError as error:
            said, _, remedy = str(error).rpartition("here: ")[2].partition("; ")
            if isinstance(error, MissingDependency):
                said, _, remedy = str(error).partition(": ")
            yield Finding("engines", name, False, said, remedy)
        except Exception as error:  # noqa: BLE001 - drivers fail in ways of their own
            yield Finding("engines", name, False, str(error).splitlines()[0][:200])
        else:
            yield Finding("engines", name, True, detail)


def _painted(style: Style, name: str) -> str:
    engine = load_engine(style, EngineRequest(engine=name))
    try:
        picture = np.random.default_rng(0).integers(0, 256, (*_SIZE[::-1], 3)).astype(np.uint8)
        engine.paint(picture)
        begun = time.perf_counter()
        engine.paint(picture)
        took = 1000 * (time.perf_counter() - begun)
        return f"{engine.description}: {style.card.id} at {_SIZE[0]}x{_SIZE[1]} in {took:.1f} ms"
    finally:
        engine.close()


def _encoders() -> Iterator[Finding]:
    for name in _VIDEO_ENCODERS:
        yield _tried("encoders", name, "", _encode_picture)
    for name in _AUDIO_ENCODERS:
        yield _tried("encoders", name, "", _open_audio)


def hardware(
    accelerators: Iterable[Accelerator], prober: Prober, codecs: Iterable[str] = ("h264", "hevc")
) -> Iterator[Finding]:
    """What decodes and encodes by hardware here: each tried on a clip made for it, in a process of
    its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        source = SyntheticSource(*_SIZE, _CLIP_FRAMES)
        sink = FileSink(clip, source.info, source.extras, EncodeOptions())
        for item in source:
            sink.write(item)
        sink.finish()
        for accelerator in accelerators:
            remedy = f"needs {accelerator.needs}"
            read = FileOptions(hardware=accelerator.decoder)
            why = accelerator.why_no_decoder() or prober.why_not_decode(clip, read)
            said = why or "decodes H.264, to the pixels of software"
            yield Finding("hardware", f"{accelerator.name} decode", why is None, said, remedy)
            for codec in codecs:
                if name := accelerator.encoder(codec):
                    why = accelerator.why_no_encoder(name)
                    why = why or prober.why_not_encode(source.info, writing_by(accelerator, name))
                    yield Finding("hardware", name, why is None, why or "works", remedy)


def _tried(group: str, name: str, remedy: str, action: Callable[[str], None]) -> Finding:
    if name not in av.codecs_available:
        return Finding(group, name, False, "this build of av has no such encoder", remedy)
    try:
        action(name)
    except (av.FFmpegError, StylizeError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Finding(group, name, False, f"it can't be opened: {reason}", remedy)
    return Finding(group, name, True, "works")


def _encode_picture(name: str) -> None:
    context: Any = av.CodecContext.create(name, "w")
    context.width, context.height = _SIZE
    context.pix_fmt = "yuv420p"
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    if name == "libx265":
        context.options = encoder_options(name, EncodeOptions())
    frame = av.VideoFrame(*_SIZE, context.pix_fmt)
    frame.pts = 0
    if not [*context.encode(frame), *context.encode(None)]:
        raise ValueError("nothing came out")


def _open_audio(name: str) -> None:
    context: Any = av.CodecContext.create(name, "w")
    context.sample_rate, context.layout = 48000, "stereo"
    context.format = "fltp" if name == "aac" else "s16"
    context.open()


def _cameras() -> Iterator[Finding]:
    known = cameras()
    if not known:
        yield Finding("sources", "cameras", False, "none found", "plug one in, or try test:")
    for camera in known:
        node = Path(f"/dev/video{camera.number}")
        if sys.platform.startswith("linux") and not os.access(node, os.R_OK | os.W_OK):
            remedy = "let this user into the group video"
            yield Finding(
                "sources",
                f"camera {camera.number}",
                False,
                f"{camera.title}: {node} may not be read",
                remedy,
            )
        else:
            yield Finding("sources", f"camera {camera.number}", True, camera.title)


def _screen() -> Finding:
    device = {"darwin": "avfoundation", "win32": "gdigrab"}.get(sys.platform, "x11grab")
    if device not in av.formats_available:
        return Finding("sources", "screen", False, f"this build of av has no {device}")
    if device == "x11grab" and not os.environ.get("DISPLAY"):
        return Finding("sources", "screen", False, "there is no X display", "set DISPLAY")
    return Finding("sources", "screen", True, device)


def _window() -> Finding:
    gui = [line for line in cv2.getBuildInformation().splitlines() if "GUI:" in line]
    reason = why_no_window()
    kind = gui[0].partition(":")[2].strip() if gui else "unknown"
    if reason:
        return Finding("outlets", "window", False, reason, "the others work without it")
    return Finding("outlets", "window", True, kind)


def _virtual_camera() -> Finding:
    try:
        sink = VirtualCameraSink(None, (640, 360), Fraction(30))
    except MissingDependency as error:
        said, _, remedy = str(error).partition(": ")
        return Finding("outlets", "virtual camera", False, said, remedy)
    except SinkOpenError as error:
        said, _, remedy = str(error).rpartition("; ")
        return Finding("outlets", "virtual camera", False, said, remedy)
    sink.finish()
    return Finding("outlets", "virtual camera", True, sink.name)


def _ffmpeg() -> Finding:
    try:
        program = find_ffmpeg()
        listed = subprocess.run(
            [program, "-hide_banner", "-protocols"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except MissingDependency as error:
        said, _, remedy = str(error).partition(": ")
        return Finding("outlets", "srt", False, said, remedy)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("outlets", "srt", False, f"ffmpeg does not run: {error}", "install ffmpeg")
    if "srt" not in listed.stdout.split():
        remedy = "pip install 'stylize-video[srt]' and take that other ffmpeg off the PATH"
        return Finding("outlets", "srt", False, f"{program} was built without srt", remedy)
    return Finding("outlets", "srt", True, program)
