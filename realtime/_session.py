"""What a worker paints with, set up from the options of the command line."""

import contextlib
import os
from dataclasses import replace

from ._arguments import engine_request, video_settings
from ._crew import Setup, Skills
from ._looks import first_style, load_turning
from ._pieces import PieceWorker
from ._segment_options import painted_by
from .errors import ClusterError
from .video import open_source, painter_for


def open_worker(setup: Setup) -> tuple[PieceWorker, Skills]:
    """A worker and what it paints with. Raises `StylizeError`s.

    Styles, paintings, masks and networks are found here by the names that were given; whether they
    are those of other workers is told by what they are made of.
    """
    options = setup.options
    with contextlib.suppress(OSError):  # names that are not found then say so themselves
        os.chdir(setup.folder)
    said: list[str] = []
    style = first_style(options)
    settings = video_settings(options)
    engine, turning = load_turning(options, setup.cues, engine_request(options), said.append)
    if turning and (why := turning.why_not_in_parts):
        raise ClusterError(f"{why}: leave --cluster out")
    made_of = painted_by(options, style, engine)
    if turning:
        made_of |= turning.made_of
    painter = painter_for(engine, replace(settings, turning=turning))
    worker = PieceWorker(painter, lambda name: open_source(name, settings))
    return worker, Skills(made_of, engine.description, (*said, *engine.notices))
