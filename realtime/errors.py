"""The errors of stylize-video. Each message says what is wrong, the value seen, and what to do.

StylizeError(Exception)
├─ MissingDependency(ImportError)
├─ SourceError
│  ├─ SourceOpenError(OSError)
│  └─ SourceReadError
├─ SinkError
│  ├─ SinkOpenError(OSError)
│  └─ SinkWriteError
├─ StyleError
│  ├─ StyleNotFound(LookupError)
│  ├─ StyleCorrupt
│  └─ StyleIncompatible
├─ JournalError
│  └─ OutputBusy
├─ TemporalError
├─ ClusterError
└─ EngineError
   ├─ EngineUnavailable
   └─ InferenceError
"""


class StylizeError(Exception):
    """Anything this package reports to the person using it."""

    def __str__(self) -> str:
        # OSError and LookupError format their arguments in ways of their own.
        return str(self.args[0]) if self.args else ""


class MissingDependency(StylizeError, ImportError):
    """An optional package is needed and not installed; the message has the exact pip line."""


class SourceError(StylizeError):
    """A picture source failed."""


class SourceOpenError(SourceError, OSError):
    """The input can't be opened, or is not something that can be painted."""


class SourceReadError(SourceError):
    """The input failed after it had been opened; frames read before remain valid."""


class SinkError(StylizeError):
    """An output failed."""


class SinkOpenError(SinkError, OSError):
    """The output can't be created as asked."""


class SinkWriteError(SinkError):
    """The output failed after it had been created (disk full, device gone)."""


class StyleError(StylizeError):
    """A style can't be used."""


class StyleNotFound(StyleError, LookupError):
    """No style goes by that name."""


class StyleCorrupt(StyleError):
    """A style's file is damaged or is not the file its card vouches for."""


class StyleIncompatible(StyleError):
    """The model is readable but is not a network from picture to picture."""


class EngineError(StylizeError):
    """The inference engine failed."""


class EngineUnavailable(EngineError):
    """The engine that was asked for does not work on this machine."""


class InferenceError(EngineError):
    """The network failed on a frame, or produced no usable picture."""


class TemporalError(StylizeError):
    """The past could not be carried into a frame."""


class ClusterError(StylizeError):
    """The machines that were to paint can't, or are gone."""


class JournalError(StylizeError):
    """What an interrupted run has left can't be used by this one."""


class OutputBusy(JournalError):
    """Another run works on the same output."""
