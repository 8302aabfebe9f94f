"""Joins encoded parts and what travels beside the picture into one file, without encoding again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import SinkWriteError
from .frame import Extras, SidePacket, VideoInfo
from .sinks._containers import EncodeOptions
from .sinks.file import FileSink, reason_of
from .sinks.parts import PartReader, Times
from .sources import Source
from .sources.file import FileSource


@dataclass(frozen=True)
class Joiner:
    """Makes the output of parts, and of what travels beside the picture in the input."""

    target: Path
    options: EncodeOptions
    folder: Path
    """Where the output lies until it is whole."""
    reopen: Callable[[], Source]
    """Opens the input again."""
    check: Callable[[], None] = lambda: None
    """Called now and then; what it raises ends a join, and nothing is left of it."""

    def try_to_open(self, source: Source) -> list[str]:
        """Have whatever container or encoder refuse refused now; what to tell of the output.

        Raises `SinkOpenError`.
        """
        trial = self._sink(source, self.target, self.options)
        trial.abandon()
        return trial.notices

    def join(self, parts: Sequence[Path], note_whole: Callable[[Path], None]) -> None:
        """Join `parts`, which are all; `note_whole` is called just before the output gets its name.

        Raises `SinkWriteError`.
        """
        self._join(parts, self.target, self.options, note_whole)

    def join_some(self, parts: Sequence[Path], partial: Path) -> None:
        """Join the first `parts` as another file. Raises `SinkWriteError`."""
        self._join(parts, partial, replace(self.options, overwrite=True), None)

    def keep(self, parts: Sequence[Path], info: VideoInfo) -> str:
        """Write each part as a file of its own, the picture alone; what to tell of it.

        Raises `SinkWriteError`.
        """
        folder = self.target.with_name(f"{self.target.stem}.kept")
        options = replace(self.options, overwrite=True)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise SinkWriteError(f"{folder} can't be written: {reason_of(error)}") from error
        for number, part in enumerate(parts, 1):
            file = folder / f"{number:05d}{self.target.suffix}"
            sink = FileSink(file, info, Extras(), options)
            try:
                join_parts([part], iter(()), sink)
            except BaseException:
                sink.discard()
                raise
            sink.finish()
        return f"the {len(parts)} segments are kept in {folder}"

    def _sink(self, source: Source, target: Path, options: EncodeOptions) -> FileSink:
        temporary = self.folder / f"whole{target.suffix}"
        return FileSink(target, source.info, source.extras, options, temporary=temporary)

    def _join(
        self,
        parts: Sequence[Path],
        target: Path,
        options: EncodeOptions,
        note_whole: Callable[[Path], None] | None,
    ) -> None:
        again = self.reopen()
        try:
            sink = self._sink(again, target, options)
            side = again.side_packets() if isinstance(again, FileSource) else iter(())
            try:
                join_parts(parts, side, sink, self.check)
                sink.finish(note_whole)
            except BaseException:
                sink.discard()
                raise
        finally:
            again.close()


def join_parts(
    parts: Sequence[Path],
    side: Iterator[SidePacket],
    sink: FileSink,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write the packets of `parts`, in order, and of `side` into a sink that is not yet ended.

    Both go in by time, so that the muxer need hold little back. Raises `SinkWriteError`, and what
    `check` raises, which is called before each packet.
    """
    waiting = next(side, None)
    for packet, extradata in _packets(parts):
        check()
        now = packet.dts * packet.time_base
        while waiting is not None and _due(waiting.packet, now):
            sink.write(waiting)
            waiting = next(side, None)
        sink.write_encoded(packet, extradata)
    while waiting is not None:
        sink.write(waiting)
        waiting = next(side, None)


def _due(packet: Any, now: Any) -> bool:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return bool(stamp is None or stamp * packet.time_base <= now)


def _packets(parts: Sequence[Path]) -> Iterator[tuple[Any, bytes]]:
    """The packets of all parts, decoding times made one run.

    Every part is decoded from its own first frame, with decoding times that begin some frames
    before it: in the part before. In one run they are the shown times in order, as many frames
    late as frames are moved about; then they rise over the borders, and equal those of a file that
    was encoded at once.
    """
    readers = [PartReader(path) for path in parts]
    late = 0
    head: list[int] = []
    for reader in readers:
        times = reader.times()
        late = max(late, _frames_late(times))
        if len(head) <= late:
            head += [t.dts for t in times[: late + 1 - len(head)]]
    before: list[int] = []
    last: int | None = None
    for reader in readers:
        shown = before + sorted(t.pts for t in reader.times())
        for number, packet in enumerate(reader.packets(), len(before)):
            if number >= late:
                dts = shown[number - late]
            else:
                dts = min(head[number], packet.pts) if number < len(head) else packet.pts
            if last is not None and dts <= last:
                dts = last + 1
            packet.dts = last = dts
            packet.pts = max(packet.pts, dts)
            yield packet, reader.extradata
        before = shown[max(0, len(shown) - late) :] if late else []


def _frames_late(times: Sequence[Times]) -> int:
    """By how many frames decoding times run ahead of shown ones."""
    first = min((t.pts for t in times), default=0)
    return sum(t.dts < first for t in times)
