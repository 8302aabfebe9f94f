"""Films in pieces while readers, workers and disks fail: the file is that of one run, or none."""

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import (
    A_PIECE,
    ALIKE,
    FRAMES,
    Soft,
    alone,
    cluster_of,
    settings_of,
    spread,
)
from doubles import killed_at, raising
from media import LOSSLESS, assert_same, read_video

from stylize_video.realtime import _film as film_module
from stylize_video.realtime._crew import Event, Lost, Skills, Told
from stylize_video.realtime._pieces import Taken
from stylize_video.realtime.errors import (
    ClusterError,
    InferenceError,
    JournalError,
    SinkOpenError,
    SinkWriteError,
    SourceOpenError,
)
from stylize_video.realtime.folders import Job
from stylize_video.realtime.frame import Frame
from stylize_video.realtime.journal import journal_folder
from stylize_video.realtime.sources import Source
from stylize_video.realtime.video import VideoSettings, open_source, paint_video

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
    act = raising(24, InferenceError("the card got hot"))
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


def test_killed_between_joining_and_cleaning_up(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    for moment in ("remove", "note_joined"):
        with killed_at(moment):
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


# --- what is refused


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
