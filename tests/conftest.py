"""What every test shares: where the test data lies, small media, and no leaked threads."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from media import identity_model, write_video
from safetensors.torch import save_file

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STYLIZE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
REQUIRED = os.environ.get("STYLIZE_REQUIRE_TEST_DATA") == "1"

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores. With as many threads as there are cores in each of them, torch's
    # threads wait for ones that have no core, and spin: its tests take twice to ten times as long.
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for programs that tests start, too
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    """The path of a test file or folder by its name under the data folder.

    Real clips, broken media, photos and encoder weights are not part of the project. Without them
    their tests are skipped, unless STYLIZE_REQUIRE_TEST_DATA=1 says that they must be there.
    """

    def find(name: str) -> Path:
        path = DATA / name
        if path.exists():
            return path
        reason = f"no test data {path}: point STYLIZE_TEST_DATA at the folder that holds it"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)

    return find


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX model in the form of our own styles that gives back its input."""
    path = tmp_path_factory.mktemp("models") / "identity.onnx"
    path.write_bytes(identity_model())
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 160x96 video at 25 frames a second, with a stereo sound track."""
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    return write_video(path, 50, (160, 96), Fraction(25), audio=True)


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """No test may leave a thread of ours running."""
    before = set(threading.enumerate())
    yield
    left = [t.name for t in set(threading.enumerate()) - before if t.name.startswith("stylize")]
    assert not left, f"threads left running: {left}"


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """No test may leave other handlers of signals: the next one's Ctrl-C would end all tests."""
    both = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in both]
    yield
    assert [signal.getsignal(number) for number in both] == before


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Tests that draw at random draw the same every time."""
    np.random.seed(0)  # noqa: NPY002 - third-party code draws from the global generator


@pytest.fixture(scope="session")
def styles() -> list[str]:
    """The styles of one painting in the catalogue, the lightest first, by id."""
    from stylize_video.realtime import all_styles

    found = [style for style in all_styles() if style.encoder is None]
    assert found, "the catalogue is empty"
    order = {"fast": 0, "balanced": 1, "fine": 2}
    return [s.card.id for s in sorted(found, key=lambda s: order[s.card.tier])]


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A painting, photos, and a small loss network with VGG's names and random weights."""
    folder = tmp_path_factory.mktemp("material")
    random = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for index in range(6):
        coarse = random.integers(0, 256, (9, 12, 3)).astype(np.uint8)
        photo = cv2.resize(coarse, (160, 130), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "photos" / f"{index}.jpg"), photo)
    stripes = 127 + 120 * np.sin(np.mgrid[0:200, 0:240].sum(0) / 3)
    painting = np.dstack([stripes, 255 - stripes, np.full_like(stripes, 40)]).astype(np.uint8)
    cv2.imwrite(str(folder / "painting.png"), painting)
    torch.manual_seed(1)
    weights, inputs = {}, 3
    for name, outputs in (("1_1", 8), ("1_2", 8), ("2_1", 12), ("2_2", 12), ("3_1", 16)):
        weights[f"conv{name}.weight"] = (
            torch.randn(outputs, inputs, 3, 3) * (2 / (9 * inputs)) ** 0.5
        )
        weights[f"conv{name}.bias"] = torch.zeros(outputs)
        inputs = outputs
    save_file(weights, folder / "features.safetensors")
    return {
        "painting": folder / "painting.png",
        "photos": folder / "photos",
        "features": folder / "features.safetensors",
    }
