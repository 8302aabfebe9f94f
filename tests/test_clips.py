"""Real clips through the program: every frame and its time, the sound and the length are kept."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media import frame_times, packets

from stylize_video.realtime import cli
from stylize_video.realtime.catalogue import CATALOGUE

CLIPS = [
    "cg_bigbuckbunny_audio_1280x720.mp4",
    "person_dog_fast_motion_audio_1280x720.mp4",
    "person_facing_camera_static_from_gif_480x270.mp4",
    "person_signing_static_640x480.mkv",
    "portrait_outdoor_pedestrians_audio_540x960.mp4",
    "sport_ball_juggling_pan_1280x720.mp4",
    "sport_basketball_pan_426x240.mp4",
    "street_handheld_hard_cuts_640x272.mp4",
    "talking_head_audio_512x512.mp4",
]
TICK_S = Fraction(1, 1000)


def duration_s(path: Path) -> float:
    with av.open(str(path)) as container:
        return container.duration / av.time_base


def sound_tracks(path: Path) -> int:
    with av.open(str(path)) as container:
        return len(container.streams.audio)


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("style", ["identity", pytest.param("fast", marks=pytest.mark.slow)])
def test_a_clip_keeps_its_frames_times_sound_and_length(
    name: str, style: str, data: Callable[[str], Path], identity: Path, tmp_path: Path
) -> None:
    source = data(f"clips/dev/{name}")
    target = tmp_path / f"painted{source.suffix}"
    chosen = str(identity) if style == "identity" else fast_style()
    assert cli.run(["video", str(source), str(target), "--style", chosen, "--quiet"]) == 0
    before, after = frame_times(source), frame_times(target)
    assert len(after) == len(before)
    # MP4 ticks are finer than any source's, Matroska's are milliseconds
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) <= TICK_S / 2
    assert duration_s(target) == pytest.approx(duration_s(source), abs=0.05)
    assert sound_tracks(target) == sound_tracks(source)
    for track in range(sound_tracks(source)):
        original, copied = packets(source, "audio", track), packets(target, "audio", track)
        assert [p[2] for p in copied] == [p[2] for p in original]
        for (time, *_), (was, *_) in zip(copied, original, strict=True):
            assert abs(time - was) <= TICK_S


def fast_style() -> str:
    """A style of the smallest tier."""
    return str(next(card.parent for card in sorted(CATALOGUE.glob("*-fast/style.json"))))
