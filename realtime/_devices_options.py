"""Several graphics cards of one machine, as asked for on the command line."""

import argparse
import threading
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from ._arguments import engine_request, video_settings
from ._batch_options import batch_settings, named_inputs
from ._console import batch_table
from ._looks import first_style, load_turning
from ._segment_options import painted_by, segment_settings
from ._talk import Speaker
from .batch import BatchReport, Outcome
from .catalogue import Style
from .cues import read_cues
from .dealing import DevicePainter, run_dealt
from .engines import Engine
from .engines.choose import usable_cores
from .errors import StylizeError
from .folders import Job, plan_jobs
from .frame import VideoInfo
from .pipeline import Report
from .video import Result, VideoSettings, paint_video


def paint_on_devices(
    options: argparse.Namespace, console: Console, say: Speaker
) -> tuple[dict[str, Any], bool]:
    """Paint all inputs, dealt to several devices; the report in plain types, and whether any
    failed.

    Raises `StylizeError`s.
    """
    if options.styles:
        raise StylizeError("--styles paints on one device: give one to --devices")
    style = first_style(options)
    inputs, output = named_inputs(options)
    jobs = plan_jobs(inputs, output, style, recursive=options.recursive)
    if len(jobs) == 1:
        raise StylizeError(
            f"--devices deals several inputs, and {jobs[0].source} is one: give one device"
        )
    report = BatchReport()
    with ExitStack() as stack:
        painters: dict[int, DevicePainter] = {}
        engines: dict[int, Engine] = {}
        for number in options.devices:
            engines[number], settings = _loaded(options, style, number, stack, say)
            painters[number] = _OnDevice(engines[number], settings)
            say.line(f"device {number}: style {style.card.id} by {engines[number].description}")

        def tell(outcome: Outcome) -> None:
            if outcome.error:
                say.error(outcome.error)
            for notice in outcome.result.notices if outcome.result else ():
                say.line(notice)
            if outcome.result:
                say.summary(outcome.result)
            ended = sum(o.status not in ("not begun",) for o in report.outcomes)
            say.line(f"{ended} of {len(jobs)} inputs are done with")

        try:
            run_dealt(jobs, painters, batch_settings(options), report, tell, say.line)
        finally:
            if not options.quiet:
                console.print(batch_table([outcome.as_row() for outcome in report.outcomes]))
                say.line(report.summary())
    document = {
        "style": style.card.id,
        "engines": {str(number): engine.description for number, engine in engines.items()},
        **report.as_json(),
    }
    return document, report.failed


def _loaded(
    options: argparse.Namespace, style: Style, number: int, stack: ExitStack, say: Speaker
) -> tuple[Engine, VideoSettings]:
    """The networks of a device, and how its jobs are painted: processors are shared out."""
    count = len(options.devices)
    threads = max(1, (options.threads or usable_cores()) // count)
    memory = options.max_memory and max(1, options.max_memory // count)
    own = argparse.Namespace(**{**vars(options), "threads": threads, "max_memory": memory})
    settings = video_settings(own)
    cues = read_cues(own.timeline) if own.timeline else []
    request = replace(engine_request(own), device=number)
    engine, turning = load_turning(own, cues, request, say.line)
    for loaded in turning.engines.values() if turning else [engine]:
        stack.callback(loaded.close)
    if turning and settings.show:
        raise StylizeError("--show looks into one style as it is: leave knobs and timelines out")
    segments = segment_settings(own, painted_by(own, style, engine))
    return engine, replace(settings, turning=turning, segments=segments)


@dataclass(frozen=True)
class _OnDevice:
    """Paints jobs by the networks of one device."""

    engine: Engine
    settings: VideoSettings

    def __call__(self, job: Job, stop: threading.Event) -> Result:
        """Paint a job, until `stop` is set."""
        return paint_video(job.source, job.target, self.engine, self.settings, _Stopper(stop))


class _Stopper:
    """A watcher that ends a job, in the thread that paints it, as Ctrl-C does in the main one."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def begin(self, info: VideoInfo, output: str) -> None:
        """The first frame was read; painting begins."""

    def frame(self, report: Report) -> None:
        """One more frame is painted."""
        if self._stop.is_set():
            raise KeyboardInterrupt
