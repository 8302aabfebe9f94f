"""Styles are found by name, folder or file, and are what their cards vouch for."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from media import identity_model

from stylize_video.realtime import cli
from stylize_video.realtime._gallery import write_gallery
from stylize_video.realtime.catalogue import Style, StyleCard, all_styles, find_style, load_style
from stylize_video.realtime.errors import StyleCorrupt, StyleNotFound


def make_style(folder: Path, name: str = "plain", **changes: Any) -> Path:
    """A style folder whose network is the identity."""
    home = folder / name
    home.mkdir(parents=True)
    content = identity_model()
    (home / f"{name}.onnx").write_bytes(content)
    card = {
        "id": name,
        "title": "Plain",
        "description": "leaves everything as it is",
        "tier": "fast",
        "stride": 8,
        "files": {"fp32": {"file": f"{name}.onnx", "sha256": hashlib.sha256(content).hexdigest()}},
        **changes,
    }
    (home / "style.json").write_text(json.dumps(card))
    return home


def test_by_name_by_folder_and_by_file(tmp_path: Path) -> None:
    home = make_style(tmp_path)
    for style in (
        find_style("plain", tmp_path),
        find_style(str(home), tmp_path),
        find_style(str(home / "plain.onnx"), tmp_path),
    ):
        assert style.card.id == "plain"
        assert style.card.stride == 8
        assert style.read("fp32") == identity_model()


def test_a_file_alone_is_a_style(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(identity_model())
    style = find_style(str(path))
    assert (style.card.id, style.card.stride) == ("mine", 1)
    assert style.read("int8") == identity_model()


def test_all_of_them_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        make_style(tmp_path, name)
    assert [s.card.id for s in all_styles(tmp_path)] == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["nobody", "no.onnx", "../plain", "", "."])
def test_names_of_nothing(name: str, tmp_path: Path) -> None:
    make_style(tmp_path)
    with pytest.raises(StyleNotFound):
        find_style(name, tmp_path / "catalogue")


@pytest.mark.parametrize("where", ["catalogue", "file"])
def test_a_changed_file_is_refused(where: str, tmp_path: Path) -> None:
    home = make_style(tmp_path)
    model = home / "plain.onnx"
    model.write_bytes(model.read_bytes() + b"\x00")
    style = find_style("plain" if where == "catalogue" else str(model), tmp_path)
    with pytest.raises(StyleCorrupt, match=r"sha256 \w{12}…, expected \w{12}…"):
        style.read("fp32")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    home = make_style(tmp_path)
    (home / "plain.onnx").unlink()
    with pytest.raises(StyleNotFound, match="can't be read"):
        find_style("plain", tmp_path).read("fp32")


@pytest.mark.parametrize("name", ["../other.onnx", "/etc/passwd", "sub/x.onnx"])
def test_cards_name_files_of_their_own_folder_only(name: str, tmp_path: Path) -> None:
    home = make_style(tmp_path, files={"fp32": {"file": name, "sha256": "0" * 64}})
    with pytest.raises(StyleCorrupt, match="outside its folder"):
        load_style(home)


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    home = make_style(tmp_path)
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (home / "plain.onnx").unlink()
    (home / "plain.onnx").symlink_to(secret)
    with pytest.raises(StyleCorrupt, match="outside its folder"):
        load_style(home)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"id": "a", "files": {}}',
        '{"id": 3, "title": "", "description": "", "files": {"fp32": {"file": "a", "sha256": ""}}}',
        '{"files": {"fp32": "a.onnx"}}',
        '{"files": 7}',
        "x" * (2 << 20),
    ],
)
def test_cards_that_are_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "style.json").write_text(content)
    with pytest.raises(StyleCorrupt, match="is not a style card"):
        load_style(tmp_path)


def test_the_list_has_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    styles = [style.card.id for style in all_styles()]
    assert cli.run(["styles"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(styles)
    assert all(len(line.split()) > 4 for line in lines)
    assert cli.run(["styles", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [s["id"] for s in document] == sorted(styles)
    assert all(Path(file).is_file() for s in document for file in s["files"].values())


def test_a_wrong_sum_stops_the_program_in_one_line(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = make_style(tmp_path, files={"fp32": {"file": "plain.onnx", "sha256": "0" * 64}})
    target = tmp_path / "out.mp4"
    assert cli.run(["video", str(clip), str(target), "--style", str(home)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "is not the file its card vouches for" in line
    assert not target.exists()


def test_the_gallery_is_one_page_that_needs_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "gallery.html"
    assert cli.run(["styles", "--html", str(target)]) == 0
    page = target.read_text(encoding="utf-8")
    for style in all_styles():
        assert f"<code>{style.card.id}</code>" in page
    assert page.count("<img alt=") == len(all_styles())
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert cli.run(["styles", "--html", str(tmp_path / "none" / "x.html")]) == 1
    assert "can't be written" in capsys.readouterr().err


def test_a_card_can_not_write_into_the_page(tmp_path: Path) -> None:
    card = StyleCard(id="<b>", title="<script>alert(1)</script>", description='"&')
    write_gallery([Style(card, {})], tmp_path / "x.html")
    assert "<script" not in (tmp_path / "x.html").read_text()
