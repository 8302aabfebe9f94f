"""Which onnxruntime execution providers really work on this machine.

`onnxruntime.get_available_providers` says what was built in, not what works, and asking for a
provider whose driver is missing prints alarms and silently runs on the CPU. So the driver is looked
for first.
"""

import ctypes
import sys
from typing import Any, Final

PROVIDERS: Final = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
DEVICE_ENGINES: Final = ("cuda", "tensorrt", "directml")
"""Those that tell several graphics cards apart, by numbers."""
_HINTS: Final = {
    "tensorrt": "it needs an NVIDIA driver and the TensorRT libraries (libnvinfer)",
    "cuda": "it needs an NVIDIA driver, CUDA 13 and cuDNN 9: pip install 'stylize-video[cuda]'",
    "coreml": "it needs macOS",
    "directml": "it needs Windows and the onnxruntime-directml package",
}


def why_unavailable(engine: str) -> str | None:
    """Why an engine can't work here, with what to do; None when it may."""
    import onnxruntime

    if engine == "cpu":
        return None
    if PROVIDERS[engine] not in onnxruntime.get_available_providers():
        return f"this onnxruntime was built without it; {_HINTS[engine]}"
    if engine in ("cuda", "tensorrt") and not _library_loads(
        "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    ):
        return f"no NVIDIA driver was found; {_HINTS[engine]}"
    if engine == "tensorrt" and not _library_loads(
        "nvinfer_10.dll" if sys.platform == "win32" else "libnvinfer.so.10"
    ):
        return f"the TensorRT libraries were not found; {_HINTS[engine]}"
    return None


def prepare(engine: str) -> None:
    """Make the libraries that pip brought loadable for a provider about to be used."""
    import onnxruntime

    if engine in ("cuda", "tensorrt") and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()


def provider_options(engine: str, precision: str, device: int | None = None) -> list[Any]:
    """The providers argument of an `onnxruntime.InferenceSession` for an engine, on one of its
    devices.
    """
    if engine == "tensorrt":
        options = {"trt_fp16_enable": "1"}
        if precision == "int8":
            options["trt_int8_enable"] = "1"
        return on_device([(PROVIDERS["tensorrt"], options), PROVIDERS["cuda"]], device)
    return on_device([PROVIDERS[engine]], device)


def on_device(providers: list[Any], device: int | None) -> list[Any]:
    """Providers on one of several devices; None leaves them as they are."""
    if device is None:
        return providers
    pairs = [p if isinstance(p, tuple) else (p, {}) for p in providers]
    return [(name, {**options, "device_id": str(device)}) for name, options in pairs]


def _library_loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
