"""OpenVINO: the fastest 8-bit engine on x86 processors (optional extra ``openvino``)."""

import functools
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .._optional import require
from ..errors import StyleIncompatible
from ._network import TensorSpec

_SIZES: Final = 4
"""Sizes that stay compiled: frames, tiles of them, those of several live pictures in turn."""
_TYPES: Final = {"u8": "tensor(uint8)", "f32": "tensor(float)", "f16": "tensor(float16)"}


class OpenVinoRunner:
    """A graph in OpenVINO on the CPU, compiled for the size of the frames it gets."""

    def __init__(self, content: bytes, precision: str, threads: int, name: str) -> None:
        openvino: Any = require("openvino", extra="openvino", purpose="--engine openvino")
        self._threads = threads
        self._core = _core(openvino)
        try:
            self._model = self._core.read_model(content)
        except Exception as error:
            reason = str(error).strip().splitlines()[-1][:300]
            raise StyleIncompatible(f"{name} can't be run by OpenVINO: {reason}") from error
        self.inputs = [_spec(i) for i in self._model.inputs]
        self.outputs = [_spec(o) for o in self._model.outputs]
        self._requests: dict[tuple[int, ...], Any] = {}
        self._resized = False
        version = openvino.get_version().split("-")[0]
        self.description = f"OpenVINO {version} cpu {precision}, {threads} threads"

    def evaluate(self, tensors: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        """The named output for tensors by the names of inputs."""
        main = self.inputs[0].name
        shape = tensors[main].shape
        request = self._requests.pop(shape, None) or self._compile(main, shape)
        self._requests[shape] = request  # the latest used at the end
        request.infer(dict(tensors), share_inputs=True, share_outputs=True)
        # a copy: the request writes the next frame into the same memory
        return np.array(request.get_tensor(output).data)

    def close(self) -> None:
        """Release the compiled network."""
        self._requests = {}
        self._model = None

    def _compile(self, main: str, shape: tuple[int, ...]) -> Any:
        if len(self._requests) == _SIZES:
            del self._requests[next(iter(self._requests))]  # the longest unused
        if self._model.input(main).get_partial_shape().is_dynamic or self._resized:
            self._resized = True
            self._model.reshape({main: list(shape)})
        compiled = self._core.compile_model(
            self._model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": self._threads,
                # pinned threads would fight with the decoder and the encoder over the same cores
                "ENABLE_CPU_PINNING": False,
            },
        )
        return compiled.create_infer_request()


@functools.cache
def _core(openvino: Any) -> Any:
    """What compiles networks, which stays until the process ends.

    Its plugin gives the thread that first compiles a signal stack and takes it back when it goes.
    Going on another thread, as networks do that are loaded here and closed there, it would leave
    the first one a stack that is gone: the next Ctrl-C would end the process by a segmentation
    fault (seen with OpenVINO 2026.4).
    """
    return openvino.Core()


def _spec(port: Any) -> TensorSpec:
    shape = (
        [None if side.is_dynamic else side.get_length() for side in port.get_partial_shape()]
        if port.get_partial_shape().rank.is_static
        else []
    )
    kind = port.get_element_type().get_type_name()
    return TensorSpec(port.get_any_name(), _TYPES.get(kind, kind), shape)
