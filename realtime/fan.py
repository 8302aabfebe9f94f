"""Runs one source through several painters into as many sinks, each as if it ran alone.

The source is read once, on a thread of its own; painting happens in the caller's thread, one
painter after the other; every sink has a thread. What goes wrong with one painter or sink ends that
branch, and the others go on.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from ._reading import Reader
from ._threads import Worker
from .channel import Aborted, Channel
from .errors import StylizeError
from .frame import Frame, SidePacket
from .pipeline import Painter, Report
from .sinks import Sink
from .sources import Source


class _SharedPacket:
    """A side packet that several sinks take in turn: a muxer rewrites the times of what it is given
    and the stream it belongs to, but leaves its data alone.
    """

    def __init__(self, item: SidePacket) -> None:
        self._item, self._turn = item, threading.Lock()
        packet = item.packet
        self._stamps: tuple[Any, ...] = (packet.pts, packet.dts, packet.duration, packet.time_base)
        self._stream = packet.stream

    def write_to(self, sink: Sink) -> None:
        """Have a sink take the packet as it was read."""
        with self._turn:
            packet = self._item.packet
            packet.pts, packet.dts, packet.duration, packet.time_base = self._stamps
            packet.stream = self._stream
            sink.write(self._item)


class Branch:
    """One of several outputs: what paints it, where it goes, and what has come of it."""

    def __init__(self, painter: Painter, sink: Sink, report: Report | None = None) -> None:
        self.report = report or Report()
        self.error: BaseException | None = None
        """What has ended the branch before its time; always a `StylizeError` once the run is
        over.
        """
        self._painter, self._sink = painter, sink
        self._painted: Channel[Frame | _SharedPacket] | None = None
        self._writer = Worker(target=self._write_all, name="stylize-write")
        self._ended = False

    @property
    def going(self) -> bool:
        """Whether it still takes frames."""
        return not self._ended

    @property
    def broken(self) -> bool:
        """Whether it met something that is nobody's fault but ours."""
        return self.error is not None and not isinstance(self.error, StylizeError)

    def start(self, capacity: int) -> None:
        """Start its thread."""
        self._painted = Channel(capacity)
        self._writer.start()

    def discard(self) -> None:
        """Leave nothing behind of a branch that was never started."""
        if self._painted is None:
            self._ended = True
            self._sink.abandon()

    def take(self, item: Frame | _SharedPacket) -> None:
        """Paint a frame, or pass a packet on. What fails ends the branch."""
        assert self._painted is not None
        try:
            if isinstance(item, Frame):
                self._pass_on(self._painter.push(item))
            else:
                self._painted.put(item)
        except Aborted:
            self.end(whole=False)
        except StylizeError as error:
            self.error = error
            self.end(whole=False)

    def take_rest(self) -> None:
        """No more will come: paint what was held back."""
        try:
            self._pass_on(self._painter.finish())
        except Aborted:
            self.end(whole=False)
        except StylizeError as error:
            self.error = error
            self.end(whole=False)

    def end(self, *, whole: bool) -> None:
        """Let what was painted be written, then make the output whole or keep what there is."""
        if self._ended:
            return
        if self._painted is None:
            self.discard()
            return
        self._ended = True
        self._painted.close()
        self._writer.join()
        if not whole or self.error is not None:
            self.report.output = self._sink.abandon()
            return
        try:
            self.report.output = self._sink.finish()
            self.report.whole = True
        except StylizeError as error:
            self.error = error

    def _pass_on(self, painted: Iterable[Frame]) -> None:
        assert self._painted is not None
        for frame in painted:
            self._painted.put(frame)
            self.report.frames += 1

    def _write_all(self) -> None:
        assert self._painted is not None
        try:
            for item in self._painted:
                if isinstance(item, _SharedPacket):
                    item.write_to(self._sink)
                else:
                    self._sink.write(item)
        except BaseException as error:  # noqa: BLE001 - raised again, or told, by the caller's thread
            self.error = error
            self._painted.abort()


class FanPipeline:
    """One job with several outputs: every frame of a source into each of the branches. `run` is
    called once.
    """

    def __init__(self, source: Source, branches: Sequence[Branch]) -> None:
        self._branches = branches
        self._reader = Reader(source)

    def run(self, on_frame: Callable[[Report], None] | None = None) -> None:
        """Paint everything; `on_frame` is called after each frame, with the report of a branch.

        A source that fails midway is painted as far as it went, and is the `error` of all branches
        then left. An interrupt, and whatever is no `StylizeError`, ends all branches and is raised;
        each keeps what it has.
        """
        begun, begun_cpu = time.perf_counter(), time.process_time()
        whole = False
        try:
            self._reader.start()
            for branch in self._branches:
                branch.start(self._reader.capacity)
            self._paint_all(on_frame, begun)
            whole = self._reader.error is None
        finally:
            self._end(whole=whole)
            seconds, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
            for branch in self._branches:
                branch.report.seconds = seconds
                branch.report.cpu_seconds = cpu / len(self._branches)
        for error in (self._reader.error, *(branch.error for branch in self._branches)):
            if error is not None and not isinstance(error, StylizeError):
                raise error

    def _paint_all(self, on_frame: Callable[[Report], None] | None, begun: float) -> None:
        for item in self._reader.read:
            shared = item if isinstance(item, Frame) else _SharedPacket(item)
            going = [branch for branch in self._branches if branch.going]
            for branch in going:
                branch.take(shared)
            if not any(branch.going for branch in going) or any(b.broken for b in going):
                return
            if on_frame and isinstance(item, Frame):
                report = max((b.report for b in going), key=lambda r: r.frames)
                report.seconds = time.perf_counter() - begun
                on_frame(report)
        for branch in self._branches:
            if branch.going:
                branch.take_rest()

    def _end(self, *, whole: bool) -> None:
        """End the reader, then every branch, whatever happens to those before it."""
        self._reader.read.abort()
        self._reader.join()
        with ExitStack() as stack:
            for branch in self._branches:
                if branch.going and not whole and branch.error is None:
                    branch.error = self._reader.error
                stack.callback(branch.end, whole=whole)
