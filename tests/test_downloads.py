"""Weights that are fetched: checked, kept, told, and one line where they can't be."""

import hashlib
import http.server
import io
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from stylize_video.export import features
from stylize_video.export.errors import FeaturesError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """An address that gives some bytes. Beside it: short.pth breaks off half-way, stalled.pth goes
    quiet there, chunked.pth breaks off too and never said how much there is, odd.pth says nonsense.
    """
    content = b"w" * 3_000_000
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            name = self.path.lstrip("/")
            if name not in ("w.pth", "short.pth", "stalled.pth", "chunked.pth", "odd.pth"):
                self.send_error(404)
                return
            self.send_response(200)
            if name == "chunked.pth":
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", "x" if name == "odd.pth" else str(len(content)))
            self.end_headers()
            if name == "chunked.pth":
                self.wfile.write(b"%x\r\n" % len(content))
            self.wfile.write(content if name == "w.pth" else content[: len(content) // 2])
            if name == "stalled.pth":
                over.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/w.pth", content
    over.set()
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_a_download_is_checked_and_kept(server: tuple[str, bytes], tmp_path: Path) -> None:
    url, content = server
    seen: list[tuple[int, int]] = []
    download = features.Download(url, hashlib.sha256(content).hexdigest())
    path = features.fetch(download, tmp_path / "cache", lambda *p: seen.append(p))
    assert path.read_bytes() == content
    assert seen[-1] == (len(content), len(content))
    unreachable = features.Download("http://127.0.0.1:9/w.pth", download.sha256)
    assert features.fetch(unreachable, tmp_path / "cache") == path
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["w.pth"]


def test_a_wrong_download_is_thrown_away(server: tuple[str, bytes], tmp_path: Path) -> None:
    url, _ = server
    with pytest.raises(FeaturesError, match="is not the file expected: its sha256 is"):
        features.fetch(features.Download(url, "0" * 64), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_download_cut_short_is_fetched_again(server: tuple[str, bytes], tmp_path: Path) -> None:
    url, content = server
    (tmp_path / "w.pth").write_bytes(content[:1000])
    download = features.Download(url, hashlib.sha256(content).hexdigest())
    assert features.fetch(download, tmp_path).read_bytes() == content


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/w.pth", "{server}/missing.pth"])
def test_no_network_is_one_line(url: str, server: tuple[str, bytes], tmp_path: Path) -> None:
    address = url.format(server=server[0].rpartition("/")[0])
    with pytest.raises(FeaturesError, match="fetch it by other means and give its path"):
        features.fetch(features.Download(address, "0"), tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("short.pth", "it broke off after 1500000 of 3000000 bytes"),
        ("stalled.pth", "timed out"),
        ("chunked.pth", "IncompleteRead"),
        ("odd.pth", "invalid literal"),
    ],
)
def test_a_download_that_breaks_off_is_one_line_and_leaves_nothing(
    name: str,
    said: str,
    server: tuple[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features, "_TIMEOUT_S", 0.5)
    url = f"{server[0].rpartition('/')[0]}/{name}"
    with pytest.raises(FeaturesError, match="fetch it by other means and give its path") as caught:
        features.fetch(features.Download(url, "0"), tmp_path / "cache")
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/deeper", "taken"])
def test_a_cache_that_can_not_be_written_is_one_line(
    place: str, server: tuple[str, bytes], tmp_path: Path
) -> None:
    url, content = server
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "taken" / "w.pth").mkdir(parents=True)
    download = features.Download(url, hashlib.sha256(content).hexdigest())
    said = f"weights can't be kept in {tmp_path / place} ("
    with pytest.raises(FeaturesError, match=re.escape(said)) as caught:
        features.fetch(download, tmp_path / place)
    assert "set XDG_CACHE_HOME to one" in str(caught.value)
    assert (tmp_path / "file").read_text() == "in the way"
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["w.pth"]


class Terminal(io.StringIO):
    """A stream that passes for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_a_download_tells_a_terminal_how_far_it_is(
    terminal: bool, server: tuple[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, content = server
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    features.fetch(features.Download(url, hashlib.sha256(content).hexdigest()), tmp_path)
    if not terminal:
        assert stream.getvalue() == ""
        return
    # one line, gone over again and again, and ended once
    start, *told = stream.getvalue().split("\r")
    assert start == ""
    assert told[-1] == "fetching w.pth: 3 of 3 MB\n"
    assert all(re.fullmatch(r"fetching w\.pth: \d of 3 MB", line) for line in told[:-1])


def test_below_a_bar_a_download_is_told_in_whole_lines(
    server: tuple[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under the bar of `stylize train`, which is on the terminal when weights are fetched."""
    url, content = server
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    with Progress(console=console, auto_refresh=False) as bar:
        bar.add_task("training", total=10)
        features.fetch(features.Download(url, hashlib.sha256(content).hexdigest()), tmp_path)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n").split("\n")
    told = [line.strip() for line in lines if "fetching" in line]
    assert told[-1] == "fetching w.pth: 3 of 3 MB"
    assert 1 <= len(told) <= 10
    assert all(re.fullmatch(r"fetching w\.pth: \d of 3 MB", line) for line in told)


def test_the_cache_lies_where_caches_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert features.cache_folder() == tmp_path / "stylize-video"
