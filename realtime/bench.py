"""`stylize bench`: how fast a style paints here, the network alone and a file from decode to
encode.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ._arguments import engine_request
from ._roofline import count_operations, measure_peak
from .catalogue import Style, find_style
from .engines import ENGINE_NAMES, Engine
from .engines._model import parse_model
from .engines._network import NetworkEngine
from .engines.choose import load_engine, usable_cores
from .frame import Extras, Frame
from .metrics import peak_memory_mb, percentiles_ms
from .sinks._containers import EncodeOptions
from .sinks.file import FileSink
from .sources.file import FileOptions
from .sources.synthetic import SyntheticSource
from .tiers import TIERS
from .video import VideoSettings, default_threads, paint_video

_WARM_UP: Final = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command beside those of style and engine."""
    parser.add_argument(
        "--sizes",
        default="640x360,1280x720",
        metavar="WxH,…",
        help="frame sizes to measure (default: %(default)s)",
    )
    parser.add_argument(
        "--frames",
        type=int,
        default=120,
        metavar="N",
        help="frames of the clip painted from file to file (default: %(default)s)",
    )
    parser.add_argument(
        "--tier",
        choices=TIERS,
        default="off",
        help="the tier of --temporal that files are painted with (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        dest="engine",
        choices=ENGINE_NAMES,
        default=argparse.SUPPRESS,
        help="the same as --engine",
    )
    parser.add_argument(
        "--roofline",
        action="store_true",
        help="also count the network's operations, and set the rate it reaches against that of "
        "large matrix products on the same engine",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Measure every size asked for and show the table."""
    style = find_style(options.style)
    request = engine_request(options)
    rows = []
    peak_rate: float | None = None
    for size in options.sizes.split(","):
        width, height = (int(side) for side in size.lower().split("x"))
        engine = load_engine(style, request)
        try:
            row = _measure(engine, width, height, options)
            if options.roofline:
                peak_rate = peak_rate or _peak(engine)
                row["roofline"] = _roofline(style, engine, row, (width, height), peak_rate)
            rows.append(row)
        finally:
            engine.close()
    document = {"style": style.card.id, "machine": machine(), "rows": rows}
    if options.json:
        show(json.dumps(document, indent=2))
        return 0
    show(f"style {style.card.id} on {document['machine']}")
    show(
        f"{'size':>10} {'net p50':>9} {'net p95':>9} {'file':>10} {'CPU/frame':>10} {'busy':>6}"
        "  engine"
    )
    for row in rows:
        show(
            f"{row['size']:>10} {row['net']['p50_ms']:>6.1f} ms {row['net']['p95_ms']:>6.1f} ms "
            f"{row['file_fps']:>6.1f} fps {row['cpu_ms_per_frame']:>7.1f} ms {row['busy']:>6.2f}  "
            f"{row['engine']}"
        )
        if line := row.get("roofline"):
            show(f"{'':>10} {_told(line)}")
    peak = peak_memory_mb()
    if peak:
        show(f"peak memory {peak:.0f} MB")
    return 0


def machine() -> str:
    """This machine in a few words: processor, cores, system, Python."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return (
        f"{name}, {usable_cores()} cores, {platform.system()}, Python {platform.python_version()}"
    )


def _measure(engine: Any, width: int, height: int, options: argparse.Namespace) -> dict[str, Any]:
    source = SyntheticSource(width, height, options.frames)
    frames = [source.draw(index) for index in range(8)]
    durations = []
    for index in range(_WARM_UP + max(20, options.frames // 4)):
        begun = time.perf_counter()
        engine.paint(frames[index % len(frames)])
        if index >= _WARM_UP:
            durations.append(time.perf_counter() - begun)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_clip(clip, source)
        decoding, encoding = default_threads(options.threads)
        result = paint_video(
            str(clip),
            str(Path(folder) / "painted.mp4"),
            engine,
            VideoSettings(
                temporal=options.tier,
                # the clip is ours, of the size that was asked for; decoders round sizes up
                read=FileOptions(
                    threads=decoding,
                    max_pixels=max(FileOptions.max_pixels, 2 * width * height),
                ),
                write=EncodeOptions(threads=encoding),
            ),
        )
    report = result.report
    cpu = report.cpu_seconds / report.frames
    return {
        "size": f"{width}x{height}",
        "engine": engine.description,
        "net": percentiles_ms(durations),
        "file_fps": report.fps,
        "cpu_ms_per_frame": 1000 * cpu,
        "busy": report.fps * cpu / usable_cores(),
    }


def _peak(engine: Engine) -> float | None:
    """Operations a second that large matrix products reach on the engine's kind of runner."""
    if not isinstance(engine, NetworkEngine) or engine.make_runner is None:
        return None
    return measure_peak(engine.make_runner, quantized=_is_quantized(engine))


def _is_quantized(engine: Engine) -> bool:
    return " int8" in engine.description


def _roofline(
    style: Style, engine: Engine, row: dict[str, Any], size: tuple[int, int], peak: float | None
) -> dict[str, Any]:
    """Operations of a frame, the rate that the network alone reaches, and what share of the most
    that is; None where it can't be told.
    """
    content = style.read("int8" if _is_quantized(engine) else "fp32")
    operations = count_operations(parse_model(content, style.card.id), *size)
    rate = operations and operations / (row["net"]["p50_ms"] / 1000)
    return {
        "operations_a_frame": operations,
        "operations_a_second": rate,
        "matrix_product_operations_a_second": peak,
        "share_of_matrix_product": rate / peak if rate and peak else None,
    }


def _told(line: dict[str, Any]) -> str:
    operations, rate = line["operations_a_frame"], line["operations_a_second"]
    share = line["share_of_matrix_product"]
    if not operations:
        return "net: its operations are of kinds that are not counted"
    text = f"net: {operations / 1e9:.1f} G operations a frame, {rate / 1e9:.0f} G/s"
    if share is None:
        return text
    most = line["matrix_product_operations_a_second"] / 1e9
    return f"{text}, {share:.2f} of the {most:.0f} G/s of large matrix products on this engine"


def write_clip(path: Path, source: SyntheticSource) -> None:
    """Write a synthetic source as a video file."""
    sink = FileSink(path, source.info, Extras(), EncodeOptions(crf=20, preset="veryfast"))
    for item in source:
        assert isinstance(item, Frame)
        sink.write(item)
    sink.finish()
