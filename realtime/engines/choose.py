"""Chooses the engine that works on this machine, and says which and why."""

import importlib.util
import os
import platform
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..catalogue import Precision, Style
from ..errors import EngineUnavailable, MissingDependency, StylizeError
from . import ENGINE_NAMES, Engine
from ._contract import Range
from ._model import parse_model
from ._network import Fit, NetworkEngine, Runner
from ._probe import DEVICE_ENGINES, why_unavailable
from .any_painting import AnyPaintingEngine, Painting, PaintingEncoder

_AUTO_ORDER: Final = ("cuda", "directml", "coreml", "openvino", "cpu")
_TILE_PIXELS: Final = {"openvino": 5_000_000, "cpu": 3_000_000}
"""Where memory is the machine's own: at 35 and 110 bytes a pixel, a network takes 175 to 330 MB."""
_NUMBERED: Final = "cuda, tensorrt and directml have them"
_X86: Final = ("x86_64", "AMD64")


@dataclass(frozen=True)
class EngineRequest:
    """What is asked of the engine. `threads` 0 means every core this process may use."""

    engine: str = "auto"
    precision: Precision | None = None
    threads: int = 0
    fit: Fit = "resize"
    ranges: tuple[Range, Range] | None = None
    paintings: tuple[Painting, ...] = ()
    """What to paint like, for styles that take any painting."""
    alpha: float = 1.0
    tile_pixels: int | None = None
    """Frames of more pixels are painted in tiles of this many at most; None for what suits the
    engine.
    """
    device: int | None = None
    """Which of several graphics cards, by number; None for the first."""


def usable_cores() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_engine(style: Style, request: EngineRequest) -> Engine:
    """The engine for a style.

    An engine asked for by name that does not work is an error, never replaced: `EngineUnavailable`
    or `MissingDependency`. ``auto`` takes the first that works, and `notices` tells of those that
    should have and did not.
    """
    if request.engine not in ENGINE_NAMES:
        raise EngineUnavailable(
            f"there is no engine {request.engine!r}: give one of {', '.join(ENGINE_NAMES)}"
        )
    if style.encoder and not request.paintings:
        raise StylizeError(
            f"style {style.card.id} paints like any painting: say which by --painting FILE"
        )
    if request.paintings and not style.encoder:
        raise StylizeError(
            f"style {style.card.id} paints like one painting only: leave --painting out, or give a "
            "--style that takes any"
        )
    if request.engine != "auto":
        return _load(style, request.engine, request)
    failures: list[str] = []
    for name in _AUTO_ORDER:
        if not _worth_trying(name) or (request.device is not None and name not in DEVICE_ENGINES):
            continue
        try:
            engine = _load(style, name, request)
        except (EngineUnavailable, MissingDependency) as error:
            failures.append(str(error))
            continue
        engine.notices[:0] = failures
        return engine
    if request.device is not None and not failures:
        raise EngineUnavailable(f"no engine that runs on a device works here: {_NUMBERED}")
    raise EngineUnavailable("no engine works here: " + "; ".join(failures))


def _worth_trying(name: str) -> bool:
    if name == "openvino":
        return platform.machine() in _X86 and importlib.util.find_spec("openvino") is not None
    return why_unavailable(name) is None


def _load(style: Style, name: str, request: EngineRequest) -> Engine:
    if request.device is not None and name not in DEVICE_ENGINES:
        raise EngineUnavailable(f"--engine {name} has no numbered devices: {_NUMBERED}")
    precision: Precision = request.precision or ("int8" if name in ("cpu", "openvino") else "fp32")
    if request.precision and request.precision not in style.files:
        raise StylizeError(
            f"style {style.card.id} has no {request.precision} file, only {', '.join(style.files)}"
        )
    content = style.read(precision)
    file = style.file(precision)
    precision = next(p for p, f in style.files.items() if f is file)
    label = file.path.name
    # the network for any painting looks at the whole frame; an engine built for a size has that
    tiled = style.encoder is None and name != "tensorrt"
    most = (request.tile_pixels or _TILE_PIXELS.get(name)) if tiled else None
    model = parse_model(content, label)
    threads = request.threads or usable_cores()

    def make_runner(content: bytes, label: str) -> Runner:
        return _runner(content, name, precision, threads, label, request.device)

    runner = make_runner(content, label)
    if style.encoder is None:
        return NetworkEngine(
            runner,
            model,
            label,
            fit=request.fit,
            ranges=request.ranges,
            own=style.card.stride > 1,
            most_pixels=most,
            make_runner=make_runner,
        )
    own = np.zeros((1, 1), np.float32)
    network = NetworkEngine(runner, model, label, own=True, extra={"code": own, "alpha": own})
    encoder = style.read_encoder()
    label = style.encoder.path.name
    parse_model(encoder, label)
    encode = PaintingEncoder(_runner(encoder, name, "fp32", threads, label, request.device), label)
    engine = AnyPaintingEngine(network, encode)
    engine.paint_like(request.paintings)
    engine.alpha = request.alpha
    return engine


def _runner(
    content: bytes, name: str, precision: str, threads: int, label: str, device: int | None
) -> Runner:
    if name == "openvino":
        from .openvino import OpenVinoRunner

        return OpenVinoRunner(content, precision, threads, label)
    from .onnx import OnnxRunner

    return OnnxRunner(content, name, precision, threads, label, device)
