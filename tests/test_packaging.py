"""The wheel: installed beside the other `realtime` of the index, it paints; nothing is missing."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from stylize_video.realtime import all_styles

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


def run(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from what git would hand out, so that no stray file of a checkout helps."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    source.mkdir()
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in listed.splitlines():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            target.write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "-o", folder, source)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_one_import_name_and_every_style(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.partition("/")[0] for n in names} == {
        "stylize_video",
        f"{wheel.name.split('-')[0]}-{wheel.name.split('-')[1]}.dist-info",
    }
    for style in all_styles():
        for file in style.files.values():
            assert f"stylize_video/models/{style.card.id}/{file.path.name}" in names
        assert f"stylize_video/models/{style.card.id}/style.json" in names
    for page in (ROOT / "realtime" / "web" / "static").iterdir():
        assert f"stylize_video/realtime/web/static/{page.name}" in names
    assert "stylize_video/realtime/py.typed" in names
    assert wheel.stat().st_size < 40_000_000


def test_installed_beside_the_other_realtime_it_paints(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    # what the wheel depends on is here already; only its own files must come from it
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(packages) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    run(python, "-m", "pip", "install", "--no-deps", "-q", wheel)
    run(python, "-m", "pip", "install", "-q", "realtime==2.34.1")
    where = run(
        python, "-c",
        "import realtime, stylize_video.realtime as ours; print(realtime.__file__, ours.__file__)",
        cwd=tmp_path,
    ).split()  # fmt: skip
    assert all(str(home) in place for place in where)
    assert where[0] != where[1]
    program = python.parent / "stylize-video"
    run(program, ROOT / "samples" / "walk.mp4", tmp_path / "painted.mp4", "--end", "0.4")
    assert (tmp_path / "painted.mp4").stat().st_size > 1000
    said = run(python.parent / "stylize", "styles")
    assert len(said.splitlines()) == len(all_styles())
