"""Films painted in pieces by many workers: whatever becomes of these, the file is that of one run.

Nearly all of it is tried with workers in this process; Ray itself at the end.
"""

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from doubles import Negative, interrupt_at
from media import ODD_CLIPS, assert_same, assert_same_frames, read_video, write_film

from stylize_video.realtime import _film as film_module
from stylize_video.realtime._crew import Event, Lost, Ready, Skills, Told
from stylize_video.realtime._film import nominal_starts
from stylize_video.realtime._pieces import PieceWorker, Taken, Task
from stylize_video.realtime.cluster import Cluster
from stylize_video.realtime.cues import Cue, Timeline
from stylize_video.realtime.errors import (
    ClusterError,
    InferenceError,
    JournalError,
    SinkOpenError,
    SinkWriteError,
    SourceOpenError,
)
from stylize_video.realtime.folders import Job
from stylize_video.realtime.frame import Frame, Pixels
from stylize_video.realtime.journal import journal_folder
from stylize_video.realtime.knobs import Knobs
from stylize_video.realtime.masks import BrightnessMask, MovementMask
from stylize_video.realtime.segments import SegmentSettings
from stylize_video.realtime.sinks._containers import EncodeOptions
from stylize_video.realtime.sources import Source
from stylize_video.realtime.sources.file import FileOptions
from stylize_video.realtime.stylizer import Stylizer
from stylize_video.realtime.tiers import stage_for
from stylize_video.realtime.turning import Turning
from stylize_video.realtime.video import (
    Result,
    VideoSettings,
    open_source,
    paint_video,
    painter_for,
)

LOSSLESS = EncodeOptions(codec="ffv1", pix_fmt="bgr0", threads=1, overwrite=True)
A_PIECE = SegmentSettings(seconds=Fraction(2, 5), always=True)
ALIKE = Skills({"the engine": "double"}, "double")
CUTS = (0, 11, 26, 29, 52, 68)
"""The frames with which shots begin; one is short, one holds two pieces."""
FRAMES = 80


class Soft(Negative):
    """Blurred negatives, which the temporal stages have much to do with."""

    def look(self, pixels: Pixels) -> Pixels:
        wide = pixels.astype(np.uint16)
        near = wide + np.roll(wide, 3, 1) + np.roll(wide, 2, 0) + np.roll(wide, -2, 1)
        return (255 - near // 4).astype(np.uint8)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds with sound and five cuts, noise over it, at a rate that wanders."""
    random = np.random.default_rng(5)
    scenes = random.integers(20, 230, (len(CUTS), 8, 12, 3)).astype(np.int16)

    def draw(index: int) -> Pixels:
        scene = scenes[sum(index >= cut for cut in CUTS) - 1].repeat(8, 0).repeat(8, 1)
        scene = np.roll(scene, (index // 2, index), (0, 1))
        noise = np.random.default_rng(index).integers(-6, 7, scene.shape)
        return np.clip(scene + noise, 0, 255).astype(np.uint8)

    path = tmp_path_factory.mktemp("film") / "film.mkv"
    return write_film(path, FRAMES, (96, 64), draw, seed=5, keyframes=40)


class Hands:
    """A crew in this process. `spoil` may turn what a worker tells into something else."""

    def __init__(
        self,
        settings: VideoSettings,
        workers: int = 2,
        engine: Callable[[], Any] = Soft,
        open_source: Callable[[str, VideoSettings], Source] = open_source,
        spoil: Callable[[int, Taken], Event | None] = lambda worker, taken: None,
        skills: Callable[[int], Skills] = lambda worker: ALIKE,
    ) -> None:
        self.size = workers
        self.begun: list[Task] = []
        self._settings, self._engine, self._open = settings, engine, open_source
        self._spoil, self._skills = spoil, skills
        self._workers: dict[int, PieceWorker] = {}
        self._busy: list[int] = []
        self._fresh: list[int] = []
        self._hired = 0
        for _ in range(workers):
            self._hire()

    def begin(self, worker: int, task: Task) -> None:
        self.begun.append(task)
        self._workers[worker].begin(task)
        self._busy.append(worker)

    def next_event(self, wait_s: float) -> Event | None:
        if self._fresh:
            worker = self._fresh.pop(0)
            return Ready(worker, f"node-{worker}", self._skills(worker))
        if not self._busy:
            return None
        worker = self._busy.pop(0)
        taken = self._workers[worker].take(wait_s / 10)
        event = self._spoil(worker, taken) or Told(worker, taken)
        if isinstance(event, Lost):
            self._workers.pop(worker).close()
            self._hire()
        elif not (taken.painted or taken.error or taken.crash):
            self._busy.append(worker)
        return event

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()

    def _hire(self) -> None:
        painter = painter_for(self._engine(), self._settings)
        worker = PieceWorker(painter, lambda name: self._open(name, self._settings))
        self._workers[self._hired] = worker
        self._fresh.append(self._hired)
        self._hired += 1


def settings_of(**changes: Any) -> VideoSettings:
    return replace(VideoSettings(threads=1, write=LOSSLESS, segments=A_PIECE), **changes)


@contextmanager
def cluster_of(settings: VideoSettings, jobs: Any = (), **crew: Any) -> Iterator[Any]:
    hands = Hands(settings, **crew)
    cluster = Cluster(hands, settings, jobs)
    try:
        yield cluster, hands
    finally:
        cluster.close()


def spread(
    source: Path, target: Path, stop: int | None = None, crew: dict[str, Any] | None = None,
    **changes: Any,
) -> Result:  # fmt: skip
    """Paint by workers in this process."""
    with cluster_of(settings_of(**changes), **(crew or {})) as (cluster, _):
        return cluster.paint(Job(str(source), str(target)), interrupt_at(stop) if stop else None)


def alone(source: Path, target: Path, **changes: Any) -> Result:
    settings = settings_of(segments=None, **changes)
    return paint_video(str(source), str(target), Soft(), settings)


TIERS = [("off", 1), ("fast", 1), ("quality", 1), ("best", 1), ("fast", 3), ("quality", "auto")]


# --- shots


def frames_of(path: Path) -> list[Frame]:
    source = open_source(str(path), settings_of())
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    return frames


@pytest.mark.parametrize(("temporal", "every"), TIERS[1:])
def test_from_a_shot_on_nothing_before_matters(temporal: Any, every: Any, film: Path) -> None:
    """A stage that begins with a shot goes on as one that has seen all before it."""
    frames = frames_of(film)
    stage = Stylizer(Soft(), stage_for(temporal, 1, paint_every=every))
    begins = stage.shots()
    found = [n for n in range(1, len(frames)) if begins(frames[n - 1], frames[n])]
    assert found == list(CUTS[1:])
    whole = [f for frame in frames for f in stage.push(frame)] + list(stage.finish())
    for first, last in zip(CUTS, [*CUTS[1:], FRAMES], strict=True):
        stage.reset()
        part = [f for frame in frames[first:last] for f in stage.push(frame)]
        part += list(stage.finish())
        assert [f.pts for f in part] == [f.pts for f in whole[first:last]]
        for a, b in zip(part, whole[first:last], strict=True):
            assert np.array_equal(a.pixels, b.pixels)
    stage.reset()


def test_without_a_stage_any_frame_begins_anew(film: Path) -> None:
    frames = frames_of(film)[:3]
    begins = Stylizer(Soft()).shots()
    assert begins(frames[0], frames[1])
    assert begins(frames[1], frames[2])


# --- the same file


@pytest.mark.parametrize(("temporal", "every"), TIERS)
def test_pieces_make_the_file_of_one_run(
    temporal: Any, every: Any, film: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(film, whole, temporal=temporal, paint_every=every)
    result = spread(film, parts, temporal=temporal, paint_every=every)
    assert (result.report.frames, result.report.whole) == (FRAMES, True)
    assert result.report.cpu_seconds > 0
    assert_same(whole, parts)
    assert {p.name for p in tmp_path.iterdir()} == {"whole.mkv", "parts.mkv"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "ending"),
    [(Fraction(1, 5), ".mp4"), (Fraction(3, 2), ".mkv"), (Fraction(100), ".mp4")],
)
def test_pieces_of_any_length(seconds: Fraction, ending: str, film: Path, tmp_path: Path) -> None:
    options = replace(LOSSLESS, codec="libx264rgb", crf=0, pix_fmt="rgb24", preset="medium")
    whole, parts = tmp_path / f"whole{ending}", tmp_path / f"parts{ending}"
    alone(film, whole, temporal="fast", write=options)
    segments = SegmentSettings(seconds=seconds, always=True)
    spread(film, parts, temporal="fast", segments=segments, write=options, crew={"workers": 3})
    assert_same(whole, parts)


def test_a_film_of_one_shot_is_painted_by_one(clip: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(clip, whole, temporal="fast")
    spread(clip, parts, temporal="fast")
    assert_same(whole, parts)


def test_start_and_end_and_size_hold_over_pieces(film: Path, tmp_path: Path) -> None:
    read = FileOptions(start=Fraction(1, 2), end=Fraction(5, 2), resize=(80, 60))
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(film, whole, read=read, temporal="quality")
    spread(film, parts, read=read, temporal="quality")
    assert_same(whole, parts)


def test_a_sequence_of_pictures_in_pieces(film: Path, tmp_path: Path) -> None:
    alone(film, tmp_path / "pictures" / "%03d.png")
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(tmp_path / "pictures", whole, temporal="fast")
    spread(tmp_path / "pictures", parts, temporal="fast")
    assert_same_frames(whole, parts)


@pytest.mark.parametrize("name", ODD_CLIPS)
def test_odd_inputs_in_pieces(name: str, data: Callable[[str], Path], tmp_path: Path) -> None:
    source = data("torture") / "dev" / name
    changes = {"read": FileOptions(resize=(64, 48)), "temporal": "off"}
    short = replace(A_PIECE, seconds=Fraction(1, 5))
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    notices = alone(source, whole, **changes).notices
    result = spread(source, parts, segments=short, **changes)
    assert_same_frames(whole, parts)
    assert {n for n in notices if not any(c.isdigit() for c in n)} <= set(result.notices)


def test_a_header_that_lies_about_the_length(film: Path) -> None:
    assert nominal_starts(None, Fraction(20)) == [None]
    assert nominal_starts(Fraction(45), Fraction(20)) == [None, 20, 40]
    assert len(nominal_starts(Fraction(10**12), Fraction(1, 1000))) == 100_000


def test_knobs_that_turn_over_shots_and_pieces(film: Path, tmp_path: Path) -> None:
    """Another style, by and by, another size of strokes, mirrored and weaker: all by time alone."""
    cues = [
        Cue(Fraction(1, 2), "style", "b", 1.2),
        Cue(Fraction(9, 10), "mirror", value=True),
        Cue(Fraction(6, 5), "stroke", 4.0),
        Cue(Fraction(2), "strength", 0.3, 0.5),
    ]
    timeline = Timeline(Knobs(), cues, ["a", "b"])
    turning = Turning(timeline, {0: Soft(), 1: Negative()}, BrightnessMask(20, 250))
    assert turning.why_not_in_parts is None
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(film, whole, temporal="quality", turning=turning)
    spread(film, parts, temporal="quality", turning=turning, crew={"workers": 1})
    assert_same(whole, parts)


def test_what_remembers_over_shots_is_no_work_for_many() -> None:
    frozen = Timeline(Knobs(), [Cue(Fraction(1), "freeze", value=True)], ["a"])
    assert "held" in str(Turning(frozen, {0: Soft()}).why_not_in_parts)
    moving = Turning(Timeline(Knobs(), [], ["a"]), {0: Soft()}, MovementMask())
    assert "mask" in str(moving.why_not_in_parts)


# --- readers that are mistaken


class Mistaken:
    """A source that, sent to the middle, lands where the file does not say."""

    def __init__(self, source: Any, wrong: Callable[[Fraction], bool]) -> None:
        self._source, self._wrong, self._sought = source, wrong, False
        self.info, self.extras = source.info, source.extras
        self.notices: list[str] = []

    def read_from(self, time: Fraction | None, *, seek: bool) -> None:
        self._sought = time is not None and seek and self._wrong(time)
        self._source.read_from(time, seek=seek)

    def __iter__(self) -> Iterator[Any]:
        for item in self._source:
            if isinstance(item, Frame) and self._sought:
                item = replace(item, pts=item.pts + Fraction(1, 90000))
            yield item

    def close(self) -> None:
        self._source.close()


@pytest.mark.parametrize("wrong", [lambda t: t > 0, lambda t: t < 1])
def test_a_seek_that_lands_elsewhere_is_noticed(
    wrong: Callable[[Fraction], bool], film: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(film, whole, temporal="fast")
    crew = {"open_source": lambda name, s: Mistaken(open_source(name, s), wrong)}
    result = spread(film, parts, temporal="fast", crew=crew)
    assert_same(whole, parts)
    assert any("can't be sought in reliably" in notice for notice in result.notices)


def test_a_reader_that_never_gives_the_same_ends_the_job(film: Path, tmp_path: Path) -> None:
    class Restless(Mistaken):
        def __iter__(self) -> Iterator[Any]:
            for number, item in enumerate(self._source):
                if isinstance(item, Frame) and number > 20:
                    late = Fraction(id(self) % 89, 90000)
                    item = replace(item, pts=item.pts + late)
                yield item

    crew = {"open_source": lambda name, s: Restless(open_source(name, s), lambda _: True)}
    with pytest.raises(ClusterError, match="does not begin where the one before ends"):
        spread(film, tmp_path / "out.mkv", temporal="fast", crew=crew)
    assert not (tmp_path / "out.mkv").exists()


# --- workers that fail


def test_a_lost_workers_piece_is_painted_by_another(film: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(film, whole, temporal="quality")
    told = 0

    def spoil(worker: int, taken: Taken) -> Event | None:
        nonlocal told
        told += 1
        return Lost(worker, "killed") if told in (2, 5) else None

    with cluster_of(settings_of(temporal="quality"), spoil=spoil) as (cluster, hands):
        result = cluster.paint(Job(str(film), str(parts)))
    again = [notice for notice in result.notices if "was lost (killed)" in notice]
    assert len(again) == 2
    starts = [task.start for task in hands.begun]
    assert len(starts) == len(set(starts)) + 2
    assert_same(whole, parts)


def test_a_piece_that_kills_all_its_workers_ends_the_job(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    with cluster_of(settings_of(temporal="off")) as (cluster, hands):

        def spoil(worker: int, taken: Taken) -> Event | None:
            bad = hands.begun[-1].start == Fraction(2) and len(hands._busy) == 0
            return Lost(worker, "killed") if bad else None

        hands._spoil = spoil
        hands._fresh.pop()  # one worker alone
        with pytest.raises(ClusterError, match=r"piece 6 .* begun 3 times .*: killed; \d+ of \d+"):
            cluster.paint(Job(str(film), str(target)))
    assert not target.exists()
    result = spread(film, target, temporal="off")
    assert result.report.resumed > 0
    assert result.report.frames == FRAMES


def test_bytes_that_changed_on_the_way_are_not_used(film: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(film, whole)
    spoiled = []

    def spoil(worker: int, taken: Taken) -> Event | None:
        if taken.painted and len(taken.data) > 9 and not spoiled:
            spoiled.append(worker)
            data = taken.data[:7] + bytes([taken.data[7] ^ 1]) + taken.data[8:]
            return Told(worker, replace(taken, data=data))
        return None

    result = spread(film, parts, crew={"spoil": spoil})
    assert any("did not arrive as it was sent" in notice for notice in result.notices)
    assert_same(whole, parts)


def test_what_a_worker_can_not_paint_is_said_and_the_rest_kept(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"

    def act(number: int) -> None:
        if number == 24:
            raise InferenceError("the card got hot")

    with pytest.raises(InferenceError, match=r"the card got hot; \d+ of \d+ pieces are kept"):
        spread(film, target, crew={"engine": lambda: Soft(act)})
    assert not target.exists()
    assert spread(film, target).report.resumed > 0


def test_a_worker_that_breaks_is_no_end(film: Path, tmp_path: Path) -> None:
    broken = []

    def act(number: int) -> None:
        if number == 18 and not broken:
            broken.append(number)
            raise TypeError("a bug")

    result = spread(film, tmp_path / "out.mkv", crew={"engine": lambda: Soft(act)})
    assert any("TypeError: a bug" in notice for notice in result.notices)


def test_an_input_that_a_machine_does_not_see_is_named_with_it(film: Path, tmp_path: Path) -> None:
    def elsewhere(name: str, settings: VideoSettings) -> Source:
        raise SourceOpenError(f"{name} does not exist")

    crew = {"open_source": elsewhere, "workers": 1}
    with pytest.raises(SourceOpenError, match=r"on node-0: .*film.mkv does not exist; every mac"):
        spread(film, tmp_path / "out.mkv", crew=crew)
    assert list(tmp_path.iterdir()) == []


def test_another_file_of_that_name_is_refused(film: Path, clip: Path, tmp_path: Path) -> None:
    one = tmp_path / "film.mkv"
    one.write_bytes(film.read_bytes())

    def changed(name: str, settings: VideoSettings) -> Source:
        one.write_bytes(clip.read_bytes())
        return open_source(name, settings)

    with pytest.raises(SourceOpenError, match="is another file there"):
        spread(one, tmp_path / "out.mkv", crew={"open_source": changed, "workers": 1})


def test_workers_that_would_paint_otherwise_are_refused(film: Path, tmp_path: Path) -> None:
    def skills(worker: int) -> Skills:
        return replace(ALIKE, made_of={"the engine": f"double {worker}"})

    with cluster_of(settings_of(), skills=skills) as (cluster, _):
        for _ in range(2):
            with pytest.raises(ClusterError, match=r"the engine is double 0 on node-0 and .* 1 "):
                cluster.paint(Job(str(film), str(tmp_path / "out.mkv")))


# --- journals


def test_an_interrupted_run_goes_on_with_its_pieces(film: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(film, whole, temporal="quality")
    with pytest.raises(KeyboardInterrupt, match=r"\d+ of \d+ pieces are kept in .*segments"):
        spread(film, parts, stop=45, temporal="quality")
    assert not parts.exists()
    resumed = replace(A_PIECE, must_resume=True)
    result = spread(film, parts, temporal="quality", segments=resumed)
    assert 0 < result.report.resumed < FRAMES
    assert result.report.frames == FRAMES
    assert any("went on with" in notice for notice in result.notices)
    assert_same(whole, parts)
    assert {p.name for p in tmp_path.iterdir()} == {"whole.mkv", "parts.mkv"}


def test_pieces_and_segments_are_not_mixed(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt):
        spread(film, target, stop=45)
    with pytest.raises(JournalError, match="--cluster was in pieces, is not set"):
        paint_video(str(film), str(target), Soft(), settings_of())
    other = replace(A_PIECE, must_resume=True)
    with pytest.raises(JournalError, match="no interrupted run"):
        spread(film, tmp_path / "other.mkv", segments=other)


@pytest.mark.parametrize("damage", ["part", "journal", "elsewhere"])
def test_damaged_pieces_are_refused(damage: str, film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt):
        spread(film, target, stop=45)
    folder = journal_folder(target)
    file = folder / ("00001.part" if damage == "part" else "journal.json")
    content = bytearray(file.read_bytes())
    if damage == "elsewhere":
        document = json.loads(content)
        document["body"] = document["body"].replace("00001.part", "../00001.part")
        content = bytearray(json.dumps(document).encode())
    else:
        content[len(content) // 2] ^= 4
    file.write_bytes(content)
    with pytest.raises(JournalError, match=r"damaged.*--restart"):
        spread(film, target)
    restarted = replace(A_PIECE, restart=True)
    assert spread(film, target, segments=restarted).report.resumed == 0


def test_killed_between_joining_and_cleaning_up(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mkv"

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    for moment in ("remove", "note_joined"):
        with monkeypatch.context() as patch:
            patch.setattr("stylize_video.realtime.journal.Journal." + moment, killed)
            with pytest.raises(Killed):
                spread(film, target)
        engines: list[Soft] = []

        def engine(made: list[Soft] = engines) -> Soft:
            made.append(Soft())
            return made[-1]

        result = spread(
            film, target, crew={"engine": engine}, write=replace(LOSSLESS, overwrite=False)
        )
        assert sum(e.painted for e in engines) == 0
        assert (result.report.frames, result.report.whole) == (FRAMES, True)
        assert [p.name for p in tmp_path.iterdir()] == ["out.mkv"]
        target.unlink()


@pytest.mark.parametrize("what", ["add", "finish"])
def test_a_full_disk_keeps_what_is_finished(
    what: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, calls = tmp_path / "out.mkv", 0
    real = getattr(film_module._Incoming, what)

    def failing(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(film_module._Incoming, what, failing)
        with pytest.raises(SinkWriteError, match="no space left on the disk"):
            spread(film, target)
    assert not target.exists()
    assert spread(film, target).report.frames == FRAMES


def test_kept_pieces_are_whole_files(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    spread(film, target, temporal="fast", segments=replace(A_PIECE, keep=True))
    kept = sorted((tmp_path / "out.kept").iterdir())
    assert sum(len(read_video(file)) for file in kept) == FRAMES


# --- several inputs, and what is refused


def test_workers_begin_with_the_next_job_before_one_is_done(
    film: Path, clip: Path, tmp_path: Path
) -> None:
    jobs = [Job(str(clip), str(tmp_path / f"{n}.mkv")) for n in range(3)]
    jobs.insert(1, Job(str(tmp_path / "none.mp4"), str(tmp_path / "none.mkv")))
    settings = settings_of(segments=replace(A_PIECE, seconds=Fraction(20)))
    with cluster_of(settings, jobs) as (cluster, hands):
        assert cluster.paint(jobs[0]).report.frames == 50
        assert len(hands.begun) > 1
        with pytest.raises(SourceOpenError, match=r"none\.mp4 does not exist"):
            cluster.paint(jobs[1])
        for job in jobs[2:]:
            assert cluster.paint(job).report.frames == 50
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.mkv", "1.mkv", "2.mkv"]
    assert_same(tmp_path / "0.mkv", tmp_path / "2.mkv")


def test_what_can_not_be_painted_in_pieces_is_refused(film: Path, tmp_path: Path) -> None:
    for target in ("out.gif", "%05d.png"):
        with pytest.raises(SinkOpenError, match="leave --cluster out"):
            spread(film, tmp_path / target)
    (tmp_path / "out.mkv").write_bytes(b"there")
    kept = replace(LOSSLESS, overwrite=False)
    with pytest.raises(SinkOpenError, match="exists: pass --overwrite"):
        spread(film, tmp_path / "out.mkv", write=kept)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mkv"]


def test_nobody_to_paint_is_an_end(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylize_video.realtime.cluster._NO_WORKER_S", 0)
    with (
        cluster_of(settings_of(), workers=0) as (cluster, _),
        pytest.raises(ClusterError, match="no worker has come up"),
    ):
        cluster.paint(Job(str(film), str(tmp_path / "out.mkv")))
