"""Streams beside the picture: copied where the container holds them, else transcoded, else told."""

from collections.abc import Iterator, Set
from typing import Any, Final

import av
from av.container import OutputContainer

from ..frame import SideStream
from ..sound import Sound
from ._containers import Container

_AAC_BITS_PER_CHANNEL: Final = 96_000
_TEXT_SUBTITLES: Final = frozenset(
    {"subrip", "srt", "mov_text", "ass", "ssa", "webvtt", "text", "microdvd", "subviewer", "sami"}
)


class SideTracks:
    """Maps side streams of the input to streams of an output container and muxes their packets."""

    def __init__(
        self,
        output: OutputContainer,
        container: Container,
        streams: tuple[SideStream, ...],
        held: Set[str] | None = None,
    ) -> None:
        """`held` are the codecs that are copied; by default all that the container holds."""
        self.notices: list[str] = []
        self._tracks: dict[int, _Copy | _Audio | _Subtitle] = {}
        if container.audio is None:
            if streams:
                kinds = ", ".join(sorted({side.kind for side in streams}))
                self.notices.append(f"{container.format} holds pictures only: {kinds} left out")
            return
        held = output.supported_codecs if held is None else held
        for side in streams:
            name = _codec_name(side.template)
            track = self._track(output, container, side, name, copyable=name in held)
            if track is None:
                self.notices.append(
                    f"{side.kind} track {side.key} ({name}) left out: "
                    f"{container.format} can't hold it and it can't be converted"
                )
                continue
            _describe(track.stream, side.template)
            self._tracks[side.key] = track

    def _track(
        self,
        output: OutputContainer,
        container: Container,
        side: SideStream,
        name: str,
        *,
        copyable: bool,
    ) -> "_Copy | _Audio | _Subtitle | None":
        try:
            if side.kind == "picture":
                # only MP4 keeps a cover as a track of its own
                return _Copy(output, side.template) if container.format == "mp4" else None
            if copyable:
                return _Copy(output, side.template)
            if side.kind == "audio" and container.audio:
                self.notices.append(
                    f"audio track {side.key} ({name}) converted to {container.audio}: "
                    f"{container.format} can't hold it"
                )
                return _Audio(output, side.template, container.audio)
            if side.kind == "subtitle" and container.subtitle and name in _TEXT_SUBTITLES:
                self.notices.append(
                    f"subtitle track {side.key} ({name}) converted to {container.subtitle}"
                )
                return _Subtitle(output, side.template, container.subtitle)
        except (av.FFmpegError, ValueError):
            return None
        return None

    def packets(self, key: int, packet: Any) -> Iterator[Any]:
        """Packets to mux for one packet of a side stream."""
        track = self._tracks.get(key)
        if track is not None:
            yield from track.packets(packet)

    def flush(self) -> Iterator[Any]:
        """What converters still hold at the end."""
        for track in self._tracks.values():
            yield from track.flush()


class _Copy:
    def __init__(self, output: OutputContainer, template: Any) -> None:
        self.stream = output.add_stream_from_template(template, opaque=True)
        if template.type == "audio":
            _name_layout(self.stream.codec_context)
        self._last_dts: int | None = None

    def packets(self, packet: Any) -> Iterator[Any]:
        if packet.dts is None:
            # a cover picture has no time; anything else without one can't be placed
            if packet.pts is None and packet.stream.type != "video":
                return
            packet.pts = packet.dts = packet.pts or 0
        # players and muxers want decoding times that rise; damaged inputs repeat them
        if self._last_dts is not None and packet.dts <= self._last_dts:
            packet.dts = self._last_dts + 1
            if packet.pts is not None:
                packet.pts = max(packet.pts, packet.dts)
        self._last_dts = packet.dts
        packet.stream = self.stream
        yield packet

    def flush(self) -> Iterator[Any]:
        yield from ()


class _Audio:
    def __init__(self, output: OutputContainer, template: Any, codec: str) -> None:
        context: Any = template.codec_context
        self._decoder = _own_decoder(context)
        self._decoder.sample_rate, self._decoder.layout = context.sample_rate, context.layout
        rate = 48_000 if codec == "libopus" else context.sample_rate
        self.stream: Any = output.add_stream(codec, rate=rate)
        encoder: Any = self.stream.codec_context
        encoder.layout = context.layout
        encoder.bit_rate = _AAC_BITS_PER_CHANNEL * context.layout.nb_channels

    def packets(self, packet: Any) -> Iterator[Any]:
        try:
            decoded = self._decoder.decode(packet)
        except av.InvalidDataError:
            return
        for frame in decoded:
            yield from self.stream.encode(frame)

    def flush(self) -> Iterator[Any]:
        for frame in self._decoder.decode(None):
            yield from self.stream.encode(frame)
        yield from self.stream.encode(None)


class _Subtitle:
    def __init__(self, output: OutputContainer, template: Any, codec: str) -> None:
        self.stream: Any = output.add_stream(codec)
        self._decoder = _own_decoder(template.codec_context)
        encoder: Any = self.stream.codec_context
        encoder.subtitle_header = template.codec_context.subtitle_header or b""
        self.stream.time_base = template.time_base

    def packets(self, packet: Any) -> Iterator[Any]:
        decoded = self._decoder.decode2(packet)
        if decoded is None:
            return
        encoded = self.stream.codec_context.encode_subtitle(decoded)
        encoded.pts = encoded.dts = packet.pts
        encoded.duration = packet.duration
        encoded.time_base = packet.time_base
        encoded.stream = self.stream
        yield encoded

    def flush(self) -> Iterator[Any]:
        yield from ()


def packet_of(sound: Sound) -> Any:
    """A packet for a muxer, which changes what it is given."""
    packet = av.Packet(sound.data)
    packet.pts = packet.dts = sound.pts
    packet.duration, packet.time_base = sound.duration, sound.time_base
    packet.is_keyframe = True
    return packet


def _own_decoder(context: Any) -> Any:
    """A decoder of our own: the input's belongs to the thread that reads."""
    decoder: Any = av.CodecContext.create(context.codec.name, "r")
    decoder.extradata = context.extradata
    return decoder


def _name_layout(context: Any) -> None:
    """AVI and WAV count channels without naming them; MP4 wants mono and stereo by name."""
    names = {"1 channels": "mono", "2 channels": "stereo"}
    if context.layout.name in names:
        context.layout = names[context.layout.name]


def _codec_name(stream: Any) -> str:
    """The codec's name as containers know it (``mp3``), not its decoder's (``mp3float``)."""
    return str(stream.codec_context.codec.canonical_name)


def _describe(stream: Any, template: Any) -> None:
    """Carry language, title and flags (default, forced, attached picture) over."""
    stream.metadata.update({k: v for k, v in template.metadata.items() if k.lower() != "encoder"})
    stream.disposition = template.disposition
