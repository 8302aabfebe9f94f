"""Runs a source through a stylizer into a sink on three threads, and ends them whatever happens."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from ._reading import Reader
from ._threads import Worker
from .channel import Aborted, Channel
from .frame import Frame, SidePacket
from .sinks import Sink
from .sources import Source


class Painter(Protocol):
    """What paints frames: `stylizer.Stylizer`."""

    def push(self, frame: Frame) -> Iterable[Frame]:
        """Take the next frame; the painted ones that are ready, in order."""
        ...

    def finish(self) -> Iterable[Frame]:
        """The painted frames still held back."""
        ...


@dataclass
class Report:
    """How a run went."""

    frames: int = 0
    """Painted so far, by this run and those it goes on from."""
    seconds: float = 0.0
    """Wall-clock time."""
    cpu_seconds: float = 0.0
    """Processor time of the whole process over the run, all cores."""
    output: str | None = None
    """Where the result lies; None when nothing could be kept."""
    whole: bool = False
    """Whether the result holds everything there was to paint."""
    resumed: int = 0
    """How many of the frames earlier runs have painted."""

    @property
    def fps(self) -> float:
        """Frames a second that this run has painted."""
        return (self.frames - self.resumed) / self.seconds if self.seconds else 0.0


class Pipeline:
    """One job: every frame of a source, painted in order, into a sink. `run` is called once.

    Reading and writing have a thread each; painting happens in the caller's, where interrupts
    arrive. No frame is ever lost: full channels make the side before them wait.
    """

    def __init__(
        self, source: Source, painter: Painter, sink: Sink, capacity: int | None = None
    ) -> None:
        self.report = Report()
        self._painter, self._sink = painter, sink
        self._reader = Reader(source, capacity)
        self._painted: Channel[Frame | SidePacket] = Channel(self._reader.capacity)
        self._writer = Worker(target=self._run_writer, name="stylize-write")
        self._writing_error: BaseException | None = None

    def run(self, on_frame: Callable[[Report], None] | None = None) -> Report:
        """Paint everything; `on_frame` is called after each frame, in this thread.

        The first failure of any thread ends the others and is raised here as itself, as is an
        interrupt. What had been painted by then is kept where the sink can (`report.output`). A
        source that fails midway is different in one thing: all that it gave before is painted
        first.
        """
        begun, begun_cpu = time.perf_counter(), time.process_time()
        whole = False
        try:
            self._reader.start()
            self._writer.start()
            self._paint_all(on_frame, begun)
            self._drain()
            whole = self._reader.error is None and self._writing_error is None
        finally:
            try:
                self._end(whole=whole)
            finally:
                self.report.seconds = time.perf_counter() - begun
                self.report.cpu_seconds = time.process_time() - begun_cpu
        error = self._writing_error or self._reader.error
        if error is not None:
            raise error
        return self.report

    def _paint_all(self, on_frame: Callable[[Report], None] | None, begun: float) -> None:
        try:
            for item in self._reader.read:
                if isinstance(item, Frame):
                    self._pass_on(self._painter.push(item), on_frame, begun)
                else:
                    self._painted.put(item)
            self._pass_on(self._painter.finish(), on_frame, begun)
        except Aborted:
            pass  # the writer failed: its error is raised at the end

    def _pass_on(
        self, painted: Iterable[Frame], on_frame: Callable[[Report], None] | None, begun: float
    ) -> None:
        for frame in painted:
            self._painted.put(frame)
            self.report.frames += 1
            self.report.seconds = time.perf_counter() - begun
            if on_frame:
                on_frame(self.report)

    def _drain(self) -> None:
        """Let the writer take all that was painted."""
        self._painted.close()
        self._writer.join()

    def _end(self, *, whole: bool) -> None:
        """Stop both threads, then make the output whole or keep what there is."""
        self._reader.read.abort()
        if self._writer.is_alive():
            self._painted.close()
        self._reader.join()
        self._writer.join()
        if whole:
            self.report.output = self._sink.finish()
            self.report.whole = True
        else:
            self.report.output = self._sink.abandon()

    def _run_writer(self) -> None:
        try:
            for item in self._painted:
                self._sink.write(item)
        except Aborted:
            return
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._writing_error = error
            self._reader.read.abort()
            self._painted.abort()
