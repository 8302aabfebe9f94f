"""The budget of a frame's time: painting gets smaller when it is spent, and comes back slowly."""

from collections.abc import Iterator
from itertools import pairwise

from stylize_video.realtime.budget import SCALES, Budget


def spend(budget: Budget, cost: float, frames: int) -> Iterator[float]:
    """Painting that takes `cost` seconds at full size, less by the pixels that are left out."""
    for _ in range(frames):
        budget.took(cost * budget.scale**2)
        yield budget.scale


def test_a_budget_gets_smaller_once_and_stays() -> None:
    said: list[str] = []
    budget = Budget(1 / 30, said.append)
    scales = list(spend(budget, 0.05, 3000))
    assert scales[0] == 1.0
    assert scales[-1] ** 2 * 0.05 < 1 / 30
    changes = sum(a != b for a, b in pairwise(scales))
    assert changes == len(said) == 1
    assert "frames are now painted at 70% of their size" in said[0]


def test_a_budget_comes_back_slowly_when_there_is_time() -> None:
    budget = Budget(1 / 30)
    list(spend(budget, 0.2, 100))
    assert budget.scale == SCALES[-1]
    scales = list(spend(budget, 0.01, 2000))
    assert scales[120] == SCALES[-1]
    assert scales[-1] == 1.0


def test_a_hiccup_changes_nothing() -> None:
    budget = Budget(1 / 30)
    for n in range(900):
        budget.took(0.4 if n % 10 == 0 else 0.02)
    assert budget.scale == 1.0
