"""The errors of training and export. Each message says what is wrong, the value seen, and what to
do.

ExportError(Exception)
├─ FeaturesError    weights of a loss network
├─ DataError        paintings and photos
├─ TrainingError    a run that can't start, go on, or be resumed
└─ ConversionError  a network that can't be exported, or fails its check
"""


class ExportError(Exception):
    """Anything this half reports to the person using it."""


class FeaturesError(ExportError):
    """The weights of a feature extractor can't be had or used."""


class DataError(ExportError):
    """A painting or the photos can't be used."""


class TrainingError(ExportError):
    """A training run can't start, go on, or be resumed."""


class ConversionError(ExportError):
    """A network can't be exported, or what was exported fails its check."""
