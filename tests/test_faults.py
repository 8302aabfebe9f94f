"""Faults injected in every stage: the first is reported as itself, what was painted is kept."""

import errno
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import packets, read_video, write_video

from stylize_video.realtime import (
    FileSink,
    FileSource,
    Frame,
    MemorySink,
    Pipeline,
    StylizeError,
    Stylizer,
    SyntheticSource,
)
from stylize_video.realtime import video as video_job
from stylize_video.realtime._threads import Worker
from stylize_video.realtime.errors import InferenceError, SinkWriteError, SourceReadError
from stylize_video.realtime.fan import Branch, FanPipeline
from stylize_video.realtime.frame import Extras, Pixels, SidePacket
from stylize_video.realtime.sinks._containers import Container, EncodeOptions
from stylize_video.realtime.video import VideoSettings, paint_video


class Faulty(SyntheticSource):
    """A source that fails after some frames."""

    def __init__(self, after: int, error: BaseException) -> None:
        super().__init__(64, 48, 30)
        self._after, self._error = after, error
        self.closed = 0

    def __iter__(self) -> Iterator[Frame | SidePacket]:
        for index, item in enumerate(super().__iter__()):
            if index == self._after:
                raise self._error
            yield item

    def close(self) -> None:
        self.closed += 1


class Engine:
    """An engine of the contract that may fail, or put out nonsense, on a certain frame."""

    description = "double"

    def __init__(self, act: Callable[[int, Pixels], Pixels] | None = None) -> None:
        self.notices: list[str] = []
        self._act, self._count = act, 0

    def paint(self, pixels: Pixels) -> Pixels:
        self._count += 1
        return self._act(self._count, pixels) if self._act else pixels

    def close(self) -> None:
        """Nothing is held."""


class FaultySink(MemorySink):
    """A sink that fails after some frames."""

    def write(self, item: Frame | SidePacket) -> None:
        if len(self.frames) == 3:
            raise SinkWriteError("the cable was pulled")
        super().write(item)


def failing(when: int, error: Exception) -> Callable[[int, Pixels], Pixels]:
    def act(number: int, pixels: Pixels) -> Pixels:
        if number == when:
            raise error
        return pixels

    return act


def test_a_source_that_dies_is_painted_as_far_as_it_went() -> None:
    source, sink = Faulty(7, SourceReadError("the tape tore")), MemorySink()
    pipeline = Pipeline(source, Stylizer(Engine()), sink)
    with pytest.raises(SourceReadError, match="the tape tore"):
        pipeline.run()
    assert len(sink.frames) == 7
    assert not sink.finished
    assert pipeline.report.frames == 7
    assert not pipeline.report.whole


def test_an_engine_that_dies_ends_the_run() -> None:
    sink = MemorySink()
    engine = Engine(failing(5, InferenceError("the card got hot")))
    with pytest.raises(InferenceError, match="the card got hot"):
        Pipeline(SyntheticSource(64, 48, 1000), Stylizer(engine), sink).run()
    assert len(sink.frames) == 4
    assert not sink.finished


def test_a_sink_that_dies_ends_the_run() -> None:
    sink = FaultySink()
    with pytest.raises(SinkWriteError, match="the cable was pulled"):
        Pipeline(SyntheticSource(64, 48, 1000), Stylizer(Engine()), sink).run()
    assert len(sink.frames) == 3


@pytest.mark.parametrize("stage", ["source", "engine", "sink", "watcher"])
def test_even_an_unexpected_error_comes_out_as_itself(stage: str) -> None:
    class Unexpected(Exception):
        pass

    class OddSink(MemorySink):
        def write(self, item: Frame | SidePacket) -> None:
            raise Unexpected

    def watch(_report: object) -> None:
        raise Unexpected

    source = Faulty(2, Unexpected()) if stage == "source" else SyntheticSource(64, 48, 20)
    engine = Engine(failing(2, Unexpected())) if stage == "engine" else Engine()
    sink = OddSink() if stage == "sink" else MemorySink()
    with pytest.raises(Unexpected):
        Pipeline(source, Stylizer(engine), sink).run(watch if stage == "watcher" else None)


def test_an_engine_that_changes_the_size_is_caught() -> None:
    engine = Engine(lambda _number, pixels: pixels[:-1])
    with pytest.raises(InferenceError, match=r"put out \(47, 64, 3\) for a frame of \(48, 64, 3\)"):
        Pipeline(SyntheticSource(64, 48, 3), Stylizer(engine), MemorySink()).run()


def test_frames_come_out_in_order_and_all_of_them() -> None:
    sink = MemorySink()
    report = Pipeline(SyntheticSource(64, 48, 40), Stylizer(Engine()), sink, capacity=1).run()
    assert [f.pts for f in sink.frames] == [Fraction(i, 30) for i in range(40)]
    assert (report.frames, report.whole, report.output) == (40, True, "memory")


def test_a_failed_job_says_where_its_part_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Faulty(10, SourceReadError("the tape tore"))
    monkeypatch.setattr(video_job, "open_source", lambda *_: source)
    target = tmp_path / "out.mp4"
    with pytest.raises(SourceReadError) as caught:
        paint_video("in.mp4", str(target), Engine(), VideoSettings())
    partial = tmp_path / "out.partial.mp4"
    expected = f"the tape tore; the 10 frames painted before are in {partial}"
    assert str(caught.value) == expected
    assert [p.name for p in tmp_path.iterdir()] == ["out.partial.mp4"]
    assert len(read_video(partial)) == 10
    assert source.closed == 1


def test_a_decoder_that_dies_midway_is_reported(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the container itself, not of a packet, ends the input."""

    class Dying:
        def __init__(self, container: object) -> None:
            self._container = container

        def __getattr__(self, name: str) -> object:
            return getattr(self._container, name)

        def demux(self, *streams: object) -> Iterator[object]:
            for number, packet in enumerate(self._container.demux(*streams)):  # type: ignore[attr-defined]
                if number == 60:
                    raise av.OSError(errno.EIO, "Input/output error")
                yield packet

    opened = av.open
    monkeypatch.setattr(
        av, "open", lambda *a, **k: Dying(opened(*a, **k)) if a[1] == "r" else opened(*a, **k)
    )
    target = tmp_path / "out.mp4"
    with pytest.raises(
        SourceReadError, match=r"can't be read beyond frame \d+: Input/output error"
    ):
        paint_video(str(clip), str(target), Engine(), VideoSettings())
    monkeypatch.undo()
    assert 0 < len(read_video(tmp_path / "out.partial.mp4")) < 50
    assert not target.exists()


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    source = SyntheticSource(320, 240, 50)
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123 - unbuffered on purpose
        sink = FileSink(full, source.info, Extras(), None, Container("rawvideo", "rawvideo"))
        with pytest.raises(SinkWriteError, match="standard output can't be written: no space left"):
            Pipeline(source, Stylizer(Engine()), sink).run()


def test_a_disk_that_fills_up_midway_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SyntheticSource(64, 48, 30)
    target = tmp_path / "out.mkv"
    sink = FileSink(target, source.info, Extras())
    real = sink._output

    class Full:
        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def mux(self, _packets: object) -> None:
            raise av.OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sink, "_output", Full())
    with pytest.raises(
        SinkWriteError, match=r"out\.mkv can't be written: no space left on the disk"
    ):
        Pipeline(source, Stylizer(Engine()), sink).run()
    real.close()
    assert list(tmp_path.iterdir()) == []


def test_the_output_folder_goes_away(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    source = SyntheticSource(64, 48, 5)
    sink = FileSink(folder / "out.mp4", source.info, Extras())
    for item in source:
        sink.write(item)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(SinkWriteError, match="can't be written"):
        sink.finish()
    assert list(tmp_path.iterdir()) == []


def test_memory_stays_flat_over_a_long_clip(tmp_path: Path) -> None:
    """Frames are handed on, not collected: resident memory after 600 frames is that after 100."""

    def resident_mb() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    clip = write_video(tmp_path / "long.mp4", 700, (320, 240), Fraction(25))
    marks: dict[int, float] = {}

    def watch(report: object) -> None:
        frames = report.frames  # type: ignore[attr-defined]
        if frames in (100, 690):
            marks[frames] = resident_mb()

    source = FileSource(clip)
    sink = FileSink(tmp_path / "out.mp4", source.info, source.extras, EncodeOptions())
    Pipeline(source, Stylizer(Engine()), sink).run(watch)
    source.close()
    # 590 frames of 230 kB would be 136 MB; encoder and allocator settle within a few
    assert marks[690] - marks[100] < 40


def test_damaged_sound_does_not_stop_the_picture(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mkv", 50, (64, 64), Fraction(25), audio=True)
    content = bytearray(source.read_bytes())
    sound = packets(source, "audio")
    for _, _, packet in sound[10:20]:
        start = content.find(packet)
        assert start > 0
        random = np.random.default_rng(start).integers(0, 256, len(packet)).astype(np.uint8)
        content[start : start + len(packet)] = random.tobytes()
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(bytes(content))
    for ending in (".mkv", ".webm"):  # copied, and converted
        target = tmp_path / f"out{ending}"
        result = paint_video(str(damaged), str(target), Engine(), VideoSettings())
        assert result.report.frames == 50
        assert len(read_video(target)) == 50


def test_every_error_of_ours_is_caught_by_its_base() -> None:
    from stylize_video.realtime import errors

    kinds = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Exception)]
    assert all(issubclass(kind, StylizeError) for kind in kinds)
    assert str(errors.SourceOpenError("in words")) == "in words"
    assert str(errors.StyleNotFound("in words")) == "in words"


@pytest.mark.parametrize(
    ("fan", "begun"), [(False, 0), (False, 1), (True, 0), (True, 1), (True, 2)]
)
def test_an_interrupt_while_threads_begin_leaves_none(
    fan: bool, begun: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, calls = Worker.start, iter(range(10))

    def interrupted(worker: Worker) -> None:
        if next(calls) == begun:
            raise KeyboardInterrupt
        start(worker)

    monkeypatch.setattr(Worker, "start", interrupted)
    source, sinks = SyntheticSource(64, 48, 30), [MemorySink(), MemorySink()]
    painters = [Stylizer(Engine()), Stylizer(Engine())]
    branches = [Branch(p, s) for p, s in zip(painters, sinks, strict=True)]
    pipeline = FanPipeline(source, branches) if fan else Pipeline(source, painters[0], sinks[0])
    with pytest.raises(KeyboardInterrupt):
        pipeline.run()
    assert not any(sink.finished for sink in sinks)
