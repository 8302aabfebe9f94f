"""Hardware decoding and encoding: tried on real frames, chosen by what came of it.

There is no such hardware where these tests run. Doubles stand in at the border to PyAV: an
accelerator whose decoder and encoder are FFmpeg's own by their general names, a decoder that gives
frames as cards do, and probes that crash, hang and lie. Cards that are not there are tried as well.
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
from media import read_video, write_video

from stylize_video.realtime import FileSource, _arguments, _hwprobe, cli, doctor
from stylize_video.realtime.accelerators import ACCELERATORS, Accelerator, HardwareDecoder
from stylize_video.realtime.colour import Colour
from stylize_video.realtime.errors import (
    JournalError,
    SinkOpenError,
    SourceOpenError,
    SourceReadError,
)
from stylize_video.realtime.frame import Extras, Frame, Pixels, VideoInfo
from stylize_video.realtime.hwaccel import HardwareRequest, Prober
from stylize_video.realtime.segments import SegmentSettings
from stylize_video.realtime.sinks._containers import (
    CONTAINERS,
    EncodeOptions,
    encoder_options,
    pixel_format,
)
from stylize_video.realtime.sinks._hardware import quality_options, speed_options
from stylize_video.realtime.sinks._picture import PictureTrack
from stylize_video.realtime.sinks.file import FileSink
from stylize_video.realtime.sources import Mark, _hardware, digest_of
from stylize_video.realtime.sources.file import FileOptions
from stylize_video.realtime.video import Result, VideoSettings, paint_video

FAKE = Accelerator("fake", "nothing", lambda: None, encoder_suffix="")
"""Decodes by the decoder called `h264`, and encodes by the encoder called so: software, both."""
CUDA = replace(ACCELERATORS[0], why_absent=lambda: None)
"""What there is not, taken for there: its probe meets the real failure."""
ABSENT = replace(ACCELERATORS[0], why_absent=lambda: "no NVIDIA driver was found")
BY_NAME = HardwareDecoder("fake")
INFO = VideoInfo(97, 65, Fraction(25), Fraction(1, 25))


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


def pictures(path: Path, hardware: HardwareDecoder | None = None, **changes: Any) -> list[Frame]:
    source = FileSource(path, FileOptions(hardware=hardware, **changes))
    try:
        return [item for item in source if isinstance(item, Frame)]
    finally:
        source.close()


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


# --- frames as cards give them


class Card:
    """A decoder at the border to PyAV that gives frames as cards do: colours in one plane."""

    def __init__(self, context: Any, fails_after: int | None) -> None:
        self.__dict__.update(_context=context, _left=fails_after)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._context, name, value)

    def decode(self, packet: Any) -> list[av.VideoFrame]:
        if self._left is not None and packet.size:
            self.__dict__["_left"] -= 1
            if self._left < 0:
                raise av.InvalidDataError(-1094995529, "Invalid data")
        return [self._packed(frame) for frame in self._context.decode(packet)]

    def _packed(self, frame: av.VideoFrame) -> av.VideoFrame:
        formats = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}
        layout = formats[frame.format.name]
        packed = frame.reformat(format=layout)
        packed.colorspace, packed.color_range = frame.colorspace, frame.color_range
        packed.color_trc, packed.color_primaries = frame.color_trc, frame.color_primaries
        return packed


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Makes decoders by name cards; `fails_after` packets they break."""
    settings: dict[str, Any] = {"fails_after": None, "made": 0}

    class Context:
        @staticmethod
        def create(name: str, mode: str) -> Card:
            settings["made"] += 1
            return Card(av.CodecContext.create(name, mode), settings["fails_after"])

    class Border:
        CodecContext = Context
        FFmpegError, VideoFrame = av.FFmpegError, av.VideoFrame

    monkeypatch.setattr(_hardware, "av", Border)
    return settings


def _interlaced(stream: Any) -> None:
    stream.codec_context.flags |= 0x40000  # interlaced DCT


KINDS: dict[str, dict[str, Any]] = {
    "plain": {"audio": True},
    "709 full": {"prepare": lambda s: _tag(s, matrix=1, full=True)},
    "odd": {"size": (99, 67), "pix_fmt": "yuv420p", "codec": "libvpx-vp9"},
    "10 bit": {"pix_fmt": "yuv420p10le", "codec": "libx265"},
    "HDR": {
        "pix_fmt": "yuv420p10le",
        "codec": "libx265",
        "prepare": lambda s: _tag(s, matrix=9, transfer=16, primaries=9),
    },
    "interlaced": {"prepare": _interlaced, "options": {"x264-params": "tff=1"}},
}


def _tag(stream: Any, matrix: int, full: bool = False, **more: int) -> None:
    context = stream.codec_context
    context.colorspace, context.color_range = matrix, 2 if full else 1
    context.color_trc = more.get("transfer", 1)
    context.color_primaries = more.get("primaries", 1)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("kinds")

    def make(name: str) -> Path:
        options = dict(KINDS[name])
        size = options.pop("size", (96, 64))
        if options.get("codec") == "libx265":
            options["options"] = {"preset": "ultrafast", "x265-params": "log-level=error"}
        elif options.get("codec"):
            options["options"] = {"cpu-used": "8", "crf": "10", "b": "0"}
        path = folder / f"{name}.mkv"
        return path if path.exists() else write_video(path, 30, size, Fraction(25), **options)

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_cards_become_the_pixels_of_software(
    kind: str, kinds: Callable[[str], Path], card: dict[str, Any]
) -> None:
    path = kinds(kind)
    ours, theirs = pictures(path), pictures(path, BY_NAME)
    assert card["made"] == 1
    assert len(ours) == 30
    assert [f.pts for f in ours] == [f.pts for f in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert np.array_equal(a.pixels, b.pixels)


def test_a_part_and_a_place_found_again(kinds: Callable[[str], Path], card: dict[str, Any]) -> None:
    path = kinds("plain")
    part = {"start": Fraction(2, 5), "end": Fraction(1)}
    ours, theirs = pictures(path, **part), pictures(path, BY_NAME, **part)
    assert [(f.pts, digest_of(f.pixels)) for f in ours] == [
        (f.pts, digest_of(f.pixels)) for f in theirs
    ]
    whole = pictures(path)
    mark = Mark(27, whole[26].pts, digest_of(whole[26].pixels))
    source = FileSource(path, FileOptions(hardware=BY_NAME))
    source.skip_through(mark)
    rest = [item for item in source if isinstance(item, Frame)]
    source.close()
    assert [digest_of(f.pixels) for f in rest] == [digest_of(f.pixels) for f in whole[27:]]


def test_what_a_card_refuses_midway_is_said_and_not_skipped(
    clip: Path, card: dict[str, Any]
) -> None:
    card["fails_after"] = 20
    with pytest.raises(SourceReadError, match=r"by fake beyond frame \d+: .*--hwaccel none"):
        pictures(clip, BY_NAME)


def test_a_stream_that_no_card_decodes_is_refused(clip: Path, tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv", 3, (64, 48), Fraction(25), codec="ffv1", options={"level": "3"}
    )
    with pytest.raises(SourceOpenError, match="fake has no decoder for ffv1"):
        FileSource(path, FileOptions(hardware=HardwareDecoder("fake", None, "_nvenc")))
    with pytest.raises(SourceOpenError, match=r"is not a readable video: \S"):
        FileSource(path, FileOptions(hardware=CUDA.decoder))
    with pytest.raises(SourceOpenError, match=r"is not a readable video: \S"):
        FileSource(clip, FileOptions(hardware=CUDA.decoder))


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
    plain = paint(clip, by_hand, None, write=EncodeOptions(codec="h264", threads=1))
    result = paint(clip, by_fake, request("fake", [CUDA, FAKE]))
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


# --- knobs of encoders


def knobs(codec: str) -> set[str]:
    context = av.CodecContext.create(codec, "w")
    return {
        o.name for o in (*context.supported_options.private, *context.supported_options.generic)
    }


@pytest.mark.parametrize(
    "codec", ["h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "h264_amf"]
)
@pytest.mark.parametrize("preset", [None, "ultrafast", "medium", "veryslow"])
def test_quality_and_speed_are_knobs_the_encoder_has(codec: str, preset: str | None) -> None:
    chosen = encoder_options(codec, EncodeOptions(crf=23, preset=preset))
    assert "23" in chosen.values()
    assert chosen["bf"] == "0"
    assert set(chosen) <= knobs(codec)
    context = av.CodecContext.create(codec, "w")
    for option in context.supported_options.private:
        if option.name in chosen and option.choices:
            names = {choice.name for choice in option.choices}
            assert chosen[option.name] in names, f"{codec} has no {option.name} {chosen}"


def test_quality_means_what_it_means_to_x264() -> None:
    assert quality_options("h264_nvenc", 20, set())["cq"] == "20"
    assert quality_options("h264_nvenc", 0, set())["cq"] == "1"  # 0 would be automatic
    assert quality_options("hevc_qsv", 20, set())["global_quality"] == "20"
    assert quality_options("h264_vaapi", 20, {"qp"})["qp"] == "20"
    assert quality_options("vp9_vaapi", 20, set())["global_quality"] == "20"
    apple = [quality_options("h264_videotoolbox", n, set())["global_quality"] for n in (0, 18, 51)]
    assert [round(int(q) / 118) for q in apple] == [100, 66, 4]
    assert quality_options("hevc_amf", 20, {"qp_i", "qp_p"}) == {
        "bf": "0", "rc": "cqp", "qp_i": "20", "qp_p": "20",
    }  # fmt: skip
    assert speed_options("h264_nvenc", "p6") == {"preset": "p6"}
    assert speed_options("h264_vaapi", "fast") is None


def test_formats_of_frames() -> None:
    assert pixel_format("h264_qsv", None) == "nv12"
    assert pixel_format("h264_qsv", "yuv420p") == "nv12"
    assert pixel_format("hevc_nvenc", None) == "yuv420p"
    assert pixel_format("hevc_nvenc", "yuv420p10le") == "p010le"
    assert pixel_format("hevc_qsv", "yuv420p10le") == "p010le"
    with pytest.raises(SinkOpenError, match="does not take --pix-fmt yuv422p"):
        pixel_format("h264_qsv", "yuv422p")


def test_frames_for_cards_hold_the_samples_of_software(tmp_path: Path) -> None:
    """x264 takes both layouts: what it makes of them must be the same."""
    random = np.random.default_rng(0)
    info = replace(INFO, colour=Colour(1, 1, 1, 1))
    shots = [random.integers(0, 256, (65, 97, 3)).astype(np.uint8) for _ in range(3)]
    shown = []
    for layout in ("yuv420p", "nv12"):
        file = tmp_path / f"{layout}.mkv"
        options = EncodeOptions(codec="libx264", crf=1, pix_fmt=layout, threads=1)
        sink = FileSink(file, info, Extras(), options)
        for number, pixels in enumerate(shots):
            sink.write(Frame(pixels, Fraction(number, 25)))
        sink.finish()
        shown.append(read_video(file))
    for a, b in zip(*shown, strict=True):
        assert (a.width, a.height) == (98, 66)
        assert (int(a.colorspace), int(a.color_range)) == (1, 1)
        assert (int(b.colorspace), int(b.color_range)) == (1, 1)
        assert np.array_equal(a.to_ndarray(format="yuv420p"), b.to_ndarray(format="yuv420p"))


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
