"""Hardware decoding and encoding: tried on real frames, chosen by what came of it.

There is no such hardware where these tests run. Doubles stand in at the border to PyAV: an
accelerator whose decoder and encoder are FFmpeg's own by their general names, and probes that
crash, hang and lie. Cards that are not there are tried as well.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hwaccel_tools import BY_NAME, CUDA, INFO
from media import read_video

from stylize_video.realtime import _arguments, _hwprobe, cli, doctor
from stylize_video.realtime.accelerators import ACCELERATORS, Accelerator
from stylize_video.realtime.errors import JournalError, SinkOpenError, SourceOpenError
from stylize_video.realtime.frame import Pixels
from stylize_video.realtime.hwaccel import HardwareRequest, Prober
from stylize_video.realtime.segments import SegmentSettings
from stylize_video.realtime.sinks._containers import CONTAINERS, EncodeOptions
from stylize_video.realtime.sinks._picture import PictureTrack
from stylize_video.realtime.sources import _hardware
from stylize_video.realtime.sources.file import FileOptions
from stylize_video.realtime.video import Result, VideoSettings, paint_video

FAKE = Accelerator("fake", "nothing", lambda: None, encoder_suffix="")
"""Decodes by the decoder called `h264`, and encodes by the encoder called so: software, both."""
ABSENT = replace(ACCELERATORS[0], why_absent=lambda: "no NVIDIA driver was found")


def saying(program: str, timeout_s: float = 30.0) -> Prober:
    """A prober whose probe is this Python program."""
    return Prober((sys.executable, "-c", program), timeout_s)


WORKS = "print('ok')"
FAILS = "print('Cannot load the driver')"
CRASHES = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
HANGS = "import time; print('ok', flush=True); time.sleep(60)"


class Same:
    """An engine double that gives back what it gets; may interrupt."""

    description = "double"

    def __init__(self, stop_at: int = 0) -> None:
        self.notices: list[str] = []
        self._left = stop_at

    def paint(self, pixels: Pixels) -> Pixels:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt
        return pixels

    def close(self) -> None:
        """Nothing is held."""


def paint(
    source: Path,
    target: Path,
    hardware: HardwareRequest | None,
    engine: Same | None = None,
    **changes: Any,
) -> Result:
    write = EncodeOptions(threads=1, overwrite=True)
    settings = replace(VideoSettings(threads=1, write=write, hardware=hardware), **changes)
    return paint_video(str(source), str(target), engine or Same(), settings)


# --- what a probe says


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (WORKS, None),
        (FAILS, "Cannot load the driver"),
        (CRASHES, r"it crashed \(SIGSEGV\)"),
        ("raise RuntimeError('a bug of a driver')", "RuntimeError: a bug of a driver"),
        ("print('ok'); import sys; sys.exit(3)", "ok"),
        ("", "it ended with code 0"),
    ],
    ids=["works", "fails", "crashes", "raises", "dies after all", "says nothing"],
)
def test_a_probe_is_believed_only_when_it_ends_well(
    program: str, said: str | None, clip: Path
) -> None:
    prober = saying(program)
    why = prober.why_not_decode(clip, FileOptions(hardware=BY_NAME))
    if said is None:
        assert why is None
    else:
        assert why is not None
        assert re.fullmatch(said, why)


def test_a_probe_that_hangs_is_ended(clip: Path) -> None:
    prober = saying(HANGS, timeout_s=1.0)
    why = prober.why_not_decode(clip, FileOptions(hardware=BY_NAME))
    assert why == "it did nothing for 1 s"


def test_each_kind_of_work_is_tried_once(clip: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    prober = saying(f"open({str(log)!r}, 'a').write('x'); print('ok')")
    for _ in range(3):
        assert prober.why_not_encode(INFO, EncodeOptions(codec="h264")) is None
    assert prober.why_not_encode(replace(INFO, width=640), EncodeOptions(codec="h264")) is None
    assert prober.why_not_encode(INFO, EncodeOptions(codec="h264", crf=30)) is None
    assert log.read_text() == "xxx"


def test_real_probes_of_what_works_and_what_is_not_there(clip: Path) -> None:
    prober = Prober()
    assert prober.why_not_decode(clip, FileOptions(hardware=BY_NAME)) is None
    assert prober.why_not_encode(INFO, EncodeOptions(codec="h264")) is None
    assert "libcuda" in (prober.why_not_decode(clip, FileOptions(hardware=CUDA.decoder)) or "")
    assert "libcuda" in (prober.why_not_encode(INFO, EncodeOptions(codec="h264_nvenc")) or "")


def test_a_decoder_that_gives_other_pixels_fails_its_probe(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = {"decode": str(clip), "hardware": vars(BY_NAME), "max_pixels": 1 << 24}
    assert _hwprobe.main(work) == "ok"
    planar = _hardware.PictureDecoder._planar
    darker = _with_planes(lambda p: p - np.minimum(p, 1))
    monkeypatch.setattr(
        _hardware.PictureDecoder, "_planar", lambda self, frame: darker(planar(self, frame))
    )
    assert _hwprobe.main(work) == "it decodes other pixels than software does"


def test_an_encoder_that_makes_another_picture_fails_its_probe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = vars(EncodeOptions(codec="h264"))
    work = {"encode": [97, 65], "rate": "25", "colour": [1, 1, 1, 1], "options": options}
    assert _hwprobe.main(work) == "ok"
    make = PictureTrack._picture
    green = _with_planes(np.zeros_like)
    monkeypatch.setattr(PictureTrack, "_picture", lambda self, pixels: green(make(self, pixels)))
    assert _hwprobe.main(work) == "what it encodes is another picture"
    monkeypatch.setattr(PictureTrack, "encode", lambda self, frame: iter(()))
    assert _hwprobe.main(work) != "ok"


def _with_planes(
    change: Callable[[Any], Any],
) -> Callable[[av.VideoFrame], av.VideoFrame]:
    """Changes the bytes of every plane of a frame."""

    def changed(frame: av.VideoFrame) -> av.VideoFrame:
        for plane in frame.planes:
            plane.update(change(np.frombuffer(bytes(plane), np.uint8)).tobytes())
        return frame

    return changed


# --- what is chosen


@cache
def shared_prober() -> Prober:
    """The real one: what it has tried it knows."""
    return Prober()


def request(
    name: str, accelerators: Sequence[Accelerator], prober: Prober | None = None, **more: Any
) -> HardwareRequest:
    return HardwareRequest(
        name, accelerators=tuple(accelerators), prober=prober or shared_prober(), **more
    )


def test_what_works_does_the_work_and_is_named(clip: Path, tmp_path: Path) -> None:
    by_hand, by_fake = tmp_path / "hand.mp4", tmp_path / "fake.mp4"
    # x264's own preset, medium, does not always code the same under load, even in one thread
    write = EncodeOptions(preset="superfast", threads=1)
    plain = paint(clip, by_hand, None, write=replace(write, codec="h264"))
    result = paint(clip, by_fake, request("fake", [CUDA, FAKE]), write=write)
    assert result.notices == ["--hwaccel: decoded by fake; encoded by h264"]
    assert plain.notices == []
    assert by_fake.read_bytes() == by_hand.read_bytes()


def test_auto_takes_the_first_that_works(clip: Path, tmp_path: Path) -> None:
    result = paint(clip, tmp_path / "out.mp4", request("auto", [CUDA, FAKE]))
    assert result.notices == ["--hwaccel: decoded by fake; encoded by h264"]


@pytest.mark.parametrize("program", [FAILS, CRASHES, HANGS], ids=["fails", "crashes", "hangs"])
def test_auto_says_in_one_line_why_software_does_it(
    program: str, clip: Path, tmp_path: Path
) -> None:
    wanted = request("auto", [FAKE], saying(program, timeout_s=1.0))
    result = paint(clip, tmp_path / "out.mp4", wanted)
    (line,) = result.notices
    reason = {FAILS: "Cannot load the driver", CRASHES: "it crashed (SIGSEGV)"}.get(
        program, "it did nothing for 1 s"
    )
    assert line == (
        f"--hwaccel: decoded in software (fake: {reason}); encoded in software (h264: {reason})"
    )
    assert len(read_video(tmp_path / "out.mp4")) == 50


def test_auto_where_there_is_nothing_asks_no_driver(clip: Path, tmp_path: Path) -> None:
    wanted = request("auto", [ABSENT], saying(CRASHES))
    (line,) = paint(clip, tmp_path / "out.mp4", wanted).notices
    nothing = "in software (no hardware for it was found here)"
    assert line == f"--hwaccel: decoded {nothing}; encoded {nothing}"


@pytest.mark.parametrize("program", [FAILS, CRASHES, HANGS], ids=["fails", "crashes", "hangs"])
def test_a_named_one_that_does_not_work_is_refused(
    program: str, clip: Path, tmp_path: Path
) -> None:
    prober = saying(program, timeout_s=1.0)
    with pytest.raises(SourceOpenError, match=r"^--hwaccel fake can't decode .*--hwaccel auto$"):
        paint(clip, tmp_path / "out.mp4", request("fake", [FAKE], prober))
    with pytest.raises(SinkOpenError, match=r"^--hwaccel fake can't encode by h264: "):
        paint(clip, tmp_path / "out.mp4", request("fake", [FAKE], prober, only="encode"))
    with pytest.raises(SourceOpenError, match="no NVIDIA driver was found"):
        paint(clip, tmp_path / "out.mp4", request("cuda", [ABSENT], prober))
    with pytest.raises(SourceOpenError, match=r"none\.mp4 does not exist$"):
        paint(tmp_path / "none.mp4", tmp_path / "out.mp4", request("fake", [FAKE], prober))
    assert list(tmp_path.iterdir()) == []


def test_one_half_of_the_work(clip: Path, tmp_path: Path) -> None:
    prober = saying(WORKS)
    lines = [
        paint(clip, tmp_path / "out.mp4", request("fake", [FAKE], prober, only=half)).notices[0]
        for half in ("decode", "encode")
    ]
    assert lines == [
        "--hwaccel: decoded by fake; encoded in software, as asked",
        "--hwaccel: decoded in software, as asked; encoded by h264",
    ]


def test_where_there_is_no_choice_hardware_is_not_asked() -> None:
    wanted = request("fake", [FAKE], saying(CRASHES))
    for container, write, said in (
        (CONTAINERS[".gif"], EncodeOptions(), "encoded by gif"),
        (CONTAINERS[".mp4"], EncodeOptions(codec="libx265"), "encoded by libx265"),
        (None, EncodeOptions(), "not encoded"),
    ):
        assert wanted.encoder_for(container, INFO, write) == (write, said)
    only_decodes = request("fake", [replace(FAKE, encoder_suffix=None)], saying(CRASHES))
    write, said = only_decodes.encoder_for(CONTAINERS[".mp4"], INFO, EncodeOptions())
    assert (write.codec, said) == (None, "encoded in software (fake only decodes)")
    with pytest.raises(SourceOpenError, match="--hwaccel-only encode"):
        wanted.decoder_for(None, FileOptions())
    read, said = request("auto", [FAKE], saying(CRASHES)).decoder_for(None, FileOptions())
    assert (read.hardware, said) == (None, "decoded in software (this input can't be read twice)")


def test_a_codec_may_be_asked_for_by_its_general_name() -> None:
    wanted = request("cuda", [CUDA], saying(WORKS))
    for asked, container, encoder in (
        (None, ".mp4", "h264_nvenc"),
        ("hevc", ".mp4", "hevc_nvenc"),
        ("av1", ".webm", "av1_nvenc"),
    ):
        write, _ = wanted.encoder_for(CONTAINERS[container], INFO, EncodeOptions(codec=asked))
        assert write.codec == encoder
    with pytest.raises(SinkOpenError, match="this build of PyAV has no vp9_nvenc"):
        wanted.encoder_for(CONTAINERS[".webm"], INFO, EncodeOptions())


# --- segments


def test_a_run_goes_on_by_the_same_hardware_only(clip: Path, tmp_path: Path) -> None:
    target, whole = tmp_path / "out.mp4", tmp_path / "whole.mp4"
    prober = saying(WORKS)
    fake = request("fake", [FAKE], prober)
    segments = SegmentSettings(seconds=Fraction(1, 2), always=True)
    with pytest.raises(KeyboardInterrupt, match="goes on behind frame"):
        paint(clip, target, fake, Same(stop_at=40), segments=segments)
    for other, changed in (
        (None, "--codec was h264, is not set; --hwaccel was fake, is not set"),
        (request("fake", [FAKE], prober, only="encode"), "--hwaccel was fake, is not set"),
        (request("fake", [FAKE], prober, only="decode"), "--codec was h264, is not set"),
    ):
        with pytest.raises(JournalError, match=changed):
            paint(clip, target, other, segments=segments)
    result = paint(clip, target, request("auto", [ABSENT, FAKE], prober), segments=segments)
    assert result.report.resumed > 0
    paint(clip, whole, fake)
    for a, b in zip(read_video(target), read_video(whole), strict=True):
        assert a.pts == b.pts
    assert len(read_video(target)) == 50


# --- the program


def test_the_program_refuses_falls_back_and_stays_silent(
    clip: Path,
    identity: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(_arguments, "ACCELERATORS", (ABSENT, FAKE))

    def run(*arguments: str) -> tuple[int, str]:
        common = ["--style", str(identity), "--engine", "cpu", "--temporal", "off", "--overwrite"]
        code = cli.run(["video", str(clip), str(tmp_path / "out.mp4"), *common, *arguments])
        return code, capsys.readouterr().err

    code, said = run("--hwaccel", "cuda")
    assert code == 1
    assert said.count("error:") == len(said.strip().splitlines()) == 1
    assert "can't decode" in said
    code, said = run("--hwaccel", "auto")
    assert code == 0
    assert "--hwaccel: decoded by fake; encoded by h264" in said
    code, said = run()
    assert code == 0
    assert "--hwaccel" not in said
    assert run("--hwaccel-only", "decode")[0] == 1
    with pytest.raises(SystemExit):
        run("--hwaccel", "voodoo")


def test_the_doctor_lists_what_was_proved(capsys: pytest.CaptureFixture[str]) -> None:
    found = list(doctor.hardware([FAKE, ABSENT], Prober(), codecs=["h264"]))
    assert [(f.name, f.works) for f in found] == [
        ("fake decode", True),
        ("h264", True),
        ("cuda decode", False),
        ("h264_nvenc", False),
    ]
    assert doctor.run(argparse.Namespace(json=True), print) == 0
    document = json.loads(capsys.readouterr().out)
    hardware = [f for f in document["findings"] if f["group"] == "hardware"]
    assert {f["name"] for f in hardware} >= {f"{a.name} decode" for a in ACCELERATORS}
    assert all(f["works"] or (f["detail"] and f["remedy"]) for f in hardware)
