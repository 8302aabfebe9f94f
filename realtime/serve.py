"""`stylize serve`: a webcam page, an overlay for OBS, and control from outside."""

import argparse
import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ._arguments import add_engine, engine_request
from ._looks import (
    Looks,
    add_look,
    add_more_styles,
    more_styles,
    parse_fade,
    read_looks,
    read_masker,
)
from ._optional import require
from ._options import parse_count, parse_size
from .catalogue import Style, all_styles
from .engines import Engine
from .engines.any_painting import Painting
from .engines.choose import load_engine, usable_cores
from .errors import StylizeError
from .sources._opening import LiveOptions
from .sources.live import LiveSource
from .tiers import stage_for

if TYPE_CHECKING:
    from ssl import SSLContext

    from .web.networks import Networks

_TIERS: Final = ("off", "fast", "quality")
TOKEN_VARIABLE: Final = "STYLIZE_TOKEN"
DEFAULT_PORT: Final = 8080
_PURPOSE: Final = "stylize serve"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on (default: %(default)s, this machine only); any other demands a "
        f"token, which is printed, or taken from {TOKEN_VARIABLE}",
    )
    parser.add_argument(
        "--port",
        type=parse_port,
        default=DEFAULT_PORT,
        metavar="N",
        help="port to listen on, 0 for any (default: %(default)s)",
    )
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        help="paint this for overlays and feeds, as `stylize webcam` does: a camera by its number, "
        "test:, an address or a file; without it they show the camera of the page",
    )
    parser.add_argument("--loop", action="store_true", help="play a file again and again")
    parser.add_argument(
        "--size",
        type=parse_size,
        default=(None, None),
        metavar="WxH",
        help="scale the source to this size; 1280x or x720 keeps the aspect",
    )
    doors = parser.add_argument_group("who may come in")
    doors.add_argument(
        "--tls",
        action="store_true",
        help="encrypt, by a certificate made on the spot, or by --cert and --key; browsers give "
        "their camera to other machines only so",
    )
    doors.add_argument("--cert", type=Path, metavar="FILE", help="a certificate, PEM")
    doors.add_argument("--key", type=Path, metavar="FILE", help="its key, PEM")
    doors.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which browsers ask for this server; repeatable",
    )
    doors.add_argument(
        "--peers",
        type=parse_count,
        default=4,
        metavar="N",
        help="cameras that are painted at once (default: %(default)s)",
    )
    doors.add_argument(
        "--max-pixels",
        type=parse_count,
        default=1280 * 720,
        metavar="N",
        help="refuse larger frames (default: %(default)s)",
    )
    add_look(parser)
    add_more_styles(parser)
    parser.add_argument(
        "--temporal",
        choices=_TIERS,
        default="fast",
        help="how frames are kept steady in time (default: %(default)s)",
    )
    parser.add_argument(
        "--fade",
        type=parse_fade,
        default=0.4,
        metavar="SECONDS",
        help="how long one style takes to blend into the next (default: %(default)s)",
    )
    add_engine(parser)
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")


def parse_port(text: str) -> int:
    """A port, 0 for any that is free."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give 1 to 65535, or 0 for any")
    return int(text)


def run(
    options: argparse.Namespace, say: Callable[[str], None], tell: Callable[[str], None]
) -> int:
    """Serve until Ctrl-C. Raises `StylizeError`s.

    `tell` writes what must be known whatever `say` is told to leave out: address and token.
    """
    for package in ("aiohttp", "aiortc"):
        require(package, extra="web", purpose=_PURPOSE)
    from .web.gallery import Gallery
    from .web.house import House
    from .web.limits import Limits
    from .web.room import Room
    from .web.security import is_loopback
    from .web.server import Address, Feeder, WebServer, own_addresses, serve

    token = os.environ.get(TOKEN_VARIABLE) or None
    if token is None and not is_loopback(options.host):
        token = secrets.token_urlsafe(24)
    tls = _tls(options, own_addresses(options.host), tell)
    if tls is None and not is_loopback(options.host):
        say("browsers of other machines give their camera only with --tls or --cert")
    names = frozenset(name.lower() for name in options.allow_host)
    looks = read_looks(options, more_styles(options))
    limits = Limits(peers=options.peers, pixels=options.max_pixels)
    networks = _networks(options, say)
    any_style = next((style for style in all_styles() if style.encoder), None)
    gallery = Gallery(_by_id(looks), networks, any_style, limits.paintings, looks.paintings)
    # at once, so that what can't work is said before anybody is let in
    networks.painter(looks.styles[looks.names[looks.knobs.style]]).close()
    read_masker(options, say)
    source = LiveSource(options.source, _live_options(options), say) if options.source else None
    room = Room(say)
    house = House(
        room,
        gallery,
        limits,
        masker=lambda: read_masker(options, lambda _: None),
        knobs=looks.knobs,
        fade=options.fade,
        say=say,
    )
    feeder: Feeder | None = None
    told: list[int] = []
    try:
        if source:
            say(source.description)
            feeder = Feeder(source, house, say)

        async def serving() -> list[int]:
            server = WebServer(
                house,
                Address(options.host, options.port, token, tls, names),
                say,
                masks=bool(options.mask),
            )

            def started() -> None:
                scheme = "https" if tls else "http"
                end = f"#token={token}" if token else ""
                for address in own_addresses(options.host):
                    shown = f"[{address}]" if ":" in address else address
                    tell(f"page:    {scheme}://{shown}:{server.port}/{end}")
                    tell(f"overlay: {scheme}://{shown}:{server.port}/overlay{end}")

            return await serve(server, started)

        told = asyncio.run(serving())
    finally:
        if feeder:
            feeder.stop()
        elif source:
            source.close()
        house.stop()
        networks.close()
    if told:
        raise KeyboardInterrupt
    return 0


def _by_id(looks: Looks) -> dict[str, Style]:
    """The styles by their ids, which say nothing of where their files are. Raises `StylizeError`
    for styles that need a painting where there is none, and for two of one id.
    """
    found: dict[str, Style] = {}
    for name, style in looks.styles.items():
        if style.encoder and not looks.paintings:
            raise StylizeError(
                f"style {name} paints like any painting: say which by --painting FILE, or leave it "
                "out, and drop a picture on the page"
            )
        if style.card.id in found:
            raise StylizeError(f"two styles have the id {style.card.id!r}: leave one out")
        found[style.card.id] = style
    return found


def _networks(options: argparse.Namespace, say: Callable[[str], None]) -> "Networks":
    from .web.networks import Networks

    request = engine_request(options)
    threads = options.threads or usable_cores()

    def load(style: Style) -> Engine:
        engine = load_engine(style, replace(request, paintings=()))
        say(f"style {style.card.id} by {engine.description}")
        return engine

    def load_any(style: Style, paintings: Sequence[Painting]) -> Engine:
        engine = load_engine(style, replace(request, paintings=tuple(paintings)))
        say(f"style {style.card.id} by {engine.description}")
        return engine

    stage = partial(stage_for, options.temporal, threads)
    return Networks(load, stage, load_any, request.paintings)


def _live_options(options: argparse.Namespace) -> LiveOptions:
    return LiveOptions(
        rate=Fraction(30) if options.source.isdecimal() else None,
        resize=options.size,
        max_pixels=4096 * 4096,
        loop=options.loop,
    )


def _tls(
    options: argparse.Namespace, addresses: list[str], tell: Callable[[str], None]
) -> "SSLContext | None":
    if bool(options.cert) != bool(options.key):
        raise StylizeError("a certificate needs its key: give both --cert and --key")
    if not options.tls and not options.cert:
        return None
    from .web import tls

    if options.cert:
        return tls.given(options.cert, options.key)
    context, fingerprint = tls.self_signed([*addresses, "localhost", *options.allow_host])
    tell(f"certificate made on the spot, SHA-256 {fingerprint}")
    return context
