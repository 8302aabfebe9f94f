"""TensorRT engines: what tells them apart, how they are built and found, what is said without it.

No machine of the tests has TensorRT: where it would run, a double stands at the boundary of
onnxruntime. What is real here is everything on our side of it.
"""

import dataclasses
import hashlib
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import pytest
from rich.console import Console

from stylize_video.realtime import EngineRequest, cli, find_style, load_engine
from stylize_video.realtime._export_tensorrt import CODE_PROFILES, BuildBar
from stylize_video.realtime.engines import onnx as runner
from stylize_video.realtime.engines import tensorrt
from stylize_video.realtime.engines._probe import PROVIDERS, why_unavailable
from stylize_video.realtime.engines.any_painting import Painting, PaintingEncoder
from stylize_video.realtime.engines.tensorrt import (
    Machine,
    Profile,
    build_engine,
    cache_key,
    find_engine,
)
from stylize_video.realtime.errors import EngineUnavailable, StylizeError

HERE: Final = Machine("101300", "1.31.1", "NVIDIA L4")
REAL_SESSION: Final = onnxruntime.InferenceSession


class Double:
    """What onnxruntime does with the TensorRT provider, seen from outside: an engine in the cache,
    and pictures from the processor.
    """

    opened: list[Any]
    falls_back: bool
    fails: bool
    keeps: bool

    def __init__(self, content: Any, options: Any = None, providers: Any = None) -> None:
        first = providers[0]
        self._trt = isinstance(first, tuple)
        if self._trt:
            Double.opened.append(first[1])
            if Double.fails:
                raise RuntimeError("[TRT] out of memory\nmore")
            kept = first[1].get("trt_engine_cache_path")
            if kept and Double.keeps:
                (Path(kept) / "model_sm89.engine").write_bytes(b"engine")
        self._session = REAL_SESSION(content, options, providers=["CPUExecutionProvider"])

    def get_providers(self) -> list[str]:
        trt = self._trt and not Double.falls_back
        return [PROVIDERS["tensorrt"]] if trt else ["CPUExecutionProvider"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> type[Double]:
    Double.opened, Double.falls_back, Double.fails, Double.keeps = [], False, False, True
    monkeypatch.setattr(onnxruntime, "InferenceSession", Double)
    for module in (tensorrt, runner):
        monkeypatch.setattr(module, "why_unavailable", lambda _: None)
        monkeypatch.setattr(module, "prepare", lambda _: None)
    monkeypatch.setattr(tensorrt, "_tensorrt_version", lambda: HERE.tensorrt)
    monkeypatch.setattr(tensorrt, "_gpu_name", lambda number: HERE.gpu)
    return Double


SMALL: Final = Profile((64, 48), (160, 96), (320, 240))
DAMAGE: Final[dict[str, Callable[[Path], object]]] = {
    "no record": lambda folder: (folder / "engine.json").unlink(),
    "an empty record": lambda folder: (folder / "engine.json").write_text("{}"),
    "a record of something else": lambda folder: (folder / "engine.json").write_text("[1]"),
    "a record cut short": lambda folder: (folder / "engine.json").write_text('{"profile": {"sm'),
    "a record that is no text": lambda folder: (folder / "engine.json").write_bytes(b"\xff\xfe"),
    "no engine": lambda folder: (folder / "model_sm89.engine").unlink(),
    "an empty engine": lambda folder: (folder / "model_sm89.engine").write_bytes(b""),
    "a file in its place": lambda folder: (shutil.rmtree(folder), folder.write_text("x")),
}


def content() -> bytes:
    return find_style("starry-fast").read("fp32")


def test_anything_that_changes_an_engine_changes_its_key() -> None:
    plain = cache_key("ab", Profile(), "fp16", HERE)
    assert plain == cache_key("ab", Profile(), "fp16", HERE)
    others = [
        cache_key("cd", Profile(), "fp16", HERE),
        cache_key("ab", Profile(largest=(3840, 2160)), "fp16", HERE),
        cache_key("ab", Profile(usual=(640, 360)), "fp16", HERE),
        cache_key("ab", Profile(smallest=(64, 64)), "fp16", HERE),
        cache_key("ab", Profile(), "int8", HERE),
        cache_key("ab", Profile(), "fp16", dataclasses.replace(HERE, tensorrt="101400")),
        cache_key("ab", Profile(), "fp16", dataclasses.replace(HERE, onnxruntime="1.32")),
        cache_key("ab", Profile(), "fp16", dataclasses.replace(HERE, gpu="NVIDIA T4")),
    ]
    assert len({plain, *others}) == 9


def test_an_engine_is_built_once_and_found_for_its_sizes(
    double: type[Double], tmp_path: Path
) -> None:
    said: list[str] = []
    steps: list[tuple[int, int, str]] = []
    folder = build_engine(
        content(), SMALL, "fp16", HERE, tmp_path, said.append, lambda *step: steps.append(step)
    )
    assert sorted(p.name for p in folder.iterdir()) == ["engine.json", "model_sm89.engine"]
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]
    (options,) = double.opened
    assert options["trt_profile_min_shapes"] == "frame:1x48x64x3"
    assert options["trt_profile_max_shapes"] == "frame:1x240x320x3"
    assert (options["trt_fp16_enable"], options["trt_int8_enable"]) == ("1", "0")
    assert said == ["building for NVIDIA L4 with TensorRT 101300: this takes minutes"]
    assert steps == [
        (0, 3, "building"),
        (1, 3, "160x96 runs"),
        (2, 3, "64x48 runs"),
        (3, 3, "320x240 runs"),
    ]
    assert build_engine(content(), SMALL, "fp16", HERE, tmp_path, said.append) == folder
    assert "there already" in said[-1]
    assert len(double.opened) == 1
    sha256 = hashlib.sha256(content()).hexdigest()
    assert find_engine(sha256, (200, 100), HERE, tmp_path) == (folder, SMALL, "fp16")
    assert find_engine(sha256, (400, 100), HERE, tmp_path) is None
    assert find_engine("0" * 64, (200, 100), HERE, tmp_path) is None
    other = dataclasses.replace(HERE, gpu="NVIDIA T4")
    assert find_engine(sha256, (200, 100), other, tmp_path) is None


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_found_is_built_anew(damage: str, double: type[Double], tmp_path: Path) -> None:
    """The command and the engine agree on what is whole."""
    said: list[str] = []
    sha256 = hashlib.sha256(content()).hexdigest()
    folder = build_engine(content(), SMALL, "fp16", HERE, tmp_path)
    DAMAGE[damage](folder)
    assert find_engine(sha256, (200, 100), HERE, tmp_path) is None
    double.fails = True
    with pytest.raises(StylizeError, match="can't build"):
        build_engine(content(), SMALL, "fp16", HERE, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]
    double.fails = False
    assert build_engine(content(), SMALL, "fp16", HERE, tmp_path, said.append) == folder
    assert said[0] == f"what is in {folder} is not a whole engine: it is built anew"
    assert find_engine(sha256, (200, 100), HERE, tmp_path) == (folder, SMALL, "fp16")
    assert sorted(p.name for p in folder.iterdir()) == ["engine.json", "model_sm89.engine"]
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


def test_the_engine_of_a_faster_build_stays(double: type[Double], tmp_path: Path) -> None:
    def meanwhile(done: int, sizes: int, doing: str) -> None:
        if done == sizes:
            build_engine(content(), SMALL, "fp16", HERE, tmp_path)
            (next(tmp_path.glob("[!.]*")) / "in use").touch()

    folder = build_engine(content(), SMALL, "fp16", HERE, tmp_path, on_step=meanwhile)
    assert (folder / "in use").exists()
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


@pytest.mark.parametrize("place", ["file", "file/deeper"])
def test_a_cache_that_can_not_be_written_is_one_line(
    place: str, double: type[Double], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StylizeError, match=r"can't be kept in .*: make that a folder") as caught:
        build_engine(content(), SMALL, "fp16", HERE, tmp_path / place)
    assert str(tmp_path / place) in str(caught.value)
    assert (tmp_path / "file").read_text() == "in the way"
    assert double.opened == []
    assert find_engine("0" * 64, (200, 100), HERE, tmp_path / place) is None


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands keep engines, on the machine that `HERE` is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(onnxruntime, "__version__", HERE.onnxruntime)
    return tmp_path / "stylize-video" / "tensorrt"


def test_the_command_builds_what_the_engine_then_runs(
    double: type[Double], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--smallest", "64x48", "--usual", "160x96", "--largest", "320x240"]
    assert cli.run(["export", "starry-fast", "--tensorrt", *sizes]) == 0
    assert "`--engine tensorrt` finds it there" in capsys.readouterr().err
    engine = load_engine(find_style("starry-fast"), EngineRequest("tensorrt"))
    for width, height, kept in ((160, 96, True), (640, 48, False)):
        painted = engine.paint(np.zeros((height, width, 3), np.uint8))
        assert painted.shape == (height, width, 3)
        assert ("trt_engine_cache_path" in double.opened[-1]) == kept
    engine.close()


def test_both_graphs_of_a_style_for_any_painting_are_built_and_found(
    double: type[Double], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--smallest", "64x48", "--usual", "64x48", "--largest", "160x96"]
    assert cli.run(["export", "any", "--tensorrt", "--precision", "int8", *sizes]) == 0
    err = capsys.readouterr().err
    assert "any.int8.onnx, 64x48 to 160x96, int8" in err
    assert "any.code.onnx, 512x512 to 2048x512, fp16" in err
    assert "any.code.onnx, 512x512 to 512x2048, fp16" in err
    assert "size 3 of 3: 512x2048 runs after" in err
    assert len(list(cache.iterdir())) == 3
    for height, width in ((30, 40), (40, 30), (30, 30)):
        double.opened.clear()
        painting = Painting(np.zeros((height, width, 3), np.uint8))
        request = EngineRequest("tensorrt", precision="int8", paintings=(painting,))
        engine = load_engine(find_style("any"), request)
        engine.paint(np.zeros((96, 160, 3), np.uint8))
        engine.close()
        kept = {
            options["trt_profile_max_shapes"].partition(":")[0]
            for options in double.opened
            if "trt_engine_cache_path" in options
        }
        assert kept == {"painting", "frame"}


@pytest.mark.parametrize(("height", "width"), [(7, 900), (900, 7), (300, 400), (64, 64), (1, 4)])
def test_every_painting_has_a_size_that_engines_are_built_for(height: int, width: int) -> None:
    class Runner:
        inputs: Final = [type("Spec", (), {"name": "painting"})]
        seen: tuple[int, ...] = ()

        def evaluate(self, tensors: dict[str, Any], _output: str) -> Any:
            self.seen = tensors["painting"].shape
            return np.zeros((1, 3), np.float32)

    runner = Runner()
    PaintingEncoder(runner, "code")(np.zeros((height, width, 3), np.uint8))  # type: ignore[arg-type]
    _, high, wide, _ = runner.seen
    assert any(profile.holds(wide, high) for profile in CODE_PROFILES)


def test_a_terminal_sees_how_many_sizes_run_and_for_how_long() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120, color_system=None)
    with BuildBar(console, "a[b].onnx") as bar:
        assert stream.getvalue() == ""
        bar.step(0, 3, "building")
        bar._progress.refresh()
        assert "a[b].onnx: building" in stream.getvalue()
        assert "sizes 0 of 3 0:0" in stream.getvalue()
        bar.step(1, 3, "1280x720 runs")
        bar._progress.refresh()
        assert "a[b].onnx: 1280x720 runs" in stream.getvalue()
        assert "sizes 1 of 3 0:0" in stream.getvalue()
    assert "after" not in stream.getvalue()


def test_elsewhere_every_size_is_a_line() -> None:
    stream = io.StringIO()
    with BuildBar(Console(file=stream, width=120), "a.onnx") as bar:
        bar.step(0, 3, "building")
        bar.step(1, 3, "1280x720 runs")
    assert re.fullmatch(r"size 1 of 3: 1280x720 runs after \d+ s\n", stream.getvalue())


def test_a_build_that_fails_leaves_nothing(double: type[Double], tmp_path: Path) -> None:
    double.fails = True
    with pytest.raises(StylizeError, match=r"can't build this engine: \[TRT\] out of memory$"):
        build_engine(content(), Profile(), "fp16", HERE, tmp_path)
    assert list(tmp_path.iterdir()) == []
    double.fails, double.falls_back = False, True
    with pytest.raises(EngineUnavailable, match="onnxruntime fell back to CPUExecutionProvider"):
        build_engine(content(), Profile(), "fp16", HERE, tmp_path)
    assert list(tmp_path.iterdir()) == []
    double.falls_back, double.keeps = False, False
    with pytest.raises(StylizeError, match="took no part of the model"):
        build_engine(content(), SMALL, "fp16", HERE, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_tensorrt_one_line_says_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if why_unavailable("tensorrt") is None:
        pytest.skip("this machine has TensorRT")
    assert cli.run(["export", "starry", "--tensorrt"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--engine tensorrt does not work here" in line
    assert "libnvinfer" in line


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        (["--usual", "1280x"], "give them as 1280x720"),
        (["--usual", "100x100"], "do not rise"),
        (["--largest", "640x2160"], "pixels wide do not rise"),
    ],
)
def test_sizes_must_rise(sizes: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["export", "starry", "--tensorrt", *sizes]) == 1
    assert said in capsys.readouterr().err
