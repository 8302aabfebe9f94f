"""A run stopped at any moment goes on as if it had not been."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from methods_tools import same

from stylize_video.export import losses
from stylize_video.export._interrupts import held
from stylize_video.export.errors import TrainingError
from stylize_video.export.train import read_config, train

METHODS = ["perceptual", "arbitrary", "adversarial"]


class AtCheck:
    """Does something when the losses of a step are checked: in its middle."""

    def __init__(self, step: int, act: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left, self._act, self._real = step, act, losses.finite
        monkeypatch.setattr(losses, "finite", self)

    def __call__(self, terms: dict[str, torch.Tensor]) -> bool:
        self._left -= 1
        if self._left == 0:
            self._act()
        return self._real(terms)


def interrupt() -> None:
    raise KeyboardInterrupt


def lost() -> None:
    raise MemoryError


def steps_in(folder: Path) -> int:
    return int(torch.load(folder / "checkpoint.pt", weights_only=True)["step"])


def equal_runs(one: Path, other: Path) -> bool:
    """Whether two finished runs learned the same, bit for bit."""
    states = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (one, other)]
    curves = [
        json.loads((folder / "training.json").read_text())["curve"] for folder in (one, other)
    ]
    names = [name for name in states[0] if name not in ("config", "curve")]
    return curves[0] == curves[1] and all(same(states[0][n], states[1][n]) for n in names)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("act", [interrupt, lost])
def test_a_run_broken_off_within_a_step_goes_on_bit_for_bit(
    method: str,
    act: Any,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = request.getfixturevalue(method)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole, device="cpu", checkpoint_every=3)
    # an adversarial step checks the losses of its discriminator first
    AtCheck(9 if method == "adversarial" else 5, act, monkeypatch)
    with pytest.raises((KeyboardInterrupt, MemoryError)):
        train(config, parts, device="cpu", checkpoint_every=3)
    assert steps_in(parts) == 3  # what is half done is not kept
    train(read_config(parts), parts, device="cpu", checkpoint_every=3, resume=True)
    assert equal_runs(whole, parts)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_behind_the_step_in_work(
    number: signal.Signals,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = request.getfixturevalue("adversarial")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole, device="cpu")
    before = signal.signal(number, signal.default_int_handler)
    try:
        AtCheck(3, lambda: os.kill(os.getpid(), number), monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            train(config, parts, device="cpu")
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    # two losses are checked a step, those of the discriminator too
    assert steps_in(parts) == 2
    record = json.loads((parts / "training.json").read_text())
    assert len(record["curve"]) == 2
    assert record["precision"] == "float32"
    assert set(record["versions"]) == {"stylize-video", "python", "torch"}
    train(read_config(parts), parts, device="cpu", resume=True)
    assert equal_runs(whole, parts)


def test_a_run_killed_before_its_first_checkpoint_goes_on(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = request.getfixturevalue("perceptual")
    AtCheck(1, lost, monkeypatch)
    with pytest.raises(MemoryError):
        train(config, tmp_path / "run", device="cpu")
    assert steps_in(tmp_path / "run") == 0
    assert train(config, tmp_path / "run", device="cpu", resume=True).step == config.steps


def test_a_second_signal_stops_at_once_and_others_are_left_alone() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    ignored = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with held() as signals:
            assert not signals.came
            os.kill(os.getpid(), signal.SIGINT)
            assert signals.came
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, ignored)


def test_outside_the_main_thread_nothing_is_held() -> None:
    found: list[bool] = []

    def hold() -> None:
        with held() as signals:
            found.append(signals.came)

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join(10)
    assert found == [False]


def test_checkpoints_need_a_distance(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="a checkpoint every 0 steps: give 1 or more"):
        train(request.getfixturevalue("perceptual"), tmp_path, checkpoint_every=0)
