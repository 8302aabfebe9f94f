"""How much arithmetic a network is, and how much of it the device could do at most.

The most is what a large matrix product reaches on the same engine, at the same precision: a figure
that is measured, beside which achieved rates of other machines mean something.
"""

import math
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from .engines._network import Runner

_SIDE: Final = 2048
_MOST_PRODUCTS: Final = 256
_RUN_S: Final = 0.3
_REPEATS: Final = 3
_COUNTED: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_OTHERS: Final = frozenset(
    {"ConvInteger", "QLinearConv", "MatMulInteger", "QLinearMatMul", "Einsum", "LSTM", "GRU"}
)


def count_operations(model: Any, width: int, height: int) -> int | None:
    """Multiplications and additions of a graph for one picture, in its convolutions and products.

    `model` is an `onnx.ModelProto` from one picture to one. Their shapes are read off a run on the
    processor, so that no arithmetic on shapes need be guessed. None where some are of kinds that
    are not counted.
    """
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    if any(node.op_type in _OTHERS for node in model.graph.node):
        return None
    watched = [node for node in model.graph.node if node.op_type in _COUNTED]
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = []
    for number, node in enumerate(watched):
        for part, tensor in (("in", node.input[0]), ("by", node.input[1]), ("out", node.output[0])):
            name = f"shape_{number}_{part}"
            copy.graph.node.append(helper.make_node("Shape", [tensor], [name]))
            copy.graph.output.append(helper.make_tensor_value_info(name, TensorProto.INT64, None))
            names.append(name)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    entry = session.get_inputs()[0]
    last = entry.shape[-1] == 3
    shape = [1, height, width, 3] if last else [1, 3, height, width]
    dtype = np.uint8 if "uint8" in entry.type else np.float32
    found = session.run(names, {entry.name: np.zeros(shape, dtype)})
    total = 0
    for number, node in enumerate(watched):
        into, by, out = ([int(side) for side in s] for s in found[3 * number : 3 * number + 3])
        if node.op_type == "Conv":
            total += 2 * math.prod(out) * math.prod(by[1:])
        elif node.op_type == "ConvTranspose":
            total += 2 * math.prod(into) * math.prod(by[1:])
        else:
            total += 2 * math.prod(out) * (math.prod(by) // out[-1] if len(by) == 2 else into[-1])
    return total


def measure_peak(make: Callable[[bytes, str], Runner], *, quantized: bool) -> float:
    """Operations a second that products of large matrices reach on runners that `make` makes."""
    one = _seconds(make, 1, quantized=quantized)
    many = int(min(_MOST_PRODUCTS, max(3, _RUN_S // one)))
    longer = _seconds(make, many, quantized=quantized)
    # the difference: what going in and out costs is no arithmetic
    return (many - 1) * 2 * _SIDE**3 / max(longer - one, 1e-9)


def _seconds(make: Callable[[bytes, str], Runner], products: int, *, quantized: bool) -> float:
    """The best time of a graph of so many products, one behind the other."""
    runner = make(_chain(products, quantized=quantized), "a product of matrices")
    try:
        start = np.random.default_rng(0).normal(size=(_SIDE, _SIDE)).astype(np.float32)
        durations = []
        for _ in range(_REPEATS + 1):
            begun = time.perf_counter()
            runner.evaluate({"x": start}, "y")
            durations.append(time.perf_counter() - begun)
        return min(durations[1:])
    finally:
        runner.close()


def _chain(products: int, *, quantized: bool) -> bytes:
    """A graph that multiplies a matrix by a constant one, again and again; in 8 bits as styles do:
    between QuantizeLinear and DequantizeLinear.
    """
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(1)
    shape = [_SIDE, _SIDE]
    nodes, tensor = [], "x"
    if quantized:
        weights = random.integers(-127, 128, shape).astype(np.int8)
        scale = np.array(1 / (73 * math.sqrt(_SIDE)), np.float32)
        constants = [
            numpy_helper.from_array(scale, "w_scale"),
            numpy_helper.from_array(np.array(0, np.int8), "w_zero"),
            numpy_helper.from_array(np.array(1 / 32, np.float32), "scale"),
            numpy_helper.from_array(np.array(128, np.uint8), "zero"),
        ]
    else:
        weights = (random.normal(size=shape) / math.sqrt(_SIDE)).astype(np.float32)
        constants = [numpy_helper.from_array(weights, "w")]
    factor = "w"
    for number in range(products):
        if quantized:
            # as in a network, each product has its own
            stored, factor = f"w8_{number}", f"w{number}"
            constants.append(numpy_helper.from_array(weights, stored))
            inputs = [stored, "w_scale", "w_zero"]
            nodes.append(helper.make_node("DequantizeLinear", inputs, [factor]))
            bytes_, back = f"q{number}", f"d{number}"
            nodes.append(helper.make_node("QuantizeLinear", [tensor, "scale", "zero"], [bytes_]))
            nodes.append(helper.make_node("DequantizeLinear", [bytes_, "scale", "zero"], [back]))
            tensor = back
        result = "y" if number == products - 1 else f"p{number}"
        nodes.append(helper.make_node("MatMul", [tensor, factor], [result]))
        tensor = result
    graph = helper.make_graph(
        nodes,
        "peak",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    content: bytes = model.SerializeToString()
    return content
