"""Values of command-line options. What is wrong is said by argparse, with exit code 2."""

import argparse
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from .engines._contract import RANGES
from .engines.any_painting import Painting
from .keyframes import MOST_EVERY, Every
from .sources.images import read_image
from .video import parse_raw


def parse_share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def parse_every(text: str) -> Every:
    """`auto` or a count of frames."""
    if text == "auto":
        return "auto"
    if not text.isdecimal() or not 1 <= int(text) <= MOST_EVERY:
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor 1 to {MOST_EVERY}")
    return int(text)


def parse_seconds(text: str) -> Fraction:
    """A time in seconds, from seconds or H:MM:SS.s."""
    total = Fraction(0)
    parts = text.split(":")
    if len(parts) > 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: give seconds or H:MM:SS.s")
    try:
        for part in parts:
            total = total * 60 + Fraction(part)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: give seconds or H:MM:SS.s"
        ) from None
    if total < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is before the beginning")
    return total


def parse_rate(text: str) -> Fraction:
    """Frames a second."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a frame rate: give 25 or 30000/1001")
    return rate


def parse_bitrate(text: str) -> int:
    """Bits a second, from 2500k, 4M or plain bits."""
    number, factor = text, 1
    if text[-1:] in "kKmM" and text:
        number, factor = text[:-1], 1000 if text[-1] in "kK" else 1_000_000
    try:
        bits = round(float(number) * factor)
    except (ValueError, OverflowError):
        bits = 0
    if not 10_000 <= bits <= 1_000_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a bitrate: give 2500k or 4M")
    return bits


def parse_size(text: str) -> tuple[int | None, int | None]:
    """Width and height, None where left out."""
    width, x, height = text.lower().partition("x")
    ok = x and (width or height) and all(not side or side.isdecimal() for side in (width, height))
    sides = (int(width) if ok and width else None, int(height) if ok and height else None)
    if not ok or 0 in sides:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: give 1280x720, 1280x or x720")
    return sides


def parse_count(text: str) -> int:
    """A positive whole number."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def parse_devices(text: str) -> list[int]:
    """Numbers of devices with commas between them, each once."""
    numbers = [int(part) if part.isdecimal() else -1 for part in text.split(",")]
    if min(numbers) < 0 or max(numbers) > 255 or len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"{text!r} are no devices: give numbers like 0,1")
    return numbers


def parse_names(text: str) -> list[str]:
    """Names with commas between them."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} names nothing: give NAME,NAME")
    return names


def parse_megabytes(text: str) -> int:
    """A size of memory in megabytes, from ``2G``, ``1.5G`` or ``1500M``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([MG])B?", text.upper())
    size = round(float(match[1]) * (1000 if match[2] == "G" else 1)) if match else 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size of memory: give 2G or 1500M")
    return size


def parse_threads(text: str) -> int:
    """A number of threads, 0 for all."""
    if not text.isdecimal() or int(text) > 1024:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of threads: give 1 to 1024, or 0 for all"
        )
    return int(text)


def parse_raw_video(text: str) -> Any:
    """FFmpeg options for raw video."""
    try:
        return parse_raw(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_ranges(text: str) -> tuple[Any, Any]:
    """The ranges of values that go in and come out of a model."""
    entry, _, end = text.partition(",")
    end = end or entry
    if entry not in RANGES or end not in RANGES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a range: give one or two of {', '.join(RANGES)}"
        )
    return entry, end


def parse_painting(text: str) -> tuple[str, float]:
    """The file of a painting and its weight, ``FILE`` or ``FILE:WEIGHT``."""
    file, colon, number = text.rpartition(":")
    if colon:
        try:
            weight = float(number)
        except ValueError:
            return text, 1.0  # the colon belongs to the name
        if not (file and 0 <= weight < float("inf")):
            raise argparse.ArgumentTypeError(f"{text!r} is not a painting with a weight from 0 up")
        return file, weight
    return text, 1.0


def read_paintings(given: Sequence[tuple[str, float]]) -> tuple[Painting, ...]:
    """The pictures to paint like. Raises `SourceOpenError`."""
    return tuple(Painting(read_image(Path(file)), weight) for file, weight in given)
