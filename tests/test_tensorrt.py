"""TensorRT engines: what tells them apart, how they are built and found, what is said without it.

No machine of the tests has TensorRT: where it would run, a double stands at the boundary of
onnxruntime. What is real here is everything on our side of it.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import pytest

from stylize_video.realtime import EngineRequest, cli, find_style, load_engine
from stylize_video.realtime.engines import onnx as runner
from stylize_video.realtime.engines import tensorrt
from stylize_video.realtime.engines._probe import PROVIDERS, why_unavailable
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

    def __init__(self, content: Any, options: Any = None, providers: Any = None) -> None:
        first = providers[0]
        self._trt = isinstance(first, tuple)
        if self._trt:
            Double.opened.append(first[1])
            if Double.fails:
                raise RuntimeError("[TRT] out of memory\nmore")
            kept = first[1].get("trt_engine_cache_path")
            if kept:
                (Path(kept) / "model_sm89.engine").write_bytes(b"engine")
        self._session = REAL_SESSION(content, options, providers=["CPUExecutionProvider"])

    def get_providers(self) -> list[str]:
        trt = self._trt and not Double.falls_back
        return [PROVIDERS["tensorrt"]] if trt else ["CPUExecutionProvider"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> type[Double]:
    Double.opened, Double.falls_back, Double.fails = [], False, False
    monkeypatch.setattr(onnxruntime, "InferenceSession", Double)
    for module in (tensorrt, runner):
        monkeypatch.setattr(module, "why_unavailable", lambda _: None)
        monkeypatch.setattr(module, "prepare", lambda _: None)
    monkeypatch.setattr(tensorrt, "_tensorrt_version", lambda: HERE.tensorrt)
    monkeypatch.setattr(tensorrt, "_gpu_name", lambda number: HERE.gpu)
    return Double


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
    small = Profile((64, 48), (160, 96), (320, 240))
    folder = build_engine(content(), small, "fp16", HERE, tmp_path, said.append)
    assert sorted(p.name for p in folder.iterdir()) == ["engine.json", "model_sm89.engine"]
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]
    (options,) = double.opened
    assert options["trt_profile_min_shapes"] == "frame:1x48x64x3"
    assert options["trt_profile_max_shapes"] == "frame:1x240x320x3"
    assert (options["trt_fp16_enable"], options["trt_int8_enable"]) == ("1", "0")
    assert any("160x96 runs" in line for line in said)
    assert build_engine(content(), small, "fp16", HERE, tmp_path, said.append) == folder
    assert "there already" in said[-1]
    assert len(double.opened) == 1
    sha256 = hashlib.sha256(content()).hexdigest()
    assert find_engine(sha256, (200, 100), HERE, tmp_path) == (folder, small, "fp16")
    assert find_engine(sha256, (400, 100), HERE, tmp_path) is None
    assert find_engine("0" * 64, (200, 100), HERE, tmp_path) is None
    other = dataclasses.replace(HERE, gpu="NVIDIA T4")
    assert find_engine(sha256, (200, 100), other, tmp_path) is None
    (folder / "engine.json").write_text("{}")
    assert find_engine(sha256, (200, 100), HERE, tmp_path) is None


def test_the_command_builds_what_the_engine_then_runs(
    double: type[Double],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(onnxruntime, "__version__", HERE.onnxruntime)
    sizes = ["--smallest", "64x48", "--usual", "160x96", "--largest", "320x240"]
    assert cli.run(["export", "starry-fast", "--tensorrt", *sizes]) == 0
    assert "`--engine tensorrt` finds it there" in capsys.readouterr().err
    engine = load_engine(find_style("starry-fast"), EngineRequest("tensorrt"))
    for width, height, kept in ((160, 96, True), (640, 48, False)):
        painted = engine.paint(np.zeros((height, width, 3), np.uint8))
        assert painted.shape == (height, width, 3)
        assert ("trt_engine_cache_path" in double.opened[-1]) == kept
    engine.close()


def test_a_build_that_fails_leaves_nothing(double: type[Double], tmp_path: Path) -> None:
    double.fails = True
    with pytest.raises(StylizeError, match=r"can't build this engine: \[TRT\] out of memory$"):
        build_engine(content(), Profile(), "fp16", HERE, tmp_path)
    assert list(tmp_path.iterdir()) == []
    double.fails, double.falls_back = False, True
    with pytest.raises(EngineUnavailable, match="onnxruntime fell back to CPUExecutionProvider"):
        build_engine(content(), Profile(), "fp16", HERE, tmp_path)
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
