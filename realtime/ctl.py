"""`stylize ctl`: turns the knobs of a running `stylize serve` from a shell."""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from .errors import SinkOpenError, StylizeError

TOKEN_VARIABLE: Final = "STYLIZE_TOKEN"
_TIMEOUT_S: Final = 10.0
_MOST: Final = 64 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "what",
        nargs="?",
        default="knobs",
        help="knobs (all of them, the default), styles, streams, snapshot, painting, or a knob: "
        "style, mix, paintings, strength, colours, stroke, mirror, freeze, blackout, divider, mask",
    )
    parser.add_argument(
        "value",
        nargs="?",
        help="what to turn the knob to, like 0.6, starry:0.6,wave:0.4 for mix and 0.2,0.8 for "
        "paintings, none for those that can be off; a file for snapshot and painting",
    )
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:8080",
        help="where the server is (default: %(default)s); its token is taken from "
        f"{TOKEN_VARIABLE}",
    )
    parser.add_argument(
        "--stream", default="stage", help="whose knobs; stage is what overlays show (the default)"
    )


def run(options: argparse.Namespace) -> int:
    """Do one thing. Raises `StylizeError`s."""
    if urlsplit(options.url).scheme not in ("http", "https"):
        raise StylizeError(f"{options.url} is no address of a server: give http://HOST:PORT")
    server = _Server(options.url, os.environ.get(TOKEN_VARIABLE))
    stream = f"/api/streams/{quote(options.stream, safe='')}"
    what, value = options.what, options.value
    if what in ("styles", "streams"):
        for entry in server.json("GET", f"/api/{what}"):
            text = entry.get("description") or json.dumps(entry["stats"])
            sys.stdout.write(f"{entry['name']}  {text}\n")
    elif what == "snapshot":
        path = Path(value or "snapshot.png")
        _write_new(path, server.request("GET", f"{stream}/snapshot"))
        sys.stdout.write(f"{path}\n")
    elif what == "painting":
        if value is None:
            raise StylizeError("give the picture to make a style of: stylize ctl painting FILE")
        answer = server.json("POST", "/api/paintings", *_picture(Path(value)))
        server.json("PATCH", f"{stream}/knobs", _encoded({"style": answer["style"]}))
        sys.stdout.write(f"{answer['style']}\n")
    elif value is None:
        knobs = server.json("GET", f"{stream}/knobs")
        if what != "knobs" and what not in knobs:
            raise StylizeError(f"there is no knob {what!r}: give one of {', '.join(knobs)}")
        found = knobs if what == "knobs" else {what: knobs[what]}
        for name, state in found.items():
            sys.stdout.write(f"{name}  {json.dumps(state)}\n")
    else:
        knobs = server.json("PATCH", f"{stream}/knobs", _encoded({what: _value(what, value)}))
        sys.stdout.write(f"{what}  {json.dumps(knobs[what])}\n")
    return 0


def _value(knob: str, text: str) -> Any:
    """What a word stands for."""
    words = {"on": True, "off": False, "true": True, "false": False, "none": None}
    if knob == "mask":
        return text
    if text in words:
        return words[text]
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text


def _picture(path: Path) -> tuple[bytes, str]:
    kinds = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise StylizeError(f"{path} is no PNG, JPEG or WebP by its name")
    try:
        return path.read_bytes(), f"image/{kind}"
    except OSError as error:
        raise StylizeError(f"{path} can't be read: {error.strerror}") from error


def _write_new(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.part")
    if path.exists():
        raise SinkOpenError(f"{path} exists: give another name")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SinkOpenError(f"{path} can't be written: {error.strerror}") from error


def _encoded(content: Any) -> bytes:
    return json.dumps(content).encode()


class _Server:
    """Speaks to the API."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url, self._token = url.rstrip("/"), token
        # what is asked of this machine goes to it, whatever proxy there is
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def json(self, method: str, path: str, *body: Any) -> Any:
        return json.loads(self.request(method, path, *body))

    def request(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> bytes:
        headers = {"Content-Type": kind} if body is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self._url + path, body, headers, method=method)
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                data: bytes = answer.read(_MOST)
                return data
        except urllib.error.HTTPError as error:
            with error:
                raise StylizeError(_reason(error.read(4096), error.reason)) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise StylizeError(
                f"{self._url} does not answer: {reason}; is `stylize serve` running there?"
            ) from error


def _reason(body: bytes, otherwise: str) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server refused: {otherwise}"
