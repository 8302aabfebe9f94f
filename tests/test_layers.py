"""The architecture, held by the imports themselves."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# module -> the modules of this half it may import, besides errors, colour, frame and _optional
ALLOWED = {
    "realtime": {
        "errors": set(),
        "colour": set(),
        "frame": {"colour"},
        "_optional": {"errors"},
        "channel": set(),
        "metrics": {"warp"},
        "catalogue": {"errors"},
        "engines": {"catalogue"},
        "sound": set(),
        "_child": set(),
        "accelerators": set(),
        "sources": {"_child", "accelerators", "sound", "tonemap"},
        "sinks": {"_child", "sound"},
        "warp": set(),
        "flow": set(),
        "_motion": {"_state", "flow", "warp"},
        "_still": {"_state", "warp"},
        "_strips": {"warp"},
        "_history": {"_state", "_strips", "warp"},
        "_state": set(),
        "shots": {"_motion", "flow"},
        "temporal": {"_history", "_motion", "_state", "_still", "flow", "shots", "warp"},
        "lookahead": {
            "_history", "_motion", "_state", "_still", "_strips", "flow", "shots", "temporal",
            "warp",
        },
        "_tiles": {"warp"},
        "keyframes": {
            "_motion", "_state", "_strips", "_tiles", "flow", "shots", "temporal", "warp",
        },
        "tiers": {"flow", "keyframes", "lookahead", "temporal"},
        "_memory": {"tiers"},
        "peephole": {"temporal", "warp"},
        "synthflow": {"warp"},
        "tonemap": set(),
        "stylizer": {"_state", "engines", "shots"},
        "journal": {"sources"},
        "_join": {"sinks", "sources"},
        "segments": {"_join", "_state", "journal", "pipeline", "sinks", "sources"},
        "_reading": {"_threads", "channel", "sinks", "sources"},
        "pipeline": {"_reading", "_threads", "channel", "sinks", "sources"},
        "fan": {"_reading", "_threads", "channel", "pipeline", "sinks", "sources"},
        "hwaccel": {"accelerators", "sinks", "sources"},
        "_hwprobe": {"accelerators", "sinks", "sources"},
        "image": {"catalogue", "sinks", "sources"},
        "folders": {"catalogue", "sinks", "sources"},
        "batch": {"folders", "video"},
        "dealing": {"_threads", "batch", "folders", "video"},
        "_batch_options": {"batch", "folders"},
        "video": {
            "_memory", "engines", "folders", "hwaccel", "journal", "keyframes", "metrics",
            "peephole", "pipeline", "segments", "sinks", "sources", "stylizer", "temporal", "tiers",
            "turning",
        },
        "several": {
            "_memory", "engines", "fan", "metrics", "pipeline", "segments", "sources", "temporal",
            "tiers", "video",
        },
        "_segment_options": {"_options", "catalogue", "engines", "segments"},
        "_cluster_options": {"_options"},
        "_pieces": {"journal", "pipeline", "shots", "sinks", "sources"},
        "_crew": {"_pieces", "cues"},
        "_film": {
            "_join", "_memory", "_pieces", "channel", "folders", "journal", "pipeline", "sinks",
            "video",
        },
        "_session": {"_arguments", "_crew", "_looks", "_pieces", "_segment_options", "video"},
        "_foreman": {"_crew", "_pieces", "_session"},
        "_ray": {"_crew", "_foreman", "_pieces", "cues", "engines"},
        "cluster": {
            "_arguments", "_crew", "_film", "_ray", "_segment_options", "batch", "cues", "folders",
            "metrics", "video",
        },
        "_arguments": {
            "_batch_options", "_cluster_options", "_looks", "_memory", "_options",
            "_segment_options", "accelerators", "catalogue", "engines", "folders", "hwaccel",
            "peephole", "sinks", "sources", "tiers", "video",
        },
        "_devices_options": {
            "_arguments", "_batch_options", "_console", "_looks", "_segment_options", "_talk",
            "batch", "catalogue", "cues", "dealing", "engines", "folders", "pipeline", "video",
        },
        "_talk": {"_console", "pipeline", "video"},
        "_styles_options": {
            "_arguments", "_batch_options", "_console", "_looks", "_segment_options", "_talk",
            "batch", "catalogue", "cues", "folders", "several", "video",
        },
        "newest": set(),
        "knobs": set(),
        "finish": {"knobs"},
        "masks": {"_state", "engines"},
        "cues": {"knobs"},
        "fader": {"knobs"},
        "budget": set(),
        "studio": {"_state", "finish", "knobs", "masks"},
        "outlets": {"sound"},
        "live": {
            "_threads", "budget", "fader", "finish", "knobs", "metrics", "newest", "outlets",
            "sound", "sources", "studio",
        },
        "_outlets": {"_options", "live", "outlets", "sinks", "sound", "sources", "video"},
        "_live_input": {"_options", "sources"},
        "_keyboard": set(),
        "turning": {"_state", "cues", "engines", "masks", "shots", "studio", "stylizer"},
        "_looks": {
            "_options", "catalogue", "cues", "engines", "knobs", "masks", "sources", "turning",
        },
        "webcam": {
            "_arguments", "_keyboard", "_live_input", "_looks", "_outlets", "budget", "catalogue",
            "engines", "knobs", "live", "outlets", "sinks", "sources", "studio", "stylizer",
            "tiers",
        },
        "doctor": {
            "_child", "accelerators", "catalogue", "engines", "hwaccel", "sinks", "sources",
        },
        # the adapter of aiohttp and aiortc: what it imports, it may import at the top, since it is
        # itself imported in functions only
        "web": {
            "catalogue", "engines", "fader", "knobs", "masks", "metrics", "sinks", "sources",
            "studio", "stylizer", "tiers",
        },
        "serve": {
            "_arguments", "_looks", "_options", "catalogue", "engines", "sources", "tiers", "web",
        },
        "ctl": set(),
        "_console": {"pipeline"},
        "_gallery": {"catalogue"},
        "_options": {"engines", "keyframes", "sources", "video"},
        "_export_tensorrt": {"_options", "catalogue", "engines"},
        "_roofline": {"engines"},
        "bench": {
            "_arguments", "_roofline", "catalogue", "engines", "metrics", "sinks", "sources",
            "tiers", "video",
        },
        "_steadiness": {"_history", "metrics", "synthflow", "temporal", "tiers", "warp"},
        "_clips": {"_steadiness", "metrics", "sources", "warp"},
        "_figures": {"_clips", "_steadiness", "sinks"},
        "bench_temporal": {
            "_arguments", "_clips", "_figures", "_steadiness", "catalogue", "engines", "keyframes",
            "sources", "synthflow", "tiers",
        },
        "_video_command": {
            "_arguments", "_batch_options", "_console", "_devices_options", "_looks",
            "_segment_options", "_styles_options", "_talk", "batch", "catalogue", "cluster", "cues",
            "folders", "video",
        },
        "cli": {
            "_arguments", "_console", "_export_tensorrt", "_gallery", "_looks", "_talk",
            "_video_command", "bench", "bench_temporal", "catalogue", "ctl", "doctor", "image",
            "serve", "turning", "webcam",
        },
        "_telemetry": set(),
        "_threads": set(),
        "__init__": {
            "_telemetry", "catalogue", "engines", "pipeline", "sinks", "sources", "stylizer",
            "temporal", "tiers",
        },
    },
    "export": {
        "errors": set(),
        "_encoders": set(),
        "_files": set(),
        "_interrupts": set(),
        "_machine": set(),
        "losses": set(),
        "metrics": set(),
        "networks": set(),
        "growth": {"networks"},
        "johnson": set(),
        "card": {"_files"},
        "features": {"_encoders"},
        "style_losses": {"losses"},
        "layers": {"_encoders"},
        "data": set(),
        "discriminator": set(),
        "colours": set(),
        "fusion": {"colours", "networks"},
        "quantize": {"networks"},
        "onnx": {"networks", "quantize"},
        "fusion_growth": {"colours", "fusion", "growth", "networks", "onnx"},
        "fusion_equalize": {"fusion"},
        "fusion_start": {"colours", "fusion", "growth", "networks", "quantize"},
        "_colours_onnx": {"colours", "networks", "onnx"},
        "fusion_onnx": {"_colours_onnx", "colours", "fusion", "networks", "onnx", "quantize"},
        "verify": {"metrics", "networks", "onnx"},
        "methods": {
            "_encoders", "_files", "_machine", "card", "colours", "data", "discriminator",
            "features", "fusion", "fusion_growth", "fusion_start", "growth", "layers", "losses",
            "metrics", "networks", "onnx", "quantize", "style_losses",
        },
        "train": {"_files", "_interrupts", "_machine", "data", "methods", "networks"},
        "style": {
            "_files", "card", "data", "fusion", "fusion_equalize", "fusion_onnx", "metrics",
            "methods", "networks", "onnx", "quantize", "train", "verify", "verify_fusion",
        },
        "verify_fusion": {"fusion", "metrics", "networks", "verify"},
        "_plot": set(),
        "evaluate": {
            "_encoders", "_plot", "card", "data", "features", "layers", "losses", "metrics",
            "style_losses", "verify",
        },
        "_flags": {"data", "methods", "train"},
        "cli": {"_flags", "card", "data", "evaluate", "features", "methods", "style", "train"},
        "__init__": set(),
    },
}  # fmt: skip
EVERYWHERE = {"errors", "colour", "frame", "_optional"}
OPTIONAL = {
    "openvino", "torch", "aiohttp", "aiortc", "cryptography", "pyvirtualcam", "imageio_ffmpeg",
    "ray", "tensorrt", "onnxscript",
}  # fmt: skip
ADAPTERS = {"web"}
"""Packages that are adapters as a whole."""
FILES = [p for half in ALLOWED for p in sorted((ROOT / half).rglob("*.py"))]


def unit(path: Path) -> tuple[str, str]:
    """The half a file belongs to, and its module or sub-package there."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0], parts[1]


def imports(path: Path) -> list[tuple[ast.stmt, str, bool]]:
    """Each import: its statement, the absolute dotted name, and whether it stands in a function."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    tree = ast.parse(path.read_text())
    inside = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for child in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node, alias.name, id(node) in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *(node.module.split(".") if node.module else [])])
            if node.level and not node.module:
                found += [(node, f"{name}.{a.name}", id(node) in inside) for a in node.names]
            else:
                found.append((node, name, id(node) in inside))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    half, module = unit(path)
    assert module in ALLOWED[half], f"say in this test what {half}/{module} may import"
    for _, name, _ in imports(path):
        first, _, rest = name.partition(".")
        if first not in ALLOWED:
            continue
        assert first == half, f"{path} imports the other half: {name}"
        target = rest.partition(".")[0]
        if target and target != module:
            allowed = ALLOWED[half][module] | EVERYWHERE
            assert target in allowed, f"{path} may not import {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_our_own_modules_are_imported_relatively(path: Path) -> None:
    for _, name, _ in imports(path):
        assert not name.startswith("stylize_video"), f"{path}: {name}"


@pytest.mark.parametrize(
    "path", [p for p in FILES if unit(p)[0] == "realtime"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_optional_packages_stay_in_their_adapters(path: Path) -> None:
    adapter = unit(path)[1] in ADAPTERS
    for node, name, inside in imports(path):
        package = name.partition(".")[0]
        if name.split(".")[1:2] and name.split(".")[1] in ADAPTERS and not adapter:
            typing = isinstance(node, ast.ImportFrom) and node.col_offset
            assert inside or typing, f"{path} imports {name} at the top"
        if package in OPTIONAL and not adapter:
            assert inside, f"{path} imports {name} at the top"
        if package in ("onnxruntime", "onnx"):
            # heavy: a program that only lists styles need not wait for them
            assert inside, f"{path} imports {name} at the top"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_readable(path: Path) -> None:
    limit = 600 if path.name == "cli.py" else 500
    assert len(path.read_text().splitlines()) <= limit


def test_only_the_program_prints_and_exits() -> None:
    for path in FILES:
        if path.name in ("cli.py", "_grabber.py", "_sender.py"):  # programs, all of them
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "exit", "quit", "sys.exit"), f"{path}: {called}"


def test_the_public_names_are_sorted_and_there() -> None:
    import stylize_video.realtime as package

    assert sorted(package.__all__) == sorted(set(package.__all__))
    assert all(hasattr(package, name) for name in package.__all__)
    assert "torch" not in {m.partition(".")[0] for m in vars(package)}
    assert sys.modules["stylize_video.realtime"] is package
