"""Several devices of one machine, doubled where networks are loaded: none is here."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import read_video

from stylize_video.realtime import EngineRequest, cli, find_style, load_engine
from stylize_video.realtime import _devices_options as options_module
from stylize_video.realtime.batch import BatchReport, BatchSettings, Outcome
from stylize_video.realtime.dealing import run_dealt
from stylize_video.realtime.engines import _probe
from stylize_video.realtime.errors import EngineUnavailable, InferenceError, SourceReadError
from stylize_video.realtime.folders import Job
from stylize_video.realtime.frame import Pixels, VideoInfo
from stylize_video.realtime.pipeline import Report
from stylize_video.realtime.video import Result

WAIT_S = 20.0
"""For what must happen at once, on a machine that is busy."""


class Device:
    """An engine double that remembers on which thread it painted; may act on a frame."""

    def __init__(self, number: int, act: Callable[[], None] = lambda: None) -> None:
        self.description, self.notices = f"double:{number}", list[str]()
        self.threads: set[int] = set()
        self.closed, self._act = 0, act

    def paint(self, pixels: Pixels) -> Pixels:
        self.threads.add(threading.get_ident())
        self._act()
        return 255 - pixels

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def clips(clip: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(6):
        shutil.copy(clip, folder / f"{number}.mp4")
    return folder


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[int, Device]]:
    """Networks of devices by their numbers, and what acts on their frames."""

    def double(**acts: Callable[[], None]) -> dict[int, Device]:
        made: dict[int, Device] = {}

        def load(options: Any, cues: Any, request: EngineRequest, say: Any) -> tuple[Device, None]:
            number = request.device
            assert number is not None
            made[number] = Device(number, acts.get(f"on_{number}", lambda: None))
            return made[number], None

        monkeypatch.setattr(options_module, "load_turning", load)
        return made

    return double


def run(*arguments: object) -> int:
    common = ["--devices", "0,1", "--threads", "2", "--temporal", "off"]
    return cli.run(["video", *(str(a) for a in arguments), *common])


def test_jobs_are_dealt_and_all_are_painted(
    clips: Path,
    tmp_path: Path,
    doubled: Callable[..., dict[int, Device]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    both = threading.Barrier(2)
    met = threading.Event()

    def meet() -> None:
        if not met.is_set():
            both.wait(WAIT_S)  # only if both paint at the same time do they get on
            met.set()

    made = doubled(on_0=meet, on_1=meet)
    (clips / "broken.mp4").write_bytes(b"nothing")
    assert run(clips, tmp_path / "out", "--json") == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert len(document["jobs"]) == 6
    assert len(document["failures"]) == 1
    assert document["engines"] == {"0": "double:0", "1": "double:1"}
    painted = sorted((tmp_path / "out").iterdir())
    assert len(painted) == 6
    assert all(len(read_video(path)) == 50 for path in painted)
    assert sorted(made) == [0, 1]
    for device in made.values():
        assert len(device.threads) == 1
        assert device.closed == 1
    assert made[0].threads != made[1].threads
    assert "was painted on device 0" in captured.err
    assert "was painted on device 1" in captured.err
    assert "7 inputs: 6 painted, 1 failed" in captured.err


def test_a_broken_device_is_left_out_and_its_jobs_go_elsewhere(
    clips: Path,
    tmp_path: Path,
    doubled: Callable[..., dict[int, Device]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    failed = threading.Semaphore(0)

    def dead() -> None:
        failed.release()
        raise InferenceError("the card fell off the bus")

    def slow() -> None:
        if not dead_twice.is_set():
            assert failed.acquire(timeout=WAIT_S)
            assert failed.acquire(timeout=WAIT_S)
            dead_twice.set()

    dead_twice = threading.Event()
    doubled(on_0=slow, on_1=dead)
    assert run(clips, tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert said.count("the card fell off the bus; nothing was kept; another device tries it") == 2
    assert "device 1 failed 2 times in a row: left out" in said
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_an_interrupt_ends_all_devices_and_keeps_what_there_is(
    clips: Path, tmp_path: Path, doubled: Callable[..., dict[int, Device]]
) -> None:
    frames = iter(range(1000))

    def painting() -> None:
        number = next(frames)
        if number == 30:
            os.kill(os.getpid(), signal.SIGINT)
        if number > 30:
            time.sleep(0.05)  # until the main thread has noticed

    made = doubled(on_0=painting, on_1=painting)
    assert run(clips, tmp_path / "out", "--quiet") == 130
    left = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert left
    assert all(device.closed == 1 for device in made.values())
    assert any(".partial." in name for name in left)
    assert len(left) < 6


# --- the dealing itself


def result(job: Job) -> Result:
    from fractions import Fraction

    info = VideoInfo(4, 4, Fraction(25), Fraction(1, 25))
    return Result(job.source, Report(1, output=job.target, whole=True), [], info, None)


def deal(paint: dict[int, Any], jobs: int, **settings: bool) -> tuple[BatchReport, list[str]]:
    report, said = BatchReport(), list[str]()
    work = [Job(f"{n}", f"/none/{n}.mp4") for n in range(jobs)]
    run_dealt(work, paint, BatchSettings(**settings), report, lambda _: None, said.append)
    return report, said


def statuses(report: BatchReport) -> list[str]:
    return [outcome.status for outcome in report.outcomes]


def test_a_job_no_device_can_paint_fails_and_the_rest_goes_on() -> None:
    def paint(job: Job, stop: threading.Event) -> Result:
        if job.source == "2":
            raise InferenceError("too large for any card")
        return result(job)

    report, said = deal({0: paint, 1: paint}, 5)
    assert statuses(report) == ["painted", "painted", "failed", "painted", "painted"]
    assert report.outcomes[2].error == "too large for any card"
    assert len(said) == 1


def test_when_all_devices_are_broken_nothing_is_left_untold() -> None:
    def dead(job: Job, stop: threading.Event) -> Result:
        raise InferenceError("dead")

    report, said = deal({0: dead, 1: dead}, 6)
    assert report.failed
    assert "painted" not in statuses(report)
    assert "failed" in statuses(report)
    assert sum("left out" in line for line in said) == 2
    for outcome in report.outcomes:
        assert (outcome.status == "failed") == bool(outcome.error)


def test_the_first_failure_may_end_it() -> None:
    def paint(job: Job, stop: threading.Event) -> Result:
        raise SourceReadError("torn")

    report, _ = deal({0: paint}, 4, skip_errors=False)
    assert statuses(report) == ["failed", *["not begun"] * 3]


def test_a_bug_is_raised_in_the_thread_that_called() -> None:
    def paint(job: Job, stop: threading.Event) -> Result:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        deal({0: paint, 1: paint}, 4)


def test_what_is_there_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "1.mp4").touch()
    jobs = [Job(str(n), str(tmp_path / f"{n}.mp4")) for n in range(3)]
    report, ended = BatchReport(), list[Outcome]()

    def paint(job: Job, stop: threading.Event) -> Result:
        return result(job)

    settings = BatchSettings(skip_existing=True)
    run_dealt(jobs, {0: paint}, settings, report, ended.append, lambda _: None)
    assert statuses(report) == ["painted", "skipped", "painted"]
    assert len(ended) == 3


# --- which device


def test_providers_are_told_their_device() -> None:
    assert _probe.provider_options("cuda", "fp32") == ["CUDAExecutionProvider"]
    assert _probe.provider_options("cuda", "fp32", 1) == [
        ("CUDAExecutionProvider", {"device_id": "1"})
    ]
    tensorrt = _probe.provider_options("tensorrt", "int8", 1)
    assert [(name, o["device_id"]) for name, o in tensorrt] == [
        ("TensorrtExecutionProvider", "1"),
        ("CUDAExecutionProvider", "1"),
    ]
    assert tensorrt[0][1]["trt_int8_enable"] == "1"


def test_engines_without_devices_are_refused(
    clips: Path, identity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    style = find_style(str(identity))
    with pytest.raises(EngineUnavailable, match="--engine cpu has no numbered devices"):
        load_engine(style, EngineRequest(engine="cpu", device=0))
    assert np.array_equal(
        load_engine(style, EngineRequest(engine="cpu")).paint(np.ones((8, 8, 3), np.uint8)),
        np.ones((8, 8, 3), np.uint8),
    )
    for arguments, said in (
        ([clips], "no engine"),
        ([clips / "0.mp4"], "give one device"),
        ([clips, "--styles", "starry,wave"], "--styles paints on one device"),
    ):
        assert run(*arguments) == 1
        assert said in capsys.readouterr().err
    for text in ("0,0", "a", "-1", ""):
        with pytest.raises(SystemExit):
            cli.run(["video", str(clips), f"--devices={text}"])
