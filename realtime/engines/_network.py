"""From a runner of tensors to an engine that paints pictures: contract, padding, fixed sizes,
tiles.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InferenceError, StyleIncompatible
from ..frame import Pixels
from ._contract import (
    Contract,
    Range,
    input_range_from_graph,
    output_range_from_graph,
    range_of_output,
    read_contract,
    to_hwc,
)
from ._large import paint_in_tiles, plan_grid

Fit = Literal["resize", "tile"]
_PROBE_SIDE: Final = 96
_STRIDES: Final = (1, 4, 8, 16, 32, 64)
_TILE_OVERLAP: Final = 0.125  # of a tile's side, on each edge that has a neighbour


@dataclass(frozen=True)
class TensorSpec:
    """Name, ONNX type string and shape of an input or output; free sides are strings or None."""

    name: str
    type: str
    shape: list[Any]


class Runner(Protocol):
    """Runs a graph on tensors. Adapters: onnxruntime, OpenVINO."""

    description: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]

    def evaluate(self, tensors: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        """The named output for tensors by the names of inputs; that of the first one decides the
        size. May raise anything the runtime raises.
        """
        ...

    def close(self) -> None:
        """Release the session."""
        ...


class NetworkEngine:
    """An `Engine` over any `Runner` whose graph turns one picture into one.

    Several threads may share it: they take turns.
    """

    def __init__(
        self,
        runner: Runner,
        model: Any,
        name: str,
        *,
        fit: Fit = "resize",
        ranges: tuple[Range, Range] | None = None,
        own: bool = False,
        extra: Mapping[str, NDArray[Any]] | None = None,
        most_pixels: int | None = None,
        make_runner: Callable[[bytes, str], Runner] | None = None,
    ) -> None:
        """`own` networks are those whose pixels depend on their surroundings alone: frames of more
        than `most_pixels` are then painted in tiles. `make_runner` makes runners of the same kind
        for other graphs, from their bytes and name.
        """
        self.notices: list[str] = []
        self.extra: Mapping[str, NDArray[Any]] = extra or {}
        """What the graph takes beside the picture, by name."""
        self._runner, self._name, self._fit, self._own = runner, name, fit, own
        self.make_runner = make_runner
        self._turn = threading.Lock()
        self._most_pixels = most_pixels
        pictures = [i for i in runner.inputs if i.name not in self.extra]
        contract = read_contract(pictures, runner.outputs, name)
        if contract.dtype != np.uint8:
            contract = self._with_ranges(contract, model, ranges)
        self._contract = contract
        self._stride = 1
        if contract.width and contract.height:
            how = "scaled to it and back" if fit == "resize" else "cut into overlapping tiles"
            self.notices.append(
                f"the model takes {contract.width}x{contract.height} only: frames are {how}"
            )

    @property
    def description(self) -> str:
        """What really runs, in one line."""
        return self._runner.description

    def paint(self, pixels: Pixels, extra: Mapping[str, NDArray[Any]] | None = None) -> Pixels:
        """The painted frame, (H, W, 3) uint8 like `pixels`. Raises `InferenceError`.

        `extra` takes the place of what the graph was given beside the picture.
        """
        with self._turn:
            if extra is not None:
                self.extra = extra
            return self._painted(pixels)

    def _painted(self, pixels: Pixels) -> Pixels:
        contract = self._contract
        if contract.width and contract.height:
            if self._fit == "tile":
                return paint_tiled(self._run, pixels, contract.width, contract.height)
            return _paint_resized(self._run, pixels, contract.width, contract.height)
        height, width, _ = pixels.shape
        if self._own and self._most_pixels and height * width > self._most_pixels:
            return paint_in_tiles(self._run, pixels, plan_grid(width, height, self._most_pixels))
        if self._own or self._stride == 1:
            painted = self._run(pixels)
            if painted.shape == pixels.shape:
                return painted
        return self._paint_padded(pixels, height, width)

    def close(self) -> None:
        """Release the network."""
        self._runner.close()

    def _paint_padded(self, pixels: Pixels, height: int, width: int) -> Pixels:
        """For networks that change the size of pictures off their stride: find it, pad to it,
        crop.
        """
        for stride in _STRIDES[_STRIDES.index(self._stride) :]:
            pad_y, pad_x = -height % stride, -width % stride
            padded = cv2.copyMakeBorder(pixels, 0, pad_y, 0, pad_x, cv2.BORDER_REPLICATE)
            painted = self._run(padded)  # type: ignore[arg-type]
            if painted.shape == padded.shape:
                if stride != self._stride:
                    self.notices.append(
                        f"frames are padded to multiples of {stride} for this model"
                    )
                self._stride = stride
                return np.ascontiguousarray(painted[:height, :width])
        raise InferenceError(
            f"{self._name} puts out {painted.shape[1]}x{painted.shape[0]} for {width}x{height}: "
            "only networks that keep the size can be used"
        )

    def _run(self, pixels: Pixels) -> Pixels:
        try:
            return self._contract.fetch(self._evaluate(self._contract, pixels))
        except Exception as error:
            height, width, _ = pixels.shape
            raise InferenceError(
                f"{self._name} failed on a {width}x{height} frame: {_first_line(error)}"
            ) from error

    def _evaluate(self, contract: Contract, pixels: Pixels) -> NDArray[Any]:
        tensors = {contract.input_name: contract.feed(pixels), **self.extra}
        return self._runner.evaluate(tensors, contract.output_name)

    def _with_ranges(
        self, contract: Contract, model: Any, ranges: tuple[Range, Range] | None
    ) -> Contract:
        """The contract with value ranges: as told, by the graph's arithmetic, or by trying."""
        if ranges:
            how = "as told"
            contract = replace(contract, input_range=ranges[0], output_range=ranges[1])
        else:
            entry = input_range_from_graph(model, contract.input_name)
            end = output_range_from_graph(model, contract.output_name)
            how = "by its graph" if entry and end else "by trial"
            contract = self._probe(contract, entry, end)
        self.notices.append(
            f"the model is run as {contract.describe()} ({how}); --model-range changes that"
        )
        return contract

    def _probe(self, contract: Contract, entry: Range | None, end: Range | None) -> Contract:
        """Try the ranges left open on a test picture.

        A network trained on one range answers in that range; fed with another it falls out of it.
        The smallest range that answers in itself is taken, since without biases and norms all of
        them do.
        """
        candidates: list[Range] = [entry] if entry else ["0..1", "-1..1", "0..255"]
        answers: dict[Range, Range] = {}
        for candidate in candidates:
            answers[candidate] = end or self._answer(replace(contract, input_range=candidate))
        for candidate, answer in answers.items():
            if candidate == answer:
                return replace(contract, input_range=candidate, output_range=answer)
        # none answers in itself: what goes in is most often what comes out
        first = next(iter(answers))
        return replace(contract, input_range=first, output_range=answers[first])

    def _answer(self, contract: Contract) -> Range:
        height, width = contract.height or _PROBE_SIDE, contract.width or _PROBE_SIDE
        try:
            tensor = self._evaluate(contract, _test_picture(width, height))
            return range_of_output(to_hwc(tensor, contract.output_layout).astype(np.float32))
        except Exception as error:
            raise StyleIncompatible(
                f"{self._name} does not turn a {width}x{height} picture into a picture: "
                f"{_first_line(error)}"
            ) from error


def paint_tiled(
    run: Callable[[Pixels], Pixels], pixels: Pixels, tile_width: int, tile_height: int
) -> Pixels:
    """Paint in tiles of a fixed size that overlap by a quarter and fade into each other."""
    height, width, _ = pixels.shape
    xs, ys = _starts(width, tile_width), _starts(height, tile_height)
    padded = cv2.copyMakeBorder(
        pixels, 0, max(0, tile_height - height), 0, max(0, tile_width - width), cv2.BORDER_REPLICATE
    )
    total = np.zeros(padded.shape, np.float32)
    weights = np.zeros(padded.shape[:2], np.float32)
    window = np.outer(_ramp(tile_height), _ramp(tile_width)).astype(np.float32)
    for y in ys:
        for x in xs:
            box = np.s_[y : y + tile_height, x : x + tile_width]
            total[box] += run(np.ascontiguousarray(padded[box])) * window[:, :, None]
            weights[box] += window
    painted = np.rint(total / weights[:, :, None]).astype(np.uint8)
    return np.ascontiguousarray(painted[:height, :width])


def _paint_resized(
    run: Callable[[Pixels], Pixels], pixels: Pixels, width: int, height: int
) -> Pixels:
    full_height, full_width, _ = pixels.shape
    if (full_width, full_height) == (width, height):
        return run(pixels)
    shrunk = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    painted = run(shrunk)  # type: ignore[arg-type]
    return cv2.resize(  # type: ignore[return-value]
        painted, (full_width, full_height), interpolation=cv2.INTER_CUBIC
    )


def _starts(length: int, tile: int) -> list[int]:
    """Where tiles begin along a side: evenly spread, overlapping by a quarter at least."""
    if length <= tile:
        return [0]
    count = -(-(length - tile) // max(1, round(tile * (1 - 2 * _TILE_OVERLAP)))) + 1
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _ramp(length: int) -> NDArray[np.float32]:
    edge = max(1, round(length * 2 * _TILE_OVERLAP))
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    return np.minimum(1, distance / edge).astype(np.float32)


def _test_picture(width: int, height: int) -> Pixels:
    """A picture with all the levels, soft and hard edges and three different channels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    red = 255 * x / max(1, width - 1)
    green = 127.5 + 127.5 * np.sin(y / 9)
    blue = np.where((x // 16 + y // 16) % 2 > 0, 220, 30)
    return np.dstack([red, green, blue]).astype(np.uint8)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
