"""Counting a network's operations, and what the engine could do at most."""

import json

import numpy as np
import onnx
import pytest
from media import identity_model, model_bytes
from onnx import TensorProto, helper, numpy_helper

from stylize_video.realtime import _roofline, cli, find_style
from stylize_video.realtime._roofline import count_operations, measure_peak
from stylize_video.realtime.engines._model import parse_model
from stylize_video.realtime.engines._network import Runner
from stylize_video.realtime.engines.onnx import OnnxRunner


def on_cpu(content: bytes, label: str) -> Runner:
    return OnnxRunner(content, "cpu", "fp32", 1, label)


def convolutions() -> onnx.ModelProto:
    """A strided 3x3 convolution in two groups from 4 to 8 channels, and back by a transposed one;
    before them, one from 3 to 4.
    """
    shapes = {"a": (4, 3, 1, 1), "b": (8, 2, 3, 3), "c": (8, 3, 2, 2)}
    constants = [numpy_helper.from_array(np.ones(s, np.float32), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["frame", "a"], ["x"]),
        helper.make_node("Conv", ["x", "b"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1], group=2),
        helper.make_node("ConvTranspose", ["y", "c"], ["painted"], strides=[2, 2]),
    ]
    ends = [1, 3, "height", "width"]
    return onnx.load_from_string(
        model_bytes(
            nodes,
            ("frame", TensorProto.FLOAT, ends),
            ("painted", TensorProto.FLOAT, ends),
            constants,
        )
    )


def test_operations_are_counted_exactly() -> None:
    first = 2 * (4 * 32 * 64) * 3
    second = 2 * (8 * 16 * 32) * (2 * 9)
    third = 2 * (8 * 16 * 32) * (3 * 4)
    assert count_operations(convolutions(), 64, 32) == first + second + third
    assert count_operations(onnx.load_from_string(identity_model()), 64, 32) == 0


def test_both_files_of_a_style_are_the_same_arithmetic(styles: list[str]) -> None:
    style = find_style(styles[0])
    counts = {
        count_operations(parse_model(style.read(precision), "x"), 160, 96)
        for precision in style.files
    }
    (count,) = counts
    assert count is not None
    assert count > 160 * 96 * 1000
    # linear in pixels, up to the rows that are repeated at borders
    larger = count_operations(parse_model(style.read("fp32"), "x"), 320, 192)
    assert larger == pytest.approx(4 * count, rel=0.2)


def test_what_is_not_counted_is_not_guessed() -> None:
    node = helper.make_node("MatMulInteger", ["frame", "frame"], ["painted"])
    ends = [3, 3]
    model = model_bytes(
        [node], ("frame", TensorProto.UINT8, ends), ("painted", TensorProto.INT32, ends)
    )
    assert count_operations(onnx.load_from_string(model), 3, 3) is None


def test_products_in_8_bits_are_those_in_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_roofline, "_SIDE", 64)
    start = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    runner = on_cpu(_roofline._chain(1, quantized=True), "8 bits")
    got = runner.evaluate({"x": start}, "y")
    weights = np.random.default_rng(1).integers(-127, 128, (64, 64)) / (73 * 8)
    assert np.corrcoef(got.ravel(), (start @ weights).ravel())[0, 1] > 0.999
    runner.close()


def test_the_peak_leaves_out_what_going_in_and_out_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that says: 5 s for every run, and 2 s for every product."""
    now = 0.0

    class Timed:
        def __init__(self, content: bytes) -> None:
            graph = onnx.load_from_string(content).graph
            self._products = sum(node.op_type == "MatMul" for node in graph.node)

        def evaluate(self, tensors: object, output: str) -> None:
            nonlocal now
            now += 5 + 2 * self._products

        def close(self) -> None:
            """Nothing is held."""

    monkeypatch.setattr(_roofline, "_SIDE", 8)
    monkeypatch.setattr(_roofline.time, "perf_counter", lambda: now)
    for quantized in (False, True):
        peak = measure_peak(lambda content, _: Timed(content), quantized=quantized)  # type: ignore
        assert peak == pytest.approx(2 * 8**3 / 2)


def test_the_program_says_what_share_is_reached(
    styles: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_roofline, "_SIDE", 64)
    command = ["bench", "--style", styles[0], "--device", "cpu", "--sizes", "96x64"]
    command += ["--frames", "4", "--roofline"]
    assert cli.run([*command, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    line = row["roofline"]
    assert "cpu" in row["engine"]
    assert line["operations_a_frame"] > 0
    rate = line["operations_a_frame"] / row["net"]["p50_ms"] * 1000
    assert line["operations_a_second"] == pytest.approx(rate)
    most = line["matrix_product_operations_a_second"]
    assert line["share_of_matrix_product"] == pytest.approx(rate / most)
    assert cli.run(command) == 0
    assert "of large matrix products on this engine" in capsys.readouterr().out
