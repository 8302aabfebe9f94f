"""The sample clip: what it holds, and that its script draws it again."""

import itertools
from pathlib import Path
from types import ModuleType

import av
import cv2
import numpy as np
import pytest
from media import load_script

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SAMPLES / "make_samples.py")


def test_samples_are_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.iterdir() if path.is_file()) < 3_000_000


def test_the_clip_moves_is_cut_and_sounds() -> None:
    with av.open(str(SAMPLES / "walk.mp4")) as container:
        (video,), (audio,) = container.streams.video, container.streams.audio
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video)]
        container.seek(0)
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio)])
    assert len(frames) == 200
    steps = np.array([np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(frames)])
    assert int(steps.argmax()) == 124  # the cut, five seconds in
    assert steps.max() > 5 * np.sort(steps)[-2]
    assert np.median(steps) > 0.3  # and it moves all the time
    assert np.abs(sound).max() > 0.05


def test_the_script_draws_what_lies_there(script: ModuleType) -> None:
    still = cv2.imread(str(SAMPLES / "portrait.jpg"))
    drawn = script.Portrait().draw(30 / script.RATE)
    small = cv2.resize(drawn, (script.WIDTH, script.HEIGHT), interpolation=cv2.INTER_AREA)
    difference = small[:, :, ::-1] - still
    # noise of the grain and of JPEG is all that may lie between
    assert float(np.sqrt((difference**2).mean())) < 5
    assert script.tune().shape == (1, script.AUDIO_RATE * script.SECONDS)


def test_the_knobs_show_what_lies_there() -> None:
    kept = cv2.imread(str(SAMPLES / "knobs.jpg"))
    drawn = load_script(SAMPLES / "make_knobs.py").sheet()
    assert kept is not None
    assert drawn.shape == kept.shape
    # engines differ in a few levels, and the file is a JPEG
    assert float(np.sqrt(((drawn.astype(float) - kept) ** 2).mean())) < 10
