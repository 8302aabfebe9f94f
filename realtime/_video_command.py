"""`stylize video` as asked for on the command line."""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console
from rich.markup import escape

from ._arguments import engine_request, video_settings
from ._batch_options import batch_settings, named_inputs
from ._console import ProgressBar, batch_table
from ._devices_options import paint_on_devices
from ._looks import first_style, load_turning
from ._segment_options import painted_by, segment_settings
from ._styles_options import paint_in_styles
from ._talk import JobWatcher, Speaker
from .batch import BatchReport, Outcome, run_batch
from .catalogue import Style
from .cluster import Cluster, open_cluster
from .cues import read_cues
from .errors import StylizeError
from .folders import Job, plan_jobs
from .video import Result, VideoSettings, Watcher, paint_video


def run(options: argparse.Namespace, console: Console, show: Callable[[str], None]) -> bool:
    """Paint all inputs; whether each came out whole. `show` is given the report that `--json` asks
    for. Raises `StylizeError`s.
    """
    say = Speaker(console, quiet=options.quiet)
    several = options.devices and len(options.devices) > 1
    if options.cluster and (options.styles or options.devices or options.hwaccel != "none"):
        raise StylizeError(
            "--cluster goes without --styles, --devices and --hwaccel: leave them out"
        )
    if options.styles or several:
        paint_all = paint_on_devices if several else paint_in_styles
        document, failed = paint_all(options, console, say)
        if options.json:
            show(json.dumps(document, indent=2))
        return not failed
    style = first_style(options)
    settings = video_settings(options)
    inputs, output = named_inputs(options)
    work = plan_jobs(inputs, output, style, recursive=options.recursive)
    painting: _Alone | Cluster
    if options.cluster:
        painting = open_cluster(options, work, say.line)
    else:
        painting = _Alone(options, style, settings, say)
    bar = ProgressBar(console, quiet=options.quiet, sizes=[job.size for job in work])
    watcher = JobWatcher(
        bar, say, lambda: f"style {style.card.id} by {painting.description}", [painting]
    )
    report = BatchReport()

    def paint(job: Job) -> Result:
        try:
            return painting.paint(job, watcher)
        finally:
            watcher.end()

    def tell(outcome: Outcome) -> None:
        bar.next_job()
        if outcome.error:
            console.print(f"[red]error:[/red] {escape(outcome.error)}")
        for notice in outcome.result.notices if outcome.result else ():
            say.line(notice)
        if outcome.result:
            say.summary(outcome.result)

    try:
        run_batch(work, paint, batch_settings(options), report, tell)
        engine = painting.description
    finally:
        painting.close()
        if len(work) > 1 and not options.quiet:
            console.print(batch_table([outcome.as_row() for outcome in report.outcomes]))
            say.line(report.summary())
    if options.json:
        document = {"style": style.card.id, "engine": engine, **report.as_json()}
        show(json.dumps(document, indent=2))
    return not report.failed


class _Alone:
    """Paints jobs in this process."""

    def __init__(
        self, options: argparse.Namespace, style: Style, settings: VideoSettings, say: Speaker
    ) -> None:
        if options.workers:
            raise StylizeError("--workers goes with --cluster: give --threads, or a --cluster")
        cues = read_cues(options.timeline) if options.timeline else []
        self._engine, turning = load_turning(options, cues, engine_request(options), say.line)
        self._engines = list(turning.engines.values()) if turning else [self._engine]
        if turning and settings.show:
            raise StylizeError(
                "--show looks into one style as it is: leave knobs and timelines out"
            )
        segments = segment_settings(options, painted_by(options, style, self._engine))
        self._settings = replace(settings, turning=turning, segments=segments)

    @property
    def description(self) -> str:
        """What paints, in one line."""
        return self._engine.description

    @property
    def notices(self) -> list[str]:
        """What the engine has noticed so far."""
        return self._engine.notices

    def paint(self, job: Job, watcher: Watcher) -> Result:
        """Paint one input into one output."""
        return paint_video(job.source, job.target, self._engine, self._settings, watcher)

    def close(self) -> None:
        """Release the networks."""
        for engine in self._engines:
            engine.close()
