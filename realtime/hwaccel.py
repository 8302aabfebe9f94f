"""Decoding and encoding by hardware, where it is proved to work by real frames.

Drivers crash and hang where they are broken, and promise what they can't do where they are not. So
each is tried in a process of its own: decoding on the first frames of the very input, which must be
those that software decodes; encoding in the size and with the options of the very output, which
must decode to what went in.
"""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from .accelerators import ACCELERATORS, Accelerator
from .errors import SinkOpenError, SourceOpenError
from .frame import VideoInfo
from .sinks._containers import Container, EncodeOptions
from .sources.file import FileOptions

Half = Literal["decode", "encode"]
PROBE: Final = (sys.executable, "-P", "-m", f"{__package__}._hwprobe")
"""The program that tries an accelerator: it says ``ok``, or why not."""
_TIMEOUT_S: Final = 60.0
_REAP_S: Final = 2.0
_CODECS: Final = {"libx264": "h264", "libvpx-vp9": "vp9"}
"""What the encoder that a container has by default makes."""
_GENERAL: Final = frozenset({"h264", "hevc", "av1", "vp9"})
"""Names of codecs, not of encoders, that --codec may give for hardware to make."""


class Prober:
    """Tries accelerators, each kind of work once."""

    def __init__(self, command: Sequence[str] = PROBE, timeout_s: float = _TIMEOUT_S) -> None:
        self._command, self._timeout_s = tuple(command), timeout_s
        self._known: dict[str, str | None] = {}

    def why_not_decode(self, path: Path, read: FileOptions) -> str | None:
        """Why a file can't be decoded as `read` says; None where its first frames were."""
        assert read.hardware is not None
        work = {
            "decode": str(path.absolute()),
            "hardware": asdict(read.hardware),
            "max_pixels": read.max_pixels,
        }
        return self._tried(json.dumps(work))

    def why_not_encode(self, info: VideoInfo, write: EncodeOptions) -> str | None:
        """Why frames of this kind can't be encoded as `write` says; None where some were."""
        colour = info.colour
        work = {
            "encode": [info.width, info.height],
            "rate": str(info.rate_nominal),
            "colour": [colour.matrix, colour.range, colour.primaries, colour.transfer],
            "options": asdict(replace(write, overwrite=True)),
        }
        return self._tried(json.dumps(work))

    def _tried(self, work: str) -> str | None:
        if work not in self._known:
            self._known[work] = self._run(work)
        return self._known[work]

    def _run(self, work: str) -> str | None:
        # files and not pipes: a process that can't be killed would hold those open
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as cried:
            process = subprocess.Popen(
                [*self._command, work], stdin=subprocess.DEVNULL, stdout=said, stderr=cried
            )
            try:
                code = process.wait(self._timeout_s)
            except subprocess.TimeoutExpired:
                return f"it did nothing for {self._timeout_s:g} s"
            finally:
                if process.poll() is None:
                    process.kill()
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_REAP_S)
            said.seek(0)
            cried.seek(0)
            words = said.read().decode(errors="replace").strip().splitlines()
            cries = cried.read().decode(errors="replace").strip().splitlines()
        if code < 0:
            return f"it crashed ({_signal_name(-code)})"
        if words and words[-1] == "ok" and code == 0:
            return None
        return (words or cries or [f"it ended with code {code}"])[-1][:300]


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


@dataclass(frozen=True)
class HardwareRequest:
    """What of the work is wanted to be done by hardware."""

    name: str = "auto"
    """An accelerator, or ``auto`` for the first that works."""
    only: Half | None = None
    """One half of the work; None for both."""
    accelerators: tuple[Accelerator, ...] = ACCELERATORS
    prober: Prober = field(default_factory=Prober)

    def decoder_for(self, file: Path | None, read: FileOptions) -> tuple[FileOptions, str]:
        """How to read a file, None for what is none, and what to say of it.

        Raises `SourceOpenError` where the accelerator asked for by name does not work.
        """
        if self.only == "encode":
            return read, "decoded in software, as asked"
        if file is None:
            if self.name != "auto":
                raise SourceOpenError(
                    f"--hwaccel {self.name} is tried on the input first, and this one can't be "
                    "read twice: give a file, or add --hwaccel-only encode"
                )
            return read, "decoded in software (this input can't be read twice)"
        if not file.is_file():
            return read, "decoded in software"  # what is wrong is said when it is opened
        failures: list[str] = []
        for accelerator in self._wanted():
            choice = replace(read, hardware=accelerator.decoder)
            why = accelerator.why_no_decoder()
            if why is None and (why := self.prober.why_not_decode(file, choice)):
                failures.append(f"{accelerator.name}: {why}")
            if why is None:
                return choice, f"decoded by {accelerator.name}"
            if self.name != "auto":
                raise SourceOpenError(
                    f"--hwaccel {self.name} can't decode {file}: {why}; leave it out, or give "
                    "--hwaccel auto"
                )
        return read, f"decoded in software ({_reasons(failures)})"

    def encoder_for(
        self, container: Container | None, info: VideoInfo, write: EncodeOptions
    ) -> tuple[EncodeOptions, str]:
        """How to write to a container, None for pictures, and what to say of it.

        Raises `SinkOpenError` where the accelerator asked for by name does not work.
        """
        if self.only == "decode":
            return write, "encoded in software, as asked"
        codec = _codec_of(container, write)
        if codec is None:
            used = write.codec or (container.video if container else "")
            return write, f"encoded by {used}" if used else "not encoded"
        failures: list[str] = []
        never = True
        for accelerator in self._wanted():
            name = accelerator.encoder(codec)
            if name is None:
                continue
            never = False
            choice = writing_by(accelerator, name, write)
            why = accelerator.why_no_encoder(name)
            if why is None and (why := self.prober.why_not_encode(info, choice)):
                failures.append(f"{name}: {why}")
            if why is None:
                return choice, f"encoded by {name}"
            if self.name != "auto":
                raise SinkOpenError(
                    f"--hwaccel {self.name} can't encode by {name}: {why}; leave it out, add "
                    "--hwaccel-only decode, or give --hwaccel auto"
                )
        if never:
            return write, f"encoded in software ({self.name} only decodes)"
        return write, f"encoded in software ({_reasons(failures)})"

    def _wanted(self) -> tuple[Accelerator, ...]:
        if self.name == "auto":
            return self.accelerators
        return tuple(a for a in self.accelerators if a.name == self.name)


def _codec_of(container: Container | None, write: EncodeOptions) -> str | None:
    """The codec that hardware may make; None where there is a choice of encoder already."""
    if container is None:
        return None
    if write.codec is not None:
        return write.codec if write.codec in _GENERAL else None
    return _CODECS.get(container.video)


def writing_by(
    accelerator: Accelerator, encoder: str, write: EncodeOptions | None = None
) -> EncodeOptions:
    """How to write by an encoder of an accelerator."""
    upload = accelerator.device if accelerator.uploads else None
    return replace(write or EncodeOptions(), codec=encoder, upload_to=upload)


def _reasons(failures: Sequence[str]) -> str:
    return "; ".join(failures) or "no hardware for it was found here"


def tell(decoding: str, encoding: str) -> str:
    """What hardware does of a job, in one line."""
    return f"--hwaccel: {decoding}; {encoding}"
