"""One contract for every engine, and which of them is taken."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from engine_tools import ENGINES, paint, picture
from media import identity_model

from stylize_video.realtime import EngineRequest, find_style, load_engine
from stylize_video.realtime.engines import _probe
from stylize_video.realtime.engines.choose import usable_cores
from stylize_video.realtime.errors import EngineUnavailable, MissingDependency


@pytest.fixture(params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- the contract


def test_it_says_what_runs(engine_name: str, identity: Path) -> None:
    engine = load_engine(find_style(str(identity)), EngineRequest(engine_name, threads=1))
    assert {"cpu": "onnxruntime", "openvino": "OpenVINO"}[engine_name] in engine.description
    assert engine.notices == []
    engine.close()


@pytest.mark.parametrize("size", [(50, 34), (1, 1), (64, 64), (33, 7)])
def test_pixels_keep_shape_and_type(
    size: tuple[int, int], engine_name: str, identity: Path
) -> None:
    pixels = picture(*size)
    assert np.array_equal(paint(identity, pixels, engine_name), pixels)


def test_sizes_may_change_from_frame_to_frame(engine_name: str, identity: Path) -> None:
    engine = load_engine(find_style(str(identity)), EngineRequest(engine_name, threads=1))
    for size in ((50, 34), (20, 10), (50, 34)):
        pixels = picture(*size)
        assert np.array_equal(engine.paint(pixels), pixels)
    engine.close()


def test_a_painted_frame_is_the_callers_own(engine_name: str, identity: Path) -> None:
    engine = load_engine(find_style(str(identity)), EngineRequest(engine_name, threads=1))
    first = engine.paint(picture())
    kept = first.copy()
    engine.paint(255 - picture())
    assert np.array_equal(first, kept)
    first[:] = 0  # and writable
    engine.close()


def test_what_is_painted_does_not_depend_on_the_threads(
    engine_name: str, styles: list[str]
) -> None:
    pixels = picture(160, 96)
    results = []
    for threads in (1, 2):
        engine = load_engine(find_style(styles[0]), EngineRequest(engine_name, threads=threads))
        results.append(engine.paint(pixels))
        engine.close()
    assert np.array_equal(*results)


# --- the choice


@pytest.fixture
def no_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "openvino" else found(n, *a)
    )
    monkeypatch.setitem(sys.modules, "openvino", None)


def test_auto_takes_openvino_where_it_is(identity: Path) -> None:
    engine = load_engine(find_style(str(identity)), EngineRequest())
    assert "OpenVINO" in engine.description
    assert f"{usable_cores()} threads" in engine.description
    engine.close()


@pytest.mark.usefixtures("no_openvino")
def test_auto_takes_onnxruntime_elsewhere(identity: Path) -> None:
    engine = load_engine(find_style(str(identity)), EngineRequest())
    assert "onnxruntime" in engine.description
    engine.close()


@pytest.mark.usefixtures("no_openvino")
def test_a_missing_package_is_named_with_its_pip_line(identity: Path) -> None:
    with pytest.raises(MissingDependency) as caught:
        load_engine(find_style(str(identity)), EngineRequest("openvino"))
    assert "pip install 'stylize-video[openvino]'" in str(caught.value)
    assert isinstance(caught.value, ImportError)


@pytest.mark.parametrize("name", ["cuda", "tensorrt", "coreml", "directml"])
def test_an_engine_asked_for_is_never_replaced(name: str, identity: Path) -> None:
    if _probe.why_unavailable(name) is None:
        pytest.skip(f"{name} works on this machine")
    with pytest.raises(EngineUnavailable, match=f"--engine {name} does not work here: "):
        load_engine(find_style(str(identity)), EngineRequest(name))


def test_a_provider_that_falls_back_is_caught(
    identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As onnxruntime does when a driver is there and something else is not."""
    from stylize_video.realtime.engines import onnx as adapter

    monkeypatch.setattr(adapter, "why_unavailable", lambda _: None)
    monkeypatch.setattr(adapter, "prepare", lambda _: None)
    monkeypatch.setattr(adapter, "provider_options", lambda *_: ["CPUExecutionProvider"])
    with pytest.raises(EngineUnavailable, match="fell back to CPUExecutionProvider"):
        load_engine(find_style(str(identity)), EngineRequest("cuda"))


def test_sums_that_can_not_be_exact_are_said(
    identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As onnxruntime does where two layers share 8-bit weights, on processors without VNNI."""
    import onnxruntime

    whole = onnxruntime.InferenceSession

    def refusing(content: bytes, options: Any, **more: Any) -> Any:
        if options.get_session_config_entry("session.x64quantprecision") == "1":
            raise RuntimeError("graph.cc:4142 Attempt to replace the existing tensor")
        return whole(content, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", refusing)
    engine = load_engine(find_style(str(identity)), EngineRequest("cpu"))
    assert engine.description.endswith(", 8-bit sums clipped")
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert (engine.paint(frame) == frame).all()
    engine.close()


def test_unknown_engines_are_told_what_there_is(identity: Path) -> None:
    with pytest.raises(EngineUnavailable, match="give one of auto, cpu, cuda"):
        load_engine(find_style(str(identity)), EngineRequest("abacus"))


def test_the_identity_model_loads() -> None:
    assert onnx.load_model_from_string(identity_model()).graph.node[0].op_type == "Identity"


def test_nothing_is_reported_to_anybody(tmp_path: Path, identity: Path) -> None:
    """onnxruntime's telemetry puts a database into the home folder, from which it sends."""
    program = "from stylize_video.realtime.cli import main; main()"
    picture = tmp_path / "p.png"
    cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    home = tmp_path / "home"
    home.mkdir()
    # where tests run it may be off by itself
    off = ("CI", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    free = {name: value for name, value in os.environ.items() if name not in off}
    command = [sys.executable, "-c", program, "image", picture, "--style", identity]
    subprocess.run(
        [*command, "--engine", "cpu"], env={**free, "HOME": str(home)}, check=True, timeout=120
    )
    assert not [path for path in home.rglob("*") if "onnxruntime" in str(path)]
