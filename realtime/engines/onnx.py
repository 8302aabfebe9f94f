"""onnxruntime: the CPU, and CUDA, TensorRT, CoreML and DirectML through its execution providers."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineUnavailable, StyleIncompatible
from ._network import TensorSpec
from ._probe import PROVIDERS, on_device, prepare, provider_options, why_unavailable
from .tensorrt import find_engine, session_options, this_machine

_LOG_FATAL: Final = 4
_EXACT_SUMS: Final = "session.x64quantprecision"
_SHARED: Final = "Attempt to replace the existing tensor"
"""What onnxruntime says of exact sums where two layers share 8-bit weights (seen with 1.31)."""


class OnnxRunner:
    """A graph in onnxruntime, specialised to the size of the frames it gets.

    Sessions with the sides of the frame known ahead fold all the arithmetic on shapes away. One
    session is kept, that of the latest size.
    """

    def __init__(
        self,
        content: bytes,
        engine: str,
        precision: str,
        threads: int,
        name: str,
        device: int | None = None,
    ) -> None:
        if reason := why_unavailable(engine):
            raise EngineUnavailable(f"--engine {engine} does not work here: {reason}")
        prepare(engine)
        self._device, self._clips = device, False
        self._content, self._engine, self._precision, self._threads = (
            content,
            engine,
            precision,
            threads,
        )
        try:
            self._session = self._open({})
        except EngineUnavailable:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()[0][:300]
            raise StyleIncompatible(f"{name} can't be run by onnxruntime: {reason}") from error
        self.inputs = [_spec(i) for i in self._session.get_inputs()]
        self.outputs = [_spec(o) for o in self._session.get_outputs()]
        self._sizes: dict[str, int] = {}
        self.description = self._describe()

    def evaluate(self, tensors: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        """The named output for tensors by the names of inputs."""
        main = self.inputs[0]
        sides = tensors[main.name].shape
        sizes = {
            free: side
            for free, side in zip(main.shape, sides, strict=True)
            if isinstance(free, str)
        }
        if sizes != self._sizes:
            self._session = self._open(sizes)
            self._sizes = sizes
        (found,) = self._session.run([output], dict(tensors))
        return np.asarray(found)

    def close(self) -> None:
        """Release the session."""
        self._session = None

    def _open(self, sizes: dict[str, int]) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = _LOG_FATAL
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # threads that spin while they wait take the cores from decoding and encoding
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # planned buffers are kept beside those of the arena: 60 MB more at 720p, and no faster
        options.enable_mem_pattern = False
        providers = self._kept_engine(sizes)
        if providers is None:
            providers = provider_options(self._engine, self._precision, self._device)
            for free, side in sizes.items():
                options.add_free_dimension_override_by_name(free, side)
        # without VNNI, pairs of 8-bit products would be clipped to 16 bits: up to 13 dB are lost
        options.add_session_config_entry(_EXACT_SUMS, "1")
        try:
            session = onnxruntime.InferenceSession(self._content, options, providers=providers)
        except Exception as error:
            if _SHARED not in str(error):
                raise
            options.add_session_config_entry(_EXACT_SUMS, "0")
            session = onnxruntime.InferenceSession(self._content, options, providers=providers)
            self._clips = True
        running = session.get_providers()[0]
        if running != PROVIDERS[self._engine]:
            raise EngineUnavailable(
                f"--engine {self._engine} does not work here: onnxruntime fell back to {running}"
            )
        return session

    def _kept_engine(self, sizes: dict[str, int]) -> list[Any] | None:
        """Providers that run the engine `stylize export --tensorrt` has built, where one fits."""
        if self._engine != "tensorrt" or not {"width", "height"} <= set(sizes):
            return None
        size = sizes["width"], sizes["height"]
        machine = this_machine(self._device or 0)
        found = find_engine(hashlib.sha256(self._content).hexdigest(), size, machine)
        if found is None:
            return None
        shapes = {i.name: i.shape for i in self.inputs}
        return on_device(session_options(*found, shapes), self._device)

    def _describe(self) -> str:
        import onnxruntime

        threads = f", {self._threads} threads" if self._engine == "cpu" else ""
        device = "" if self._device is None else f":{self._device}"
        version = f"onnxruntime {onnxruntime.__version__}"
        clips = ", 8-bit sums clipped" if self._clips else ""
        return f"{version} {self._engine}{device} {self._precision}{threads}{clips}"


def _spec(argument: Any) -> TensorSpec:
    return TensorSpec(argument.name, argument.type, list(argument.shape))
