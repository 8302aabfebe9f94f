"""Several styles over one decode, as asked for on the command line."""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from ._arguments import engine_request, video_settings
from ._batch_options import batch_settings, named_inputs
from ._console import ProgressBar, batch_table
from ._looks import load_turning
from ._segment_options import painted_by, segment_settings
from ._talk import JobWatcher, Speaker
from .batch import BatchReport, Outcome, run_groups
from .catalogue import DEFAULT_STYLE, Style, find_style
from .cues import read_cues
from .errors import StylizeError
from .folders import STDIO, Job, plan_jobs
from .several import Rendition, paint_renditions
from .video import Result

_PLACE: Final = "{style}"
"""Stands for the style in the name of an output."""


def paint_in_styles(
    options: argparse.Namespace, console: Console, say: Speaker
) -> tuple[dict[str, Any], bool]:
    """Paint every input in all styles; the report in plain types, and whether any output failed.

    Raises `StylizeError`s.
    """
    styles = _named_styles(options)
    inputs, output = named_inputs(options)
    groups = plan_groups(inputs, output, list(styles.values()), recursive=options.recursive)
    report = BatchReport()
    with ExitStack() as stack:
        patterns = [
            _rendition(options, name, style, len(styles), stack, say)
            for name, style in styles.items()
        ]
        engines = [pattern.engine for pattern in patterns]
        by_engine: dict[str, list[str]] = {}
        for pattern in patterns:
            by_engine.setdefault(pattern.engine.description, []).append(pattern.style)
        first = "; ".join(
            f"style{'s' * (len(names) > 1)} {', '.join(names)} by {engine}"
            for engine, names in by_engine.items()
        )
        by_target = {
            job.target: replace(pattern, target=job.target)
            for group in groups
            for job, pattern in zip(group, patterns, strict=True)
        }
        bar = ProgressBar(console, quiet=options.quiet, sizes=[group[0].size for group in groups])
        watcher = JobWatcher(bar, say, lambda: first, engines)

        def paint(jobs: Sequence[Job]) -> Sequence[Result | StylizeError]:
            try:
                renditions = [by_target[job.target] for job in jobs]
                return paint_renditions(jobs[0].source, renditions, watcher)
            finally:
                watcher.end()

        def tell(outcomes: Sequence[Outcome]) -> None:
            bar.next_job()
            _tell(outcomes, say)

        try:
            run_groups(groups, paint, batch_settings(options), report, tell)
        finally:
            if len(groups) > 1 and not options.quiet:
                console.print(batch_table([outcome.as_row() for outcome in report.outcomes]))
                say.line(report.summary())
        document = {
            "styles": [pattern.style for pattern in patterns],
            "engines": [engine.description for engine in engines],
            **report.as_json(),
        }
        return document, report.failed


def plan_groups(
    inputs: Sequence[str], target: str | None, styles: Sequence[Style], *, recursive: bool = False
) -> list[tuple[Job, ...]]:
    """The jobs of each input, one for each style.

    `target` is a folder, made when needed, or a name with ``{style}`` in it. Raises what
    `plan_jobs` raises, and `SinkOpenError` by it.
    """
    if target is not None and _PLACE not in target:
        folder = Path(target)
        if target == STDIO or (folder.suffix and not folder.is_dir()) or folder.is_file():
            raise StylizeError(
                f"{len(styles)} styles don't fit into {target}: give a folder, or a name with "
                f"{_PLACE} in it"
            )
        folder.mkdir(parents=True, exist_ok=True)
    plans = [
        plan_jobs(
            inputs,
            target and target.replace(_PLACE, style.card.id),
            style,
            recursive=recursive,
        )
        for style in styles
    ]
    return list(zip(*plans, strict=True))


def _named_styles(options: argparse.Namespace) -> dict[str, Style]:
    """The styles by the names they were asked for."""
    for name, given in (("--style", options.style != DEFAULT_STYLE), ("--mix", options.mix)):
        if given:
            raise StylizeError(f"--styles paints an output in each style: leave {name} out")
    if options.input == STDIO and _PLACE not in (options.output or ""):
        raise StylizeError(
            f"several styles of standard input need an output with {_PLACE} in its name"
        )
    styles: dict[str, Style] = {}
    for name in options.styles:
        style = find_style(name)
        if style.card.id in (other.card.id for other in styles.values()):
            raise StylizeError(f"--styles names {style.card.id} twice")
        styles[name] = style
    if options.painting and not any(style.encoder for style in styles.values()):
        raise StylizeError("--painting is for styles that take any: name one, or leave it out")
    return styles


def _rendition(
    options: argparse.Namespace, name: str, style: Style, count: int, stack: ExitStack, say: Speaker
) -> Rendition:
    """How one style paints, with the options of a run of its own; targets are filled in later."""
    share = options.max_memory and max(1, options.max_memory // count)
    own = argparse.Namespace(
        **{
            **vars(options),
            "style": name,
            "painting": options.painting if style.encoder else [],
            "max_memory": share,
        }
    )
    settings = video_settings(own)
    cues = read_cues(own.timeline) if own.timeline else []
    if options.painting and not style.encoder:  # as the paintings, they are for the other styles
        cues = [cue for cue in cues if cue.knob != "paintings"]
    engine, turning = load_turning(own, cues, engine_request(own), say.line)
    for loaded in turning.engines.values() if turning else [engine]:
        stack.callback(loaded.close)
    if turning and settings.show:
        raise StylizeError("--show looks into one style as it is: leave knobs and timelines out")
    segments = segment_settings(own, painted_by(own, style, engine))
    return Rendition(
        style.card.id, "", engine, replace(settings, turning=turning, segments=segments)
    )


def _tell(outcomes: Sequence[Outcome], say: Speaker) -> None:
    told: set[str] = set()
    for outcome in outcomes:
        if outcome.error and outcome.error not in told:
            say.error(outcome.error)
            told.add(outcome.error)
        for notice in outcome.result.notices if outcome.result else ():
            if notice not in told:  # what is said of the input is said once
                say.line(notice)
                told.add(notice)
        if outcome.result:
            say.summary(outcome.result)
