"""Several styles over one decode: each output as if painted alone, whatever happens to the rest."""

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from doubles import Negative, interrupt_at
from media import (
    assert_same,
    identity_model,
    model_bytes,
    read_video,
    rolling,
    write_film,
)
from onnx import TensorProto, helper

from stylize_video.realtime import FileSource, MemorySink, Stylizer, SyntheticSource, cli
from stylize_video.realtime._memory import check_fits
from stylize_video.realtime.engines import Engine
from stylize_video.realtime.errors import (
    InferenceError,
    SinkOpenError,
    SinkWriteError,
    SourceOpenError,
    SourceReadError,
    StylizeError,
)
from stylize_video.realtime.fan import Branch, FanPipeline
from stylize_video.realtime.flow import DisFlow, Flow, Grey
from stylize_video.realtime.frame import Frame, Pixels, SidePacket, VideoInfo
from stylize_video.realtime.journal import journal_folder
from stylize_video.realtime.segments import SegmentSettings
from stylize_video.realtime.several import Rendition, paint_renditions
from stylize_video.realtime.sinks._containers import EncodeOptions
from stylize_video.realtime.sinks.file import FileSink
from stylize_video.realtime.temporal import FAST, SharedLooker, TemporalBlender
from stylize_video.realtime.video import Result, VideoSettings, paint_video

Run = Callable[..., int]
LOSSLESS = EncodeOptions(codec="ffv1", pix_fmt="bgr0", threads=1, overwrite=True)
SETTINGS = VideoSettings(threads=1, write=LOSSLESS)


class Shifted(Negative):
    """Every level moved by some."""

    def __init__(self, by: int, act: Callable[[int], None] | None = None) -> None:
        super().__init__(act)
        self._by = by

    def look(self, pixels: Pixels) -> Pixels:
        return pixels + np.uint8(self._by)


def raising(frame: int, error: Exception) -> Callable[[int], None]:
    def act(number: int) -> None:
        if number == frame:
            raise error

    return act


def renditions(
    folder: Path, engines: dict[str, Engine], settings: VideoSettings = SETTINGS
) -> list[Rendition]:
    return [
        Rendition(name, str(folder / f"{name}.mkv"), engine, settings)
        for name, engine in engines.items()
    ]


@pytest.fixture(scope="module")
def styles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three models: as it is, the negative, and red and blue exchanged."""
    folder = tmp_path_factory.mktemp("styles")
    shape: list[Any] = [1, "height", "width", 3]
    ends = ("frame", TensorProto.UINT8, shape), ("painted", TensorProto.UINT8, shape)
    order = helper.make_tensor("order", TensorProto.INT64, [3], [2, 1, 0])
    negative = model_bytes([helper.make_node("BitwiseNot", ["frame"], ["painted"])], *ends)
    gather = helper.make_node("Gather", ["frame", "order"], ["painted"], axis=3)
    swapped = model_bytes([gather], *ends, [order])
    models = {"plain": identity_model(), "negative": negative, "swapped": swapped}
    for name, content in models.items():
        (folder / f"{name}.onnx").write_bytes(content)
    return [folder / f"{name}.onnx" for name in models]


@pytest.fixture
def stylize() -> Run:
    """`stylize video` by onnxruntime on one thread, in this process."""

    def run(*arguments: object) -> int:
        engine = ["--engine", "cpu", "--threads", "1"]
        return cli.run(["video", *(str(a) for a in arguments), *engine])

    return run


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds with sound, a cut, and a rate that wanders."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    return write_film(path, 75, (128, 96), rolling(40))


def names(styles: list[Path]) -> str:
    return ",".join(str(style) for style in styles)


# --- equal to runs of their own


@pytest.mark.parametrize(
    "options",
    [
        ["--temporal", "quality"],
        ["--temporal", "best", "--end", "0.8"],
        ["--temporal", "fast", "--paint-every", "3"],
        ["--temporal", "fast", "--strength", "0.6", "--stroke", "4", "--end", "0.8"],
    ],
    ids=["quality", "best", "paint-every", "knobs"],
)
def test_each_output_is_that_of_a_run_of_its_own(
    options: list[str], film: Path, styles: list[Path], stylize: Run, tmp_path: Path
) -> None:
    into = tmp_path / "out"
    assert stylize(film, into, "--styles", names(styles), "--quiet", *options) == 0
    for style in styles:
        alone = tmp_path / f"{style.stem}.mkv"
        assert stylize(film, alone, "--style", style, "--quiet", *options) == 0
        assert_same(into / f"film_{style.stem}.mkv", alone)
    assert len(list(into.iterdir())) == 3


def test_files_are_equal_byte_for_byte(
    clip: Path, styles: list[Path], stylize: Run, tmp_path: Path
) -> None:
    """MP4 holds nothing random: times, flags and side data of every packet are in these bytes."""
    target = tmp_path / "{style}-painted.mp4"
    assert stylize(clip, target, "--styles", names(styles), "--quiet", "--start", "0.3") == 0
    for style in styles:
        alone = tmp_path / f"{style.stem}.mp4"
        assert stylize(clip, alone, "--style", style, "--quiet", "--start", "0.3") == 0
        assert (tmp_path / f"{style.stem}-painted.mp4").read_bytes() == alone.read_bytes()


def test_the_input_is_decoded_once(
    film: Path, styles: list[Path], stylize: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = FileSource._keep
    count = 0

    def counted(self: FileSource, raw: Any) -> Iterator[Frame]:
        nonlocal count
        count += 1
        return read(self, raw)

    monkeypatch.setattr(FileSource, "_keep", counted)
    target = tmp_path / "out"
    assert stylize(film, target, "--styles", names(styles), "--quiet", "--temporal", "off") == 0
    assert count == 75


def test_motion_is_measured_once() -> None:
    class Counting(DisFlow):
        count = 0

        def estimate(self, now: Grey, before: Grey) -> Flow:
            self.count += 1
            return super().estimate(now, before)

    source = SyntheticSource(160, 96, 12)
    frames = [source.draw(index) for index in range(12)]
    flow = Counting(FAST.preset)
    looker = SharedLooker(flow, FAST.gate)
    stages = [TemporalBlender(FAST, looker=looker) for _ in range(3)]
    alone = [TemporalBlender(FAST) for _ in range(3)]
    for frame in frames:
        for number in range(3):
            painted = 255 - frame if number else frame
            shown = stages[number].blend(frame, painted)
            assert np.array_equal(shown, alone[number].blend(frame, painted))
    for stage in (*stages, *alone):
        stage.reset()
    assert flow.count == 11


# --- names, folders, reports


def test_a_folder_in_several_styles_and_its_report(
    clip: Path,
    styles: list[Path],
    stylize: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, into = tmp_path / "in", tmp_path / "out"
    (folder / "below").mkdir(parents=True)
    for name in ("a.mp4", "below/b.mp4"):
        shutil.copy(clip, folder / name)
    (folder / "broken.mp4").write_bytes(b"nothing")
    options = ["--recursive", "--styles", names(styles[:2]), "--temporal", "off"]
    assert stylize(folder, into, *options, "--json") == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["styles"] == ["plain", "negative"]
    painted = [(Path(job["output"]).relative_to(into), job["style"]) for job in document["jobs"]]
    assert painted == [
        (Path("a_plain.mp4"), "plain"),
        (Path("a_negative.mp4"), "negative"),
        (Path("below/b_plain.mp4"), "plain"),
        (Path("below/b_negative.mp4"), "negative"),
    ]
    assert all(job["whole"] and job["frames"] == 50 for job in document["jobs"])
    assert len(document["failures"]) == 2
    assert captured.err.count("is not a readable video") == 3  # told once, and twice in the table
    assert "6 outputs of 3 inputs: 4 painted, 2 failed; 200 frames" in captured.err
    # of what is there already, only what is missing is painted
    (into / "a_plain.mp4").unlink()
    before = (into / "a_negative.mp4").stat().st_mtime_ns
    assert stylize(folder, into, *options, "--skip-existing", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert [Path(job["output"]).name for job in document["jobs"]] == ["a_plain.mp4"]
    assert (into / "a_negative.mp4").stat().st_mtime_ns == before


def test_outputs_are_named_after_their_styles(
    clip: Path, styles: list[Path], stylize: Run, tmp_path: Path
) -> None:
    source = tmp_path / "holiday.mp4"
    shutil.copy(clip, source)
    common = ["--styles", names(styles[:2]), "--quiet", "--temporal", "off", "--end", "0.2"]
    assert stylize(source, *common) == 0
    assert stylize(source, tmp_path / "{style}" / "%03d.png", *common) == 0
    for name in ("plain", "negative"):
        assert len(read_video(tmp_path / f"holiday_{name}.mp4")) == 5
        assert len(list((tmp_path / name).iterdir())) == 5


def test_what_can_not_be_meant(
    clip: Path,
    styles: list[Path],
    stylize: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    two = ["--styles", names(styles[:2])]
    refusals = {
        "2 styles don't fit into": [clip, tmp_path / "out.mp4", *two],
        "leave --mix out": [clip, tmp_path, *two, "--mix", "starry:1,wave:1"],
        "leave --style out": [clip, tmp_path, *two, "--style", styles[2]],
        "names plain twice": [clip, tmp_path, "--styles", f"{styles[0]},{styles[0]}"],
        "need an output with {style}": ["-", tmp_path / "out", *two],
        "--painting is for styles": [clip, tmp_path, *two, "--painting", clip],
    }
    for said, arguments in refusals.items():
        assert stylize(*arguments) == 1
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit):
        stylize(clip, tmp_path, "--styles", "starry,,wave")
    assert list(tmp_path.iterdir()) == []


# --- faults


def full_disk(target: Path, after: int) -> Callable[[FileSink, Any], None]:
    """`FileSink.write` where the disk fills up under one of the outputs."""
    write = FileSink.write
    written = 0

    def failing(self: FileSink, item: Any) -> None:
        nonlocal written
        if self._target == target and isinstance(item, Frame):
            written += 1
            if written > after:
                full = OSError(errno.ENOSPC, "No space left on device")
                raise SinkWriteError(f"{target} can't be written: no space left") from full
        write(self, item)

    return failing


def test_a_disk_that_fills_up_ends_one_output_only(
    film: Path,
    styles: list[Path],
    stylize: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    into = tmp_path / "out"
    lost = into / "film_negative.mkv"
    monkeypatch.setattr(FileSink, "write", full_disk(lost, 20))
    options = ["--temporal", "fast", "--json"]
    assert stylize(film, into, "--styles", names(styles), *options) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert [job["style"] for job in document["jobs"]] == ["plain", "swapped"]
    assert [f["output"] for f in document["failures"]] == [str(lost)]
    assert captured.err.count("error:") == 1
    assert "no space left; the" in captured.err
    assert "frames painted before are in" in captured.err
    assert sorted(p.name for p in into.iterdir()) == [
        "film_negative.partial.mkv",
        "film_plain.mkv",
        "film_swapped.mkv",
    ]
    assert len(read_video(into / "film_negative.partial.mkv")) == 20
    monkeypatch.undo()
    for style in (styles[0], styles[2]):
        alone = tmp_path / f"{style.stem}.mkv"
        assert stylize(film, alone, "--style", style, "--temporal", "fast", "--quiet") == 0
        assert_same(into / f"film_{style.stem}.mkv", alone)


def test_a_network_that_fails_ends_its_output_only(film: Path, tmp_path: Path) -> None:
    bad = Shifted(2, raising(10, InferenceError("the card got hot")))
    good, failed = paint_renditions(
        str(film), renditions(tmp_path, {"good": Shifted(1), "bad": bad})
    )
    assert isinstance(good, Result)
    assert good.report.whole
    assert good.report.frames == 75
    assert isinstance(failed, InferenceError)
    assert str(failed).startswith("the card got hot; the 9 frames painted before are in")
    assert len(read_video(tmp_path / "bad.partial.mkv")) == 9
    assert bad.painted == 10


def test_an_output_that_can_not_be_opened_does_not_stop_the_others(
    film: Path, tmp_path: Path
) -> None:
    (tmp_path / "b.mkv").mkdir()
    outcomes = paint_renditions(
        str(film), renditions(tmp_path, {"a": Shifted(1), "b": Shifted(2), "c": Shifted(3)})
    )
    assert [type(outcome) for outcome in outcomes] == [Result, SinkOpenError, Result]
    with pytest.raises(SourceOpenError):
        paint_renditions(str(tmp_path / "none.mp4"), renditions(tmp_path, {"a": Shifted(1)}))


def test_when_all_outputs_fail_reading_ends(tmp_path: Path) -> None:
    source = SyntheticSource(64, 48, 100000)
    branches = [
        Branch(Stylizer(Shifted(1, raising(n, InferenceError(f"frame {n}")))), MemorySink())
        for n in (2, 4)
    ]
    FanPipeline(source, branches).run()
    assert [str(branch.error) for branch in branches] == ["frame 2", "frame 4"]
    assert [branch.report.frames for branch in branches] == [1, 3]


def test_a_source_that_dies_leaves_all_outputs_partial(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = FileSource.__iter__

    def dying(self: FileSource) -> Iterator[Frame | SidePacket]:
        frames = 0
        for item in items(self):
            frames += isinstance(item, Frame)
            if frames == 31:
                raise SourceReadError("the tape tore")
            yield item

    monkeypatch.setattr(FileSource, "__iter__", dying)
    outcomes = paint_renditions(str(film), renditions(tmp_path, {"a": Shifted(1), "b": Shifted(2)}))
    for name, outcome in zip("ab", outcomes, strict=True):
        assert isinstance(outcome, SourceReadError)
        assert "the 30 frames painted before" in str(outcome)
        assert len(read_video(tmp_path / f"{name}.partial.mkv")) == 30


def test_what_nobody_foresaw_ends_everything(film: Path, tmp_path: Path) -> None:
    odd = Shifted(2, raising(5, ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        paint_renditions(str(film), renditions(tmp_path, {"a": Shifted(1), "b": odd}))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.partial.mkv", "b.partial.mkv"]


def test_an_interrupt_keeps_what_there_is_of_each(film: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        paint_renditions(
            str(film),
            renditions(tmp_path, {"a": Shifted(1), "b": Shifted(2)}),
            interrupt_at(20),
        )
    assert str(caught.value).count("the 20 frames painted before are in") == 2
    for name in "ab":
        assert len(read_video(tmp_path / f"{name}.partial.mkv")) == 20


def test_a_slow_output_holds_the_source_back() -> None:
    class Counted(SyntheticSource):
        given = 0

        def __iter__(self) -> Iterator[Frame | SidePacket]:
            for item in super().__iter__():
                self.given += 1
                yield item

    class Slow(MemorySink):
        behind = 0

        def write(self, item: Frame | SidePacket) -> None:
            super().write(item)
            self.behind = max(self.behind, source.given - len(self.frames))

    source, slow = Counted(64, 48, 60), Slow()
    quick = MemorySink()
    branches = [Branch(Stylizer(Shifted(1)), slow), Branch(Stylizer(Shifted(2)), quick)]
    FanPipeline(source, branches).run()
    assert len(slow.frames) == len(quick.frames) == 60
    assert slow.behind <= 3 + 1 + 1 + 3 + 1  # two channels, and one in each hand


def test_memory_is_that_of_all_styles_together(
    film: Path,
    styles: list[Path],
    stylize: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--styles", names(styles), "--temporal", "fast", "--end", "0.2", "--quiet"]
    assert stylize(film, tmp_path / "a", *options, "--max-memory", "900M") == 0
    assert stylize(film, tmp_path / "b", *options, "--max-memory", "200M") == 1
    assert "frames of 128x96 in 3 styles at once take about" in capsys.readouterr().err
    full = VideoInfo(3840, 2160, Fraction(25), Fraction(1, 25))
    check_fits(full, "off", 2000)
    with pytest.raises(StylizeError, match="in 3 styles at once"):
        check_fits(full, "off", 2000, 3)


# --- segments


def test_outputs_that_were_interrupted_apart_go_on_together(film: Path, tmp_path: Path) -> None:
    """One was painted for two segments, one for one, one not at all, one is waiting to be joined:
    what is there is not painted again, and all become what an uninterrupted run makes.
    """
    segments = SegmentSettings(seconds=Fraction(1, 2), always=True, made_of={"x": "y"})
    settings = replace(SETTINGS, temporal="fast", segments=segments)
    for number, frames in enumerate((45, 25, 0), 1):
        target = tmp_path / f"{number}.mkv"
        if frames:
            with pytest.raises(KeyboardInterrupt):
                paint_video(str(film), str(target), Shifted(number), settings, interrupt_at(frames))
            assert journal_folder(target).is_dir()
            (tmp_path / f"{number}.partial.mkv").unlink()
    engines = {str(number): Shifted(number) for number in (1, 2, 3)}
    outcomes = paint_renditions(str(film), renditions(tmp_path, dict(engines), settings))
    for number, outcome in enumerate(outcomes, 1):
        assert isinstance(outcome, Result), outcome
        assert outcome.report.frames == 75
        assert engines[str(number)].painted == 75 - outcome.report.resumed
        alone = tmp_path / "alone.mkv"
        paint_video(str(film), str(alone), Shifted(number), replace(settings, segments=None))
        assert_same(tmp_path / f"{number}.mkv", alone)
        alone.unlink()
    resumed = [o.report.resumed for o in outcomes if isinstance(o, Result)]
    assert resumed[0] > resumed[1] > resumed[2] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.mkv", "2.mkv", "3.mkv"]


def test_all_interrupted_outputs_go_on_from_the_earliest(film: Path, tmp_path: Path) -> None:
    segments = SegmentSettings(seconds=Fraction(1, 2), always=True)
    settings = replace(SETTINGS, temporal="quality", segments=segments)
    with pytest.raises(KeyboardInterrupt) as caught:
        paint_renditions(
            str(film),
            renditions(tmp_path, {"1": Shifted(1), "2": Shifted(2)}, settings),
            interrupt_at(30),
        )
    assert str(caught.value).count("the same command goes on behind frame") == 2
    with pytest.raises(KeyboardInterrupt):
        # one of them gets further by itself
        paint_video(str(film), str(tmp_path / "2.mkv"), Shifted(2), settings, interrupt_at(25))
    outcomes: list[Result | StylizeError] = paint_renditions(
        str(film), renditions(tmp_path, {"1": Shifted(1), "2": Shifted(2)}, settings)
    )
    resumed = [o.report.resumed for o in outcomes if isinstance(o, Result)]
    assert 0 < resumed[0] < resumed[1]
    for number in (1, 2):
        alone = tmp_path / "alone.mkv"
        paint_video(str(film), str(alone), Shifted(number), replace(settings, segments=None))
        assert_same(tmp_path / f"{number}.mkv", alone)
        alone.unlink()
