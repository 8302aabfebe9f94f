"""Paint moving pictures: sources, engines, sinks, and the pipeline between them. Needs no torch."""

# Before PyAV: both bring a library libxcb-shm, and with that of PyAV, OpenCV's windows hang.
import cv2  # noqa: F401

from . import _telemetry  # noqa: F401 - before anything imports onnxruntime
from .catalogue import Style, StyleCard, all_styles, find_style
from .engines import Engine
from .engines.choose import EngineRequest, load_engine
from .errors import StylizeError
from .frame import Frame, VideoInfo
from .pipeline import Pipeline, Report
from .sinks import Sink
from .sinks.file import FileSink
from .sinks.memory import MemorySink
from .sources import Source
from .sources.file import FileSource
from .sources.synthetic import SyntheticSource
from .stylizer import Stylizer
from .temporal import TemporalBlender, TemporalSettings
from .tiers import TIERS, TemporalStage, stage_for

__all__ = [
    "TIERS",
    "Engine",
    "EngineRequest",
    "FileSink",
    "FileSource",
    "Frame",
    "MemorySink",
    "Pipeline",
    "Report",
    "Sink",
    "Source",
    "Style",
    "StyleCard",
    "StylizeError",
    "Stylizer",
    "SyntheticSource",
    "TemporalBlender",
    "TemporalSettings",
    "TemporalStage",
    "VideoInfo",
    "all_styles",
    "find_style",
    "load_engine",
    "stage_for",
]
