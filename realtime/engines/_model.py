"""Reads a model file with suspicion: only self-contained graphs of sane size come through."""

from typing import Any, Final

import numpy as np

from ..errors import StyleCorrupt, StyleIncompatible

# No constant tensor of a style network comes near this many values; a decompression bomb does.
MAX_STATIC_VALUES: Final = 1 << 28


def parse_model(content: bytes, name: str) -> Any:
    """The `onnx.ModelProto` of `content`.

    Raises `StyleCorrupt` for bytes that are no ONNX model, `StyleIncompatible` for a model that
    refers to other files or holds tensors of an absurd size.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError, TypeError) as error:
        raise StyleCorrupt(f"{name} is not an ONNX model: it can't be parsed") from error
    if not model.graph.node or not model.graph.output:
        raise StyleCorrupt(f"{name} is not an ONNX model: it holds no graph")
    _refuse_external(model.graph, name)
    _refuse_bombs(model, name)
    return model


def _refuse_external(graph: Any, name: str) -> None:
    """A model may not make the runtime read other files (nor may any graph inside it)."""
    from onnx import TensorProto

    tensors = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            tensors.append(attribute.t)
            tensors.extend(attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    _refuse_external(inner, name)
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors):
        raise StyleIncompatible(
            f"{name} keeps its weights in another file: save it as one self-contained ONNX file"
        )


def _refuse_bombs(model: Any, name: str) -> None:
    """Refuse graphs whose constant shapes alone would fill the memory."""
    from onnx import shape_inference

    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except (shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise StyleIncompatible(
            f"{name} is not a sound ONNX graph: {_first_line(error)}"
        ) from error
    for value in (*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input):
        sides = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        known = sides and all(side > 0 for side in sides)
        if known and float(np.prod(sides, dtype=float)) > MAX_STATIC_VALUES:
            raise StyleIncompatible(f"{name} holds a tensor of shape {sides}: refused for its size")


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200]
