"""Every command and every line of Python in the README runs, in a folder that holds what it names.

`pip install` itself is left to `.ci/run`, which takes the same lines from the README.
"""

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from browser import serving
from media import write_video
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = {
    "stylize": "from stylize_video.realtime.cli import main; main()",
    "stylize-video": "from stylize_video.realtime.cli import main_video; main_video()",
}
# what would take minutes or a download here, made short; options given twice count the last time
SHORTER = {
    "train": "--features tiny.safetensors --tier fast --steps 4 --batch 1 --crop 64"
    " --painting-side 128 --style-layers relu1_1 --content-layers relu2_1 --device cpu",
    "optimize": "--features tiny.safetensors --steps 4 --size 96 --painting-side 64"
    " --style-layers relu1_1 --content-layers relu2_1 --device cpu",
    "bench": "--frames 6 --sizes 160x96",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    lines = [line.partition(" #")[0].strip() for line in lines]
    return [part.strip() for line in lines for part in line.split("&&") if part.strip()]


OURS = [c for c in commands() if c.split()[0] in PROGRAMS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files the README's commands name."""
    home = tmp_path_factory.mktemp("home")
    (home / "samples").mkdir()
    for name in ("walk.mp4", "hills.jpg", "portrait.jpg"):
        shutil.copy(ROOT / "samples" / name, home / "samples")
    write_video(home / "in.mp4", 6, (160, 96), Fraction(25), audio=True)
    (home / "clips").mkdir()
    shutil.copy(home / "in.mp4", home / "clips" / "one.mp4")
    shutil.copy(ROOT / "samples" / "hills.jpg", home / "photo.jpg")
    (home / "cues.json").write_text(blocks("json")[0])
    random = np.random.default_rng(0)
    (home / "photos").mkdir()
    for index in range(4):
        coarse = random.integers(0, 256, (9, 12, 3)).astype(np.uint8)
        photo = cv2.resize(coarse, (160, 130), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(home / "photos" / f"{index}.jpg"), photo)
    painting = cv2.resize(coarse, (240, 200), interpolation=cv2.INTER_NEAREST)
    for name in ("painting.jpg", "mountain.png", "desert.png"):
        cv2.imwrite(str(home / name), painting)
    weights = {}
    for name, inputs, outputs in (("1_1", 3, 8), ("1_2", 8, 8), ("2_1", 8, 8)):
        weights[f"conv{name}.weight"] = torch.randn(outputs, inputs, 3, 3) * 0.2
        weights[f"conv{name}.bias"] = torch.zeros(outputs)
    save_file(weights, home / "tiny.safetensors")
    return home


def test_the_first_command_installs_and_paints_the_second_tests() -> None:
    first, second = (b.strip() for b in blocks("sh")[:2])
    assert re.fullmatch(r"pip install '\.\[openvino\]' && stylize-video samples/\S+ \S+", first)
    assert re.fullmatch(r"pip install -e '\.\[openvino,train,dev\]' && pytest", second)


def test_nothing_else_is_in_the_shell_blocks() -> None:
    others = {c for c in commands() if c not in OURS}
    assert all(c.startswith("pip install ") or c == "pytest" for c in others), others


@pytest.mark.slow
def test_every_command_runs_in_order(folder: Path) -> None:
    assert len(OURS) >= 6
    with contextlib.ExitStack() as stack:
        run_all(folder, stack)


def run_all(folder: Path, stack: contextlib.ExitStack) -> None:
    """Run every command; servers go on until `stack` ends, for the commands that speak to them."""
    server = None
    for command in OURS:
        program, *arguments = shlex.split(command)
        source = None
        if arguments[0] == "serve":
            server = stack.enter_context(serving(*arguments[1:], cwd=folder))
            continue
        if arguments[0] == "ctl":
            assert server, "the README speaks to a server that it has not started"
            arguments += ["--url", server.url]
        if "<" in arguments:
            place = arguments.index("<")
            source = (folder / arguments[place + 1]).read_bytes()
            del arguments[place : place + 2]
        arguments += shlex.split(SHORTER.get(arguments[0], ""))
        done = subprocess.run(
            [sys.executable, "-c", PROGRAMS[program], *arguments],
            cwd=folder,
            input=source,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr.decode()}"


def test_the_python_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = blocks("python")
    assert found
    for block in found:
        exec(compile(block, "README.md", "exec"), {})


def test_every_file_it_shows_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
