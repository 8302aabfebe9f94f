"""Frozen feature extractors: where their weights come from, and which network they belong to.

Weights are given as a file, recognised by what is in it, or by the name of a torchvision network,
which is then fetched once into the user's cache and checked against its sha256:

======================  ==========================================================================
file                    network
======================  ==========================================================================
torchvision ``.pth``    VGG-16 or VGG-19, ``features.N.weight`` keys
``conv1_1.weight`` …    VGG-19 in Caffe's convention, as deep as the file goes
``conv0.weight`` …      VGG-19 distilled to a quarter of its width
``fire2.squeeze1x1`` …  SqueezeNet 1.1
``inception_3a.1x1`` …  GoogLeNet (Inception v1)
``layer1.0.conv1`` …    ResNet-18, ResNet-50 and their like in torchvision's format
======================  ==========================================================================
"""

import hashlib
import http.client
import os
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TextIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ._encoders import (
    VGG16_BLOCKS,
    VGG19_BLOCKS,
    DistilledVgg19,
    Encoder,
    GoogLeNet,
    ResNet,
    SqueezeNet,
    Vgg,
    folded_norms,
)
from .errors import FeaturesError

_CHUNK: Final = 1 << 20
_TIMEOUT_S: Final = 30
_LINES: Final = 10
_LINE_BYTES: Final = 50_000_000
"""Where a download is told in lines: so many, or one for so many bytes where its end is unknown."""


@dataclass(frozen=True)
class Download:
    """A weights file on the network: `sha256` is all of its digest, or the beginning its publisher
    names.
    """

    url: str
    sha256: str


# torchvision publishes the first eight digits of the digest in the name; where all are known all
# are checked.
DOWNLOADS: Final = {
    "vgg16": Download(
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    ),
    "vgg19": Download("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "dcbb9e9d"),
    "resnet18": Download("https://download.pytorch.org/models/resnet18-f37072fd.pth", "f37072fd"),
    "resnet50": Download("https://download.pytorch.org/models/resnet50-0676ba61.pth", "0676ba61"),
}
RANDOM: Final = "random"
"""Asks for VGG-19 as it was before it learned anything, which is better than nothing (He 2016).

What it gives has `untrained` set, and a program that uses it says `RANDOM_NOTICE`.
"""
RANDOM_NOTICE: Final = (
    "the loss network is an untrained VGG-19 (--features random): give vgg19 for one that has "
    "learned"
)
_RANDOM_WIDTHS: Final = (64, 128, 256, 512, 512)

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all, 0 where nobody knows, while weights are fetched."""


def load_features(source: str, progress: Progress | None = None) -> Encoder:
    """The extractor for a weights file or the name of a published network.

    Without `progress` a download tells on a terminal's stderr how far it is, and nowhere else.
    Raises `FeaturesError`: no such file, unknown content, a download that fails or doesn't match.
    """
    if source == RANDOM:
        return _untrained()
    if source in DOWNLOADS:
        path = fetch(DOWNLOADS[source], progress=progress)
    else:
        path = Path(source)
        if not path.is_file():
            known = ", ".join((*DOWNLOADS, RANDOM))
            raise FeaturesError(f"there is no weights file {source}: give a file or one of {known}")
    return _recognise(_read(path), path.name)


def fetch(download: Download, folder: Path | None = None, progress: Progress | None = None) -> Path:
    """The file of a download in the cache folder, fetched there when it is not yet there whole.

    Raises `FeaturesError`: a folder that can't be written, a download that fails or doesn't match.
    """
    folder = folder or cache_folder()
    path = folder / download.url.rpartition("/")[2]
    try:
        if path.is_file():
            if _digest(path).startswith(download.sha256):
                return path
            path.unlink()  # a download that was cut short or replaced
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.part")
        try:
            _download(download.url, temporary, progress)
            _check(temporary, download)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:  # those of the network are told apart where they happen
        raise FeaturesError(
            f"weights can't be kept in {folder} ({error.strerror or error}): make that a folder "
            "that can be written, set XDG_CACHE_HOME to one, or give the path of a weights file"
        ) from error
    return path


def cache_folder() -> Path:
    """Where fetched weights are kept: ``$XDG_CACHE_HOME`` or ``~/.cache``, then
    ``stylize-video``.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "stylize-video"


def _download(url: str, path: Path, progress: Progress | None) -> None:
    """Fetch a file. Raises `FeaturesError` for what the network does, OSError for the disk."""
    with path.open("wb") as file, _Teller(url.rpartition("/")[2], sys.stderr) as teller:
        tell, done = progress or teller.tell, 0
        for piece, total in _pieces(url):
            file.write(piece)
            done += len(piece)
            tell(done, total)


def _pieces(url: str) -> Iterator[tuple[bytes, int]]:
    """What lies at an address, piece by piece, each with the bytes in all, or 0. Raises
    `FeaturesError` unless all of it comes.
    """
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as reply:
            done, total = 0, int(reply.headers.get("Content-Length") or 0)
            # read1 takes what is there: on a slow line nothing waits for a piece to be full
            while piece := reply.read1(_CHUNK):
                done += len(piece)
                yield piece, total
        if done < total:
            raise OSError(f"it broke off after {done} of {total} bytes")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FeaturesError(
            f"{url} can't be fetched ({reason}): fetch it by other means and give its path"
        ) from error


class _Teller:
    """Tells on a terminal how far a download is, in one line that overwrites itself; silent
    elsewhere.
    """

    def __init__(self, name: str, stream: TextIO) -> None:
        self._name, self._stream, self._said = name, stream, ""
        self._silent = not stream.isatty()
        # a bar of rich that is on the terminal lets whole lines through, above it: few are enough
        self._lines = hasattr(stream, "rich_proxied_file")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._said and not self._lines:
            self._stream.write("\n")

    def tell(self, done: int, total: int) -> None:
        """A `Progress`."""
        if self._silent:
            return
        if self._lines:
            step = total // _LINES or _LINE_BYTES
            done = total if done == total else done // step * step
        of_all = f" of {total / 1e6:.0f}" if total else ""
        text = f"fetching {self._name}: {done / 1e6:.0f}{of_all} MB"
        if text == self._said:
            return
        self._said = text
        self._stream.write(f"{text}\n" if self._lines else f"\r{text}")
        if not self._lines:
            self._stream.flush()


def _check(path: Path, download: Download) -> None:
    """Raise `FeaturesError` where what was fetched is not what its publisher names."""
    digest = _digest(path)
    if not digest.startswith(download.sha256):
        raise FeaturesError(
            f"{download.url} is not the file expected: its sha256 is {digest[:12]}…, "
            f"not {download.sha256[:12]}…: fetch it by other means and give its path"
        )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, ImportError) as error:
        raise FeaturesError(f"{path} is not a weights file: {error}") from error
    except Exception as error:  # pickle raises what it likes for hostile content
        raise FeaturesError(f"{path} is not a weights file that can be trusted: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise FeaturesError(f"{path} holds no weights by name")
    return content


def _recognise(weights: Mapping[str, Tensor], name: str) -> Encoder:
    if "features.0.weight" in weights:
        return _torchvision_vgg(weights, name)
    if "conv0.weight" in weights and "conv1_1.weight" in weights:
        kept = {k: v for k, v in weights.items() if "_aux" not in k}
        return DistilledVgg19(kept, name)
    if "conv1_1.weight" in weights:
        return Vgg(weights, name, VGG19_BLOCKS, torchvision=False)
    if "fire2.squeeze1x1.weight" in weights:
        return SqueezeNet(weights, name)
    if "inception_3a.1x1.weight" in weights:
        return GoogLeNet(weights, name)
    if "layer1.0.conv1.weight" in weights and "bn1.running_var" in weights:
        try:
            return ResNet(folded_norms(weights), name)
        except KeyError as error:
            raise FeaturesError(f"{name} is a ResNet without {error}") from error
    raise FeaturesError(
        f"{name} belongs to no network known here: its first key is {min(weights, default='none')}"
    )


def _torchvision_vgg(weights: Mapping[str, Tensor], name: str) -> Vgg:
    """``features.N`` keys count every layer; convolutions are those that have weights."""
    numbers = sorted(
        int(match[1]) for key in weights if (match := re.fullmatch(r"features\.(\d+)\.weight", key))
    )
    blocks = {13: VGG16_BLOCKS, 16: VGG19_BLOCKS}.get(len(numbers))
    if blocks is None or any(weights[f"features.{n}.weight"].dim() != 4 for n in numbers):
        raise FeaturesError(
            f"{name} is neither VGG-16 nor VGG-19: it has {len(numbers)} layers with weights"
        )
    labels = [f"conv{b}_{i}" for b, count in enumerate(blocks, 1) for i in range(1, count + 1)]
    renamed = {
        f"{label}.{kind}": weights[f"features.{number}.{kind}"]
        for label, number in zip(labels, numbers, strict=True)
        for kind in ("weight", "bias")
    }
    return Vgg(renamed, name, blocks, torchvision=True)


def _untrained() -> Vgg:
    """VGG-19 with random weights (He 2015), always the same ones."""
    random = torch.Generator().manual_seed(0)
    weights, inputs = {}, 3
    for block, (count, width) in enumerate(zip(VGG19_BLOCKS, _RANDOM_WIDTHS, strict=True), 1):
        for index in range(1, count + 1):
            spread = (2 / (9 * inputs)) ** 0.5
            kernel = torch.randn(width, inputs, 3, 3, generator=random) * spread
            weights[f"conv{block}_{index}.weight"] = kernel
            weights[f"conv{block}_{index}.bias"] = torch.zeros(width)
            inputs = width
    encoder = Vgg(weights, "random (an untrained VGG-19)", VGG19_BLOCKS, torchvision=True)
    encoder.untrained = True
    return encoder
