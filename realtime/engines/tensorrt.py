"""TensorRT engines: built once from a style's ONNX file, kept, and found again.

onnxruntime's TensorRT provider builds and runs them; here is what decides which one fits. An engine
is kept in a folder whose name is a digest of everything that changes it: the model's sha256, the
sizes it takes, the precision, the versions of TensorRT and onnxruntime, and the GPU. Building and
finding go by the same rule of what is a whole engine: `_held`.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from ..errors import EngineUnavailable, StylizeError
from ._probe import PROVIDERS, prepare, why_unavailable

TrtPrecision = Literal["fp16", "int8", "fp32"]
PRECISIONS: Final[tuple[TrtPrecision, ...]] = ("fp16", "int8", "fp32")
_RECORD: Final = "engine.json"
OnStep = Callable[[int, int, str], None]
"""Called with how many sizes of an engine run already, of how many, and what is being done or was
done last.
"""


@dataclass(frozen=True)
class Profile:
    """The sizes an engine takes, (width, height): smallest, the one it is tuned for, largest."""

    smallest: tuple[int, int] = (320, 180)
    usual: tuple[int, int] = (1280, 720)
    largest: tuple[int, int] = (1920, 1080)

    def check(self) -> None:
        """Raise `StylizeError` unless the sizes rise."""
        for side, name in enumerate(("wide", "high")):
            sizes = [size[side] for size in (self.smallest, self.usual, self.largest)]
            if sizes != sorted(sizes) or sizes[0] < 1:
                raise StylizeError(
                    f"sizes {', '.join(map(str, sizes))} pixels {name} do not rise: give smallest, "
                    "usual and largest"
                )

    def holds(self, width: int, height: int) -> bool:
        """Whether frames of this size can be run."""
        return all(
            low <= side <= high
            for low, side, high in zip(self.smallest, (width, height), self.largest, strict=True)
        )


@dataclass(frozen=True)
class Machine:
    """What an engine is bound to."""

    tensorrt: str
    onnxruntime: str
    gpu: str


def this_machine(device: int = 0) -> Machine:
    """TensorRT, onnxruntime and GPU as they are here. Raises `EngineUnavailable`."""
    import onnxruntime

    if reason := why_unavailable("tensorrt"):
        raise EngineUnavailable(f"--engine tensorrt does not work here: {reason}")
    return Machine(_tensorrt_version(), onnxruntime.__version__, _gpu_name(device))


def cache_key(sha256: str, profile: Profile, precision: TrtPrecision, machine: Machine) -> str:
    """The name of an engine's folder: equal only where all of it is."""
    content = {"model": sha256, "precision": precision} | asdict(profile) | asdict(machine)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def cache_folder() -> Path:
    """Where engines are kept: ``$XDG_CACHE_HOME`` or ``~/.cache``, ``stylize-video/tensorrt``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "stylize-video" / "tensorrt"


def find_engine(
    sha256: str, size: tuple[int, int], machine: Machine, folder: Path | None = None
) -> tuple[Path, Profile, TrtPrecision] | None:
    """A kept engine for a model and frames of (width, height), with its profile and precision."""
    for record in sorted((folder or cache_folder()).glob(f"*/{_RECORD}")):
        held = _held(record.parent, sha256, machine)
        if held and held[0].holds(*size):
            return record.parent, *held
    return None


def _held(folder: Path, sha256: str, machine: Machine) -> tuple[Profile, TrtPrecision] | None:
    """Sizes and precision of the engine of a model in a folder, None where there is no whole one.

    Whole is what has a record that gives the folder its name, and an engine with something in it.
    """
    try:
        content = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        sizes = (tuple(content["profile"][k]) for k in ("smallest", "usual", "largest"))
        profile, precision = Profile(*sizes), content["precision"]
        whole = folder.name == cache_key(sha256, profile, precision, machine)
        return (profile, precision) if whole and _has_engine(folder) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # what another program, or a crash, left


def _has_engine(folder: Path) -> bool:
    return any(path.stat().st_size for path in folder.glob("*.engine"))


def session_options(
    folder: Path, profile: Profile, precision: TrtPrecision, inputs: dict[str, list[Any]]
) -> list[Any]:
    """The providers argument of a session that builds an engine into a folder, or finds it there.

    `inputs` are the shapes of the graph's inputs by name, with strings for free sides.
    """
    shapes = {}
    for word, (width, height) in (
        ("min", profile.smallest),
        ("opt", profile.usual),
        ("max", profile.largest),
    ):
        sides = {"height": str(height), "width": str(width)}
        texts = [
            f"{name}:{'x'.join(sides.get(str(side), str(side)) for side in shape)}"
            for name, shape in inputs.items()
        ]
        shapes[f"trt_profile_{word}_shapes"] = ",".join(texts)
    options = {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": "1" if precision in ("fp16", "int8") else "0",
        "trt_int8_enable": "1" if precision == "int8" else "0",
        **shapes,
    }
    return [(PROVIDERS["tensorrt"], options), PROVIDERS["cuda"]]


def build_engine(
    content: bytes,
    profile: Profile,
    precision: TrtPrecision,
    machine: Machine,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
    on_step: OnStep = lambda *_: None,
) -> Path:
    """Build the engine of a model, or find the one that was built before; the folder it is in.

    Takes minutes. A build that fails leaves nothing; what is there and not whole is replaced once
    there is something whole. Raises `EngineUnavailable` or `StylizeError`.
    """
    profile.check()
    base = folder or cache_folder()
    sha256 = hashlib.sha256(content).hexdigest()
    target = base / cache_key(sha256, profile, precision, machine)
    if _held(target, sha256, machine):
        say(f"the engine is there already: {target}")
        return target
    prepare("tensorrt")
    try:
        if target.exists():
            say(f"what is in {target} is not a whole engine: it is built anew")
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base, prefix=".building-") as work:
            place = Path(work) / "engine"
            place.mkdir()
            say(f"building for {machine.gpu} with TensorRT {machine.tensorrt}: this takes minutes")
            _build_into(place, content, profile, precision, on_step)
            record = {"profile": asdict(profile), "precision": precision} | asdict(machine)
            (place / _RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
            # another build may have been faster, and its engine may be in use
            if not _held(target, sha256, machine):
                _put(place, target)
    except OSError as error:
        raise StylizeError(
            f"the engine can't be kept in {base} ({error.strerror or error}): make that a folder "
            "that can be written, or set XDG_CACHE_HOME to one"
        ) from error
    return target


def _build_into(
    place: Path, content: bytes, profile: Profile, precision: TrtPrecision, on_step: OnStep
) -> None:
    """Let onnxruntime build an engine into an empty folder, and run it at all sizes of its
    profile. Raises `EngineUnavailable` or `StylizeError`.
    """
    import onnxruntime

    sizes = (profile.usual, profile.smallest, profile.largest)
    on_step(0, len(sizes), "building")
    try:
        plain = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        inputs = {i.name: list(i.shape) for i in plain.get_inputs()}
        providers = session_options(place, profile, precision, inputs)
        session = onnxruntime.InferenceSession(content, providers=providers)
        running = session.get_providers()[0]
        if running != PROVIDERS["tensorrt"]:
            raise EngineUnavailable(
                f"--engine tensorrt does not work here: onnxruntime fell back to {running}"
            )
        for number, size in enumerate(sizes, 1):
            session.run(None, _blank(session.get_inputs(), size))
            on_step(number, len(sizes), f"{size[0]}x{size[1]} runs")
    except EngineUnavailable:
        raise
    except Exception as error:  # the runtime's own classes derive from Exception alone
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise StylizeError(f"TensorRT can't build this engine: {reason}") from error
    if not _has_engine(place):
        raise StylizeError(
            "TensorRT can't build this engine: it took no part of the model, and left nothing to "
            "keep; use --engine cuda for it"
        )


def _put(place: Path, target: Path) -> None:
    """Give a whole engine its name; what had it before goes the way of the folder it was built
    in.
    """
    with contextlib.suppress(FileNotFoundError):
        target.rename(place.with_name("damaged"))
    place.rename(target)


def _blank(inputs: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Zeros for every input of a graph, for frames of (width, height)."""
    sides = {"width": size[0], "height": size[1]}
    kinds = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
    return {
        i.name: np.zeros([sides.get(side, side) for side in i.shape], kinds[i.type]) for i in inputs
    }


def _tensorrt_version() -> str:
    """The version of the TensorRT library, such as 101300."""
    library = ctypes.CDLL("nvinfer_10.dll" if sys.platform == "win32" else "libnvinfer.so.10")
    return str(library.getInferLibVersion())


def _gpu_name(number: int) -> str:
    """The name of a GPU, by the driver. Raises `EngineUnavailable`."""
    driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    device, name = ctypes.c_int(), ctypes.create_string_buffer(128)
    code = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), number)
        or driver.cuDeviceGetName(name, len(name), device)
    )
    if code:
        raise EngineUnavailable(
            f"--engine tensorrt does not work here: the NVIDIA driver fails with error {code}"
        )
    return name.value.decode(errors="replace")
