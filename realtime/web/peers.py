"""Cameras of browsers, by WebRTC: one video in, the same video painted out."""

import asyncio
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any, Final

import aioice.ice
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from ..errors import StylizeError
from ..frame import Pixels
from ..sources._pixels import PixelReader
from .backlog import bound
from .encoding import planar, set_up_encoding
from .house import House
from .jitter import be_prompt
from .limits import Refused
from .loops import tell
from .room import Arrived, Painted, Stream

_CLOCK: Final = Fraction(1, 90000)
_KEY_S: Final = 0.5
_LOOPBACK: Final = "127.0.0.1"


def set_up_webrtc(*, loopback_only: bool) -> None:
    """Settings that aiortc has no arguments for; once, before the first peer.

    A server on this machine's own address is reached by peers there too, and only there.
    """
    set_up_encoding()
    if loopback_only:
        # aioice gathers no loopback address by itself
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [_LOOPBACK]


class PaintedTrack(MediaStreamTrack):
    """What goes back: whatever was painted last, each once."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._home = asyncio.get_running_loop()
        self._newest: Painted | None = None
        self._there = asyncio.Event()
        self._last = -1

    def push(self, painted: Painted) -> None:
        """From the painting thread."""
        tell(self._home, self._put, painted)

    def _put(self, painted: Painted) -> None:
        self._newest = painted
        self._there.set()

    async def recv(self) -> VideoFrame:
        """The next frame, when it is there."""
        await self._there.wait()
        if self.readyState != "live" or self._newest is None:
            raise MediaStreamError
        self._there.clear()
        frame = self._newest.shown.frame
        out = planar(frame.pixels)
        # the encoder's clock never goes back, whatever the sender's does
        self._last = max(self._last + 1, round(frame.pts / _CLOCK))
        out.pts, out.time_base = self._last, _CLOCK
        return out

    def stop(self) -> None:
        """End, and wake who waits."""
        super().stop()
        self._newest = None
        self._there.set()


class Peer:
    """One browser: its connection, its stream, and the tasks between them."""

    def __init__(self, house: House, stream: Stream, ended: Callable[["Peer"], None]) -> None:
        self.stream = stream
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.reason = ""
        self._house, self._ended = house, ended
        self._track = PaintedTrack()
        self._loop = asyncio.get_running_loop()
        self._pump: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._begun = time.monotonic()
        self._asked = 0.0
        self._asking: asyncio.Task[None] | None = None
        stream.on_failed = self._failed
        painted = stream.on_painted

        def both(shown: Painted) -> None:
            self._track.push(shown)
            painted(shown)

        stream.on_painted = both
        self.connection.on("track", self._on_track)
        self.connection.on("connectionstatechange", self._on_state)

    async def answer(self, sdp: str) -> str:
        """The answer to a browser's offer. Raises `Refused`."""
        try:
            await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            transceivers = self.connection.getTransceivers()
            if [t.kind for t in transceivers] != ["video"]:
                raise Refused("send one video and nothing else", 400)
            receiver = transceivers[0].receiver
            bound(receiver, lambda: self._ask_for_key(receiver))
            be_prompt(receiver)
            self.connection.addTrack(self._track)
            await self.connection.setLocalDescription(await self.connection.createAnswer())
        except Refused:
            raise
        except Exception as error:
            # a library's parser has as many errors as there are ways to be wrong
            raise Refused(f"the offer can't be answered: {_line(error)}", 400) from error
        return self.connection.localDescription.sdp

    def overdue(self, now: float) -> str | None:
        """Why it should give its place up; None while it should not."""
        limits = self._house.limits
        if self.connection.connectionState != "connected":
            late = now - self._begun > limits.connect_s
            return "it did not connect" if late else None
        if now - max(self._begun, self.stream.arrived_at) > limits.idle_s:
            return f"no frame came for {limits.idle_s:g} s"
        return None

    def end(self, reason: str) -> None:
        """Begin to close."""
        if self._closing is None:
            self.reason = reason
            self._house.close(self.stream, reason)
            self._closing = self._loop.create_task(self._close())
            self._ended(self)

    async def closed(self) -> None:
        """Until it is closed."""
        if self._closing:
            await asyncio.wait([self._closing])

    async def _close(self) -> None:
        if self._pump:
            self._pump.cancel()
        self._track.stop()
        await self.connection.close()

    def _failed(self, reason: str) -> None:
        tell(self._loop, self.end, reason)

    def _on_track(self, track: MediaStreamTrack) -> None:
        if self._pump is None and track.kind == "video":
            self._pump = self._loop.create_task(self._read(track))

    def _on_state(self) -> None:
        if self.connection.connectionState in ("failed", "closed"):
            self.end("the connection was lost")

    def _ask_for_key(self, receiver: RTCRtpReceiver) -> None:
        """Ask the browser for a picture that needs no past; not more often than it can come."""
        now = time.monotonic()
        if now - self._asked > _KEY_S and self._closing is None:
            self._asked = now
            for source in receiver.getSynchronizationSources():
                task = self._loop.create_task(receiver._send_rtcp_pli(source.source))
                self._asking = task

    async def _read(self, track: MediaStreamTrack) -> None:
        """Take every frame at once, so that none queues up in the receiver."""
        most = self._house.limits.pixels
        while True:
            try:
                frame: Any = await track.recv()
            except MediaStreamError:
                self.end("the camera was turned off")
                return
            if frame.width * frame.height > most:
                self.end(f"frames of {frame.width}x{frame.height}: {most} pixels are taken at most")
                return
            pts = Fraction(frame.pts or 0) * Fraction(frame.time_base or _CLOCK)
            self._house.put(self.stream, Arrived(partial(_unpack, frame), pts, time.monotonic()))


class Peers:
    """All browsers that are connected by WebRTC."""

    def __init__(self, house: House, say: Callable[[str], None]) -> None:
        self._house, self._say = house, say
        self._peers: dict[str, Peer] = {}
        self._closing: set[Peer] = set()
        self._watch: asyncio.Task[None] | None = None

    async def answer(self, sdp: str) -> tuple[str, str]:
        """The name of the new stream and the answer to an offer. Raises `Refused`."""
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._look())
        if len(sdp) > self._house.limits.description or "m=video" not in sdp:
            raise Refused("this is no offer of one video", 400)
        stream = self._house.open()
        peer = Peer(self._house, stream, self._gone)
        self._peers[stream.name] = peer
        try:
            async with asyncio.timeout(self._house.limits.connect_s):
                return stream.name, await peer.answer(sdp)
        except TimeoutError:
            peer.end("the offer took too long")
            raise Refused("the offer took too long to answer", 400) from None
        except BaseException:
            peer.end("the offer could not be answered")
            raise

    def end(self, name: str) -> bool:
        """Close a peer; whether there was one of that name."""
        peer = self._peers.get(name)
        if peer:
            peer.end("it was closed from outside")
        return peer is not None

    def count(self) -> int:
        """How many there are."""
        return len(self._peers)

    async def close(self) -> None:
        """Close all."""
        if self._watch:
            self._watch.cancel()
        for peer in list(self._peers.values()):
            peer.end("the server ends")
        if self._closing:
            await asyncio.gather(*(peer.closed() for peer in self._closing))

    def _gone(self, peer: Peer) -> None:
        self._peers.pop(peer.stream.name, None)
        self._closing = {p for p in self._closing if p.connection.connectionState != "closed"}
        self._closing.add(peer)
        self._say(f"{peer.stream.name} left: {peer.reason}")

    async def _look(self) -> None:
        """Give up on peers that never connect or send nothing."""
        while True:
            await asyncio.sleep(min(1.0, self._house.limits.idle_s / 2))
            now = time.monotonic()
            for peer in list(self._peers.values()):
                reason = peer.overdue(now)
                if reason:
                    peer.end(reason)


def _unpack(frame: VideoFrame) -> Pixels:
    return PixelReader().read(frame)


def _line(error: BaseException) -> str:
    if isinstance(error, StylizeError):
        return str(error)
    text = str(error).strip().splitlines()
    return text[0][:120] if text else type(error).__name__
