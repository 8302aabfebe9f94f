"""The paintings of a run, weighed anew from frame to frame: by cues, from outside, by each stream
for itself.
"""

import json
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from cluster_tools import alone, film_in, spread
from media import assert_same, read_video, write_video
from web_tools import THREADS, Running, running, two_looks

from stylize_video.realtime import cli, webcam
from stylize_video.realtime.catalogue import find_style
from stylize_video.realtime.cues import Cue, Timeline
from stylize_video.realtime.engines.any_painting import (
    AnyPaintingEngine,
    Painting,
    PaintingEncoder,
)
from stylize_video.realtime.engines.choose import load_engine
from stylize_video.realtime.errors import StylizeError
from stylize_video.realtime.frame import Frame, Pixels
from stylize_video.realtime.knobs import Knobs
from stylize_video.realtime.stylizer import Stylizer
from stylize_video.realtime.turning import Turning
from stylize_video.realtime.web.room import Arrived, Painted, Stream

PAINTINGS = tuple(
    np.clip(
        np.random.default_rng(seed).integers(0, 256, (96, 96, 3)) * np.array(colour), 0, 255
    ).astype(np.uint8)
    for seed, colour in enumerate([(1.0, 0.7, 0.1), (0.1, 0.3, 1.0)])
)
LOSSLESS = ["--codec", "libx264rgb", "--crf", "0", "--pix-fmt", "rgb24", "--quiet"]
PICTURE = np.random.default_rng(7).integers(0, 256, (64, 96, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The paintings as files."""
    folder = tmp_path_factory.mktemp("paintings")
    found = [str(folder / f"{number}.png") for number in range(2)]
    for file, painting in zip(found, PAINTINGS, strict=True):
        cv2.imwrite(file, painting[..., ::-1])
    return found


@pytest.fixture(scope="module")
def engine() -> Iterator[AnyPaintingEngine]:
    """A network for any painting that was given two, half and half."""
    given = tuple(Painting(painting) for painting in PAINTINGS)
    made = load_engine(find_style("any"), replace(THREADS, paintings=given))
    assert isinstance(made, AnyPaintingEngine)
    yield made
    made.close()


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each run of an encoder."""
    runs: list[int] = []
    encode = PaintingEncoder.__call__

    def counted(self: PaintingEncoder, painting: Pixels) -> Any:
        runs.append(1)
        return encode(self, painting)

    monkeypatch.setattr(PaintingEncoder, "__call__", counted)
    return runs


def cues(folder: Path, *entries: dict[str, Any]) -> list[str]:
    path = folder / "cues.json"
    path.write_text(json.dumps([{"knob": "paintings", **entry} for entry in entries]))
    return ["--timeline", str(path)]


def command(clip: Path, output: Path, *options: str) -> list[str]:
    one = ["video", str(clip), str(output), "--engine", "cpu", "--threads", "1", "--end", "0.32"]
    return [*one, *LOSSLESS, *options]


def painted(clip: Path, output: Path, *options: str) -> list[np.ndarray]:
    """The frames of a run in the style for any painting."""
    assert cli.run(command(clip, output, "--style", "any", *options)) == 0
    return pictures(output)


def pictures(path: Path) -> list[np.ndarray]:
    return [frame.to_ndarray(format="rgb24") for frame in read_video(path)]


def same(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> bool:
    return len(ours) == len(theirs) > 0 and all(map(np.array_equal, ours, theirs))


# --- files


def test_a_ramp_leads_from_one_painting_to_the_other(
    clip: Path, files: list[str], encoded: list[int], tmp_path: Path
) -> None:
    one, other = files
    off = ("--temporal", "off")
    first = painted(clip, tmp_path / "first.mkv", *off, "--painting", one)
    second = painted(clip, tmp_path / "second.mkv", *off, "--painting", other)
    both = ("--painting", f"{one}:0.5", "--painting", f"{other}:0.5")
    half = painted(clip, tmp_path / "half.mkv", *off, *both)
    encoded.clear()
    turned = cues(tmp_path, {"time": 0.08, "value": [0, 1], "ramp": 0.16})
    given = ("--painting", one, "--painting", f"{other}:0")
    shown = painted(clip, tmp_path / "turned.mkv", *off, *given, *turned)
    assert len(encoded) == 2  # once for each painting, whatever is turned
    assert len(shown) == 8
    assert same(shown[:3], first[:3])
    assert np.array_equal(shown[4], half[4])
    assert same(shown[6:], second[6:])
    # and in between by and by
    way = [np.abs(shown[n].astype(int) - first[n]).mean() for n in range(2, 7)]
    assert way == sorted(way)
    assert way[0] == 0 < way[1] < way[2] < way[3] < way[4]
    assert way[4] > 5


def test_from_its_flags_to_others_and_back(clip: Path, files: list[str], tmp_path: Path) -> None:
    given = ("--temporal", "off", "--painting", files[0], "--painting", f"{files[1]}:3")
    plain = painted(clip, tmp_path / "plain.mkv", *given)
    one = painted(clip, tmp_path / "one.mkv", "--temporal", "off", "--painting", files[0])
    turned = cues(tmp_path, {"time": 0.08, "value": "5,0"}, {"time": 0.16, "value": None})
    shown = painted(clip, tmp_path / "turned.mkv", *given, *turned)
    assert same(shown[:2] + shown[4:], plain[:2] + plain[4:])
    assert same(shown[2:4], one[2:4])


@pytest.mark.parametrize(
    "options", [["--temporal", "fast"], ["--temporal", "fast", "--paint-every", "2"]]
)
def test_segments_give_what_one_piece_gives(
    options: list[str], clip: Path, files: list[str], tmp_path: Path
) -> None:
    turned = cues(tmp_path, {"time": 0.04, "value": [0, 1], "ramp": 0.2})
    given = (*options, *turned, "--painting", files[0], "--painting", f"{files[1]}:0")
    whole = painted(clip, tmp_path / "whole.mkv", *given, "--segments", "0")
    assert same(painted(clip, tmp_path / "parts.mkv", *given, "--segments", "0.12"), whole)


def test_pieces_by_several_workers_give_what_one_process_gives(
    engine: AnyPaintingEngine, tmp_path: Path
) -> None:
    turns = [Cue(Fraction(1, 2), "paintings", [0, 1], 1.5), Cue(Fraction(2), "strength", 0.6)]
    turning = Turning(Timeline(Knobs(), turns, ["any"], (1.0, 0.0)), {0: engine})
    assert turning.why_not_in_parts is None
    film = film_in(tmp_path)
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    alone(film, whole, temporal="fast", turning=turning)
    spread(film, parts, temporal="fast", turning=turning)
    assert_same(whole, parts)


def test_other_styles_of_a_run_leave_them_alone(
    clip: Path, identity: Path, files: list[str], tmp_path: Path
) -> None:
    turned = cues(tmp_path, {"time": 0.16, "value": [0, 1]})
    both = ("--painting", files[0], "--painting", files[1], *turned, "--temporal", "off")
    several = command(clip, tmp_path / "{style}.mkv", "--styles", f"{identity},any", *both)
    assert cli.run(several) == 0
    alone = painted(clip, tmp_path / "alone.mkv", *both)
    assert same(pictures(tmp_path / "any.mkv"), alone)
    plain = command(clip, tmp_path / "plain.mkv", "--style", str(identity), "--temporal", "off")
    assert cli.run(plain) == 0
    assert same(pictures(tmp_path / "identity.mkv"), pictures(tmp_path / "plain.mkv"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1], "paintings can't be [1]: give 2 weights, one for each, like 1,1"),
        ("1,2,3", "paintings can't be '1,2,3': give 2 weights"),
        (0.5, "paintings can't be 0.5: give 2 weights"),
        ([0, 0], "paintings can't be [0, 0]: give numbers from 0 up, and at least one above"),
        ([1, -1], "paintings can't be [1, -1]: give numbers from 0 up"),
        ([True, "x"], "paintings can't be [True, 'x']: give numbers from 0 up"),
    ],
)
def test_weights_that_can_not_be_are_refused_ahead(
    value: Any,
    said: str,
    clip: Path,
    files: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    turned = cues(tmp_path, {"time": 0.16, "value": value})
    given = ("--style", "any", "--painting", files[0], "--painting", files[1])
    assert cli.run(command(clip, tmp_path / "out.mkv", *given, *turned)) == 1
    assert refusal(capsys).startswith(f"error: {said}")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("styles", [["--style", "starry"], ["--styles", "starry,wave"]])
def test_styles_without_paintings_have_none_to_weigh(
    styles: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = cues(tmp_path, {"time": 0.16, "value": [1, 1]})
    assert cli.run(command(clip, tmp_path / "out{style}.mkv", *styles, *turned)) == 1
    assert refusal(capsys) == (
        "error: there are no paintings in this run to weigh: give some by --painting, and a style "
        "that takes any"
    )


def test_paintings_must_weigh_something_from_the_start(
    clip: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--style", "any", "--painting", f"{files[0]}:0")
    assert cli.run(command(clip, tmp_path / "out.mkv", *given)) == 1
    assert "give numbers from 0 up, and at least one above" in refusal(capsys)


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said, in one line."""
    return " ".join(capsys.readouterr().err.split())


# --- one network, several who paint


def test_who_shares_a_network_turns_only_their_own(engine: AnyPaintingEngine) -> None:
    wanted = [
        engine.paint(PICTURE, engine.manner(1.0, weights)) for weights in ((1, 0), (0, 1), (1, 1))
    ]
    assert np.abs(wanted[0].astype(int) - wanted[1]).mean() > 5
    one, other, third = (Stylizer(engine) for _ in range(3))
    frame = Frame(PICTURE, Fraction(0))
    for _ in range(2):
        one.turn(1.0, (1.0, 0.0))
        other.turn(1.0, (0.0, 1.0))
        shown = [stylizer.paint(frame).pixels for stylizer in (one, other, third)]
        assert same(shown, wanted)  # the last as they were given
    with pytest.raises(StylizeError, match="3 weights for 2 paintings: give one for each"):
        one.turn(1.0, (1.0, 0.0, 0.0))


def test_a_frame_that_is_painted_late_is_painted_as_knobs_stood_for_it(
    engine: AnyPaintingEngine,
) -> None:
    """As by the thread that paints key frames, while the next frames come."""

    class Late:
        def __init__(self) -> None:
            self.held: list[tuple[Frame, Callable[[Pixels], Pixels]]] = []

        def push(self, frame: Frame, paint: Callable[[Pixels], Pixels]) -> list[Frame]:
            self.held.append((frame, paint))
            return []

        def finish(self) -> list[Frame]:
            return [replace(frame, pixels=paint(frame.pixels)) for frame, paint in self.held]

    stylizer = Stylizer(engine, cast("Any", Late()))
    turns: list[tuple[float, tuple[float, ...]]] = [(1.0, (1, 0)), (1.0, (0, 1)), (0.5, (0, 1))]
    for number, (strength, weights) in enumerate(turns):
        stylizer.turn(strength, weights)
        stylizer.push(Frame(PICTURE, Fraction(number)))
    shown = [frame.pixels for frame in stylizer.finish()]
    assert same(shown, [engine.paint(PICTURE, engine.manner(*turn)) for turn in turns])


# --- a key


def test_a_key_turns_a_live_picture_to_each_painting_alone_and_back(
    engine: AnyPaintingEngine, files: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    still = tmp_path / "still.mp4"
    write_video(still, 25, (96, 64), Fraction(25), draw=lambda _: PICTURE)
    seen = read_video(still)[0].to_ndarray(format="rgb24")
    mix, *alone = (engine.paint(seen, engine.manner(1, w)) for w in ((1, 1), (1, 0), (0, 1)))
    assert min(np.abs(mix.astype(int) - other).mean() for other in alone) > 4
    keys = [(mix, "w"), (alone[0], "w"), (alone[1], "w"), (mix, "q")]

    class Watched(webcam.Live):
        """Presses each key when what it waits for is shown."""

        def run(self, *given: Any, **more: Any) -> Any:
            self.read_key = self.pressed
            return super().run(*given, **more)

        def pressed(self) -> str | None:
            shown = self.snapshot
            if shown is None or not keys or np.abs(shown - keys[0][0].astype(int)).mean() > 2:
                return None
            return keys.pop(0)[1]

    monkeypatch.setattr(webcam, "Live", Watched)
    paintings = [f"--painting={file}" for file in files]
    command = ["webcam", str(still), "--loop", "--style", "any", "--temporal", "off", *paintings]
    command += ["--engine", "cpu", "--threads", "1", "--budget", "off"]
    record = ["--no-window", "--record", str(tmp_path / "live.mkv"), "--seconds", "60"]
    assert cli.run([*command, *record]) == 0
    assert not keys
    said = [line for line in capsys.readouterr().err.splitlines() if "painting" in line]
    assert said == ["painting 1 of 2", "painting 2 of 2", "all paintings, as given"]


# --- the server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose styles are one for any painting, and two others."""
    given = [Painting(PAINTINGS[0]), Painting(PAINTINGS[1], 3.0)]
    looks = {"any": Path("any"), **two_looks(tmp_path_factory.mktemp("looks"))}
    with running(looks, paintings=given) as made:
        yield made


class Sender:
    """Sends one picture again and again, and gets it painted."""

    def __init__(self, server: Running) -> None:
        self.house = server.house
        self.stream: Stream = self.house.open()
        self.path = f"/api/streams/{self.stream.name}/knobs"
        self._shown: queue.Queue[Painted] = queue.Queue()
        self.stream.on_painted = self._shown.put

    def next(self) -> np.ndarray:
        """The next frame as it is shown."""
        self.house.put(self.stream, Arrived(lambda: PICTURE, Fraction(0), time.monotonic()))
        return self._shown.get(timeout=30).shown.frame.pixels

    def close(self) -> None:
        self.house.close(self.stream, "done")


@pytest.fixture
def senders(server: Running) -> Iterator[list[Sender]]:
    made = [Sender(server), Sender(server)]
    yield made
    for sender in made:
        sender.close()


def test_weights_count_from_the_next_frame_on_for_one_stream_alone(
    server: Running, senders: list[Sender], engine: AnyPaintingEngine, encoded: list[int]
) -> None:
    def wanted(*weights: float) -> np.ndarray:
        return engine.paint(PICTURE, engine.manner(1.0, weights))

    one, other = senders
    assert server.json(one.path)["paintings"] == [0.25, 0.75]
    assert same([one.next(), other.next()], [wanted(1, 3)] * 2)
    encoded.clear()
    assert server.json(one.path, "PATCH", {"paintings": [1, 0]})["paintings"] == [1, 0]
    assert same([one.next(), other.next()], [wanted(1, 0), wanted(1, 3)])
    server.json(other.path, "PATCH", {"paintings": "1,1"})
    assert same([one.next(), other.next()], [wanted(1, 0), wanted(1, 1)])
    server.json(one.path, "PATCH", {"paintings": None})
    assert same([one.next(), other.next()], [wanted(1, 3), wanted(1, 1)])
    assert not encoded


@pytest.mark.parametrize("value", [[1], [1, 2, 3], [0, 0], [1, -1], [1, "x"], {}, "1", True, 7])
def test_weights_that_no_server_takes_end_nothing(
    value: Any, server: Running, senders: list[Sender]
) -> None:
    sender = senders[0]
    before = sender.next()
    content = json.dumps({"strength": 0.5, "paintings": value}).encode()
    status, data, _ = server.ask(sender.path, "PATCH", content)
    assert status == 400
    assert json.loads(data)["error"].startswith(f"paintings can't be {value!r}: give ")
    assert np.array_equal(sender.next(), before)


def test_a_picture_of_somebodys_own_is_no_painting_of_the_run(
    server: Running, senders: list[Sender], engine: AnyPaintingEngine
) -> None:
    name = server.house.gallery.add(PAINTINGS[1])
    sender = senders[0]
    server.json(sender.path, "PATCH", {"style": name, "paintings": [1, 0]})
    sender.next()  # while the style is loaded, the one before goes on
    wanted = engine.paint(PICTURE, engine.manner(1.0, (0, 1)))
    end = time.monotonic() + 30
    while not np.array_equal(sender.next(), wanted):
        assert time.monotonic() < end
    server.json(sender.path, "PATCH", {"style": "swap"})  # nor does it matter to this one
    while not np.array_equal(sender.next(), PICTURE[..., ::-1]):
        assert time.monotonic() < end


def test_by_ctl(server: Running, senders: list[Sender], capsys: pytest.CaptureFixture[str]) -> None:
    shared = ["--url", server.url, "--stream", senders[1].stream.name]
    assert cli.run(["ctl", "paintings", "0.2,0.8", *shared]) == 0
    assert capsys.readouterr().out == "paintings  [0.2, 0.8]\n"
    assert cli.run(["ctl", "paintings", "none", *shared]) == 0
    assert capsys.readouterr().out == "paintings  [0.25, 0.75]\n"
    assert cli.run(["ctl", "paintings", "0.2", *shared]) == 1
    assert "paintings can't be 0.2: give 2 weights" in refusal(capsys)


def test_the_document_tells_how_many_weights(server: Running) -> None:
    schemas = server.json("/api/openapi.json")["components"]["schemas"]
    found = schemas["Changes"]["properties"]["paintings"]
    assert found["type"] == ["array", "null"]
    assert found["minItems"] == found["maxItems"] == 2
