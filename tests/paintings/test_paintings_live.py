"""The paintings of a run, turned while it goes on: by a key, from outside, for one stream alone."""

import json
import queue
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import read_video, write_video
from paintings_tools import PAINTINGS, PICTURE, refusal, same
from web_tools import Running, running, two_looks

from stylize_video.realtime import cli, webcam
from stylize_video.realtime.engines.any_painting import (
    AnyPaintingEngine,
    Painting,
)
from stylize_video.realtime.web.room import Arrived, Painted, Stream

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
