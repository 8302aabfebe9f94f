"""Films painted by the workers of a real Ray cluster: started, joined, killed, lost, stopped."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import assert_same, write_video

from stylize_video.realtime import cli
from stylize_video.realtime.journal import journal_folder

PROGRAM = "from stylize_video.realtime.cli import main; main()"
MARK = "STYLIZE_TEST_MARK"
PATIENCE_S = 180
CLOSED = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}
"""What keeps a cluster to those who know its token."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds with sound, a shot a second."""
    scenes = np.random.default_rng(5).integers(0, 256, (8, 12, 20, 3)).astype(np.uint8)
    return write_video(
        tmp_path_factory.mktemp("film") / "film.mp4",
        200,
        (160, 96),
        Fraction(25),
        audio=True,
        draw=lambda n: np.roll(scenes[n // 25].repeat(8, 0).repeat(8, 1), (n // 2, n), (0, 1)),
    )


def options(source: Path, target: Path, style: Path, *more: str) -> list[str]:
    lossless = ["--codec", "ffv1", "--pix-fmt", "bgr0", "--threads", "1"]
    return ["video", str(source), str(target), "--style", str(style), *lossless, *more]


class Run:
    """The command in a process of its own, all of whose processes can be told by a mark."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env={**os.environ, MARK: self.mark, **environment},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self) -> tuple[int, str]:
        """Its exit code and what it has said."""
        try:
            _, said = self.process.communicate(timeout=PATIENCE_S)
        finally:
            self.process.kill()
        return self.process.returncode, said

    def await_parts(self, target: Path, parts: int) -> None:
        """Wait until so many pieces have come in or begun to."""
        wait_for(
            lambda: (
                self.process.poll() is not None
                or len(list(journal_folder(target).glob("*.part"))) >= parts
            )
        )
        assert self.process.poll() is None, self.end()

    def left(self) -> list[str]:
        """The processes that it has left behind."""
        return list(marked(self.mark).values())


def marked(mark: str) -> dict[int, str]:
    """The processes with a mark in their environment, and their names."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                name = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(folder.name)] = name
        except OSError:
            continue  # it is gone, or not ours
    return {pid: name for pid, name in found.items() if name}


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)


@pytest.fixture
def head() -> Iterator[tuple[str, str]]:
    """The address of a cluster that somebody has started, and the mark of its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        ray = Path(sys.executable).with_name("ray")
        command = [str(ray), "start", "--head", "--block", f"--port={port}", "--num-cpus=2"]
        command += ["--include-dashboard=false", f"--temp-dir={folder}"]
        command += ["--object-store-memory=100000000"]
        process = subprocess.Popen(
            command,
            env={**os.environ, MARK: mark, **CLOSED},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_for(lambda: any("raylet/raylet" in name for name in marked(mark).values()))
            yield f"127.0.0.1:{port}", mark
        finally:
            for pid in (process.pid, *marked(mark)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            process.wait(PATIENCE_S)


def test_stopped_and_gone_on_with_on_one_machine(
    film: Path, identity: Path, tmp_path: Path
) -> None:
    """Ctrl-C leaves no process and no file but finished pieces; two workers make the same file."""
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    assert cli.run(options(film, whole, identity, "--quiet")) == 0
    local = ["--cluster", "local", "--workers", "2", "--segments", "1"]
    run = Run(*options(film, parts, identity, *local, "--temporal", "best"))
    run.await_parts(parts, 3)
    run.process.send_signal(signal.SIGINT)
    code, said = run.end()
    assert code == 130, said
    assert "pieces are kept" in said
    assert run.left() == []
    assert not parts.exists()
    code, said = Run(*options(film, parts, identity, *local, "--restart")).end()
    assert code == 0, said
    assert "2 worker(s)" in said
    assert_same(whole, parts)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parts.mkv", "whole.mkv"]


def test_without_ray_it_says_what_to_install(film: Path, identity: Path, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError('No module named ray')")
    arguments = options(film, tmp_path / "out.mkv", identity, "--cluster", "local")
    code, said = Run(*arguments, PYTHONPATH=str(tmp_path)).end()
    assert code == 1
    assert said.splitlines() == ["error: --cluster needs ray: pip install 'stylize-video[cluster]'"]


def test_a_cluster_that_is_not_there(
    film: Path, identity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for address in ("127.0.0.1:1", "auto"):
        arguments = options(film, tmp_path / "out.mkv", identity, "--cluster", address)
        code, said = Run(*arguments, RAY_TMPDIR=str(tmp_path)).end()
        assert code == 1
        (line,) = said.splitlines()
        assert "nothing answers at 127.0.0.1:1" in line or "no Ray cluster auto to join" in line
    target = tmp_path / "out.mkv"
    for wrong, why in (
        (["--cluster", "local", "--segments", "0"], "leave --segments 0 out"),
        (["--cluster", "local", "--show", "flow"], "leave --cluster out"),
        (["--workers", "2"], "--workers goes with --cluster"),
    ):
        assert cli.run(options(film, target, identity, *wrong)) == 1
        assert why in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.run(options(film, target, identity, "--cluster", "ray://there"))
    assert "'ray://there' is no cluster" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_killed_workers_a_killed_command_and_a_lost_head(
    film: Path, identity: Path, tmp_path: Path, head: tuple[str, str]
) -> None:
    address, mark = head
    whole, parts, lost = (tmp_path / f"{name}.mkv" for name in ("whole", "parts", "lost"))
    best = ["--temporal", "best"]
    assert cli.run(options(film, whole, identity, *best, "--quiet")) == 0
    joined = ["--cluster", address, "--segments", "1", *best]

    run = Run(*options(film, parts, identity, *joined), RAY_AUTH_TOKEN=CLOSED["RAY_AUTH_TOKEN"])
    run.await_parts(parts, 2)
    worker = next(pid for pid, name in marked(mark).items() if "RayWorker" in name)
    os.kill(worker, signal.SIGKILL)
    code, said = run.end()
    assert code == 0, said
    assert "was lost (its process or machine is gone) and painted again" in said
    assert_same(whole, parts)

    run = Run(*options(film, lost, identity, *joined), RAY_AUTH_TOKEN=CLOSED["RAY_AUTH_TOKEN"])
    run.await_parts(lost, 3)
    run.process.kill()
    run.end()
    wait_for(lambda: not run.left())
    wait_for(lambda: not any("RayWorker" in name for name in marked(mark).values()))
    assert not lost.exists()

    run = Run(*options(film, lost, identity, *joined), RAY_AUTH_TOKEN=CLOSED["RAY_AUTH_TOKEN"])
    run.await_parts(lost, 5)
    server = next(pid for pid, name in marked(mark).items() if "gcs_server" in name)
    os.kill(server, signal.SIGKILL)
    code, said = run.end()
    assert code == 1, said
    (line,) = [line for line in said.splitlines() if line.startswith("error")]
    assert "is lost" in line
    assert "pieces are kept" in line
    assert run.left() == []
    assert not lost.exists()
    again = ["--cluster", "local", "--workers", "2", "--segments", "1", "--resume", *best]
    code, said = Run(*options(film, lost, identity, *again)).end()
    assert code == 0, said
    assert_same(whole, lost)
