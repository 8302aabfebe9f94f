"""The settings of training as flags, and its progress on the terminal."""

import argparse
import dataclasses
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from .data import Augmentation
from .errors import TrainingError
from .methods.base import Progress as Step
from .train import CONFIGS

_HELP = {
    "features": "weights of a loss network: a file, a published network to fetch (vgg16, vgg19, "
    "resnet18, resnet50), or random for none; repeatable",
    "start": "a finished style to start from, by name, folder or ONNX file: learns faster",
    "tier": "size of the network: fast, balanced or fine",
    "steps": "steps in all",
    "batch": "pictures a step",
    "crop": "side of the crops that are looked at, pixels",
    "painting_side": "short side the painting is scaled to, pixels: larger means larger strokes",
    "style_loss": "what is compared: gram, correlation, moments, gaussian, or several joined by +",
    "style_layers": "layers whose statistics are matched, with weights",
    "coarse_layers": "layers whose statistics are matched in pictures of half the size too, with "
    "weights; '' for none",
    "style_crop": "side of the crops of paintings, pixels",
    "style_pool": "how many styles are drawn, once for the whole run",
    "content_layers": "layers whose activations are kept, with weights",
    "content": "weight of keeping what is in the picture",
    "style": "weight of looking like the painting",
    "style_shared": "part of the style taken over the batch as a whole, 0 to 1",
    "palette": "weight of painting in the painting's colours",
    "broad": "weight of keeping broad light and colours where they are",
    "calm": "weight of keeping what is plain in a photo without shapes of the network's own",
    "plain": "what a place that is plain in a photo counts in style, 0 to 1",
    "light": "weight of keeping light and shade where they are",
    "variation": "weight of total variation: more is smoother",
    "equivariance": "weight of the paint moving with the picture",
    "lattice": "weight against patterns that repeat every 8 pixels",
    "phases": "weight against edges that prefer places of the 8-pixel lattice in what is plain",
    "blend_from": "part of the run after which norms forget the single picture, 0 to 1",
    "freeze_at": "part of the run after which norms are constants, 0 to 1",
    "learning_rate": "step size of Adam",
    "seed": "seed of everything random",
    "precision": "auto, fp32 or bf16",
    "photo_styles": "share of the styles that are crops of photos, 0 to 1",
    "identity": "weight of giving a picture back that is its own style",
    "loss": "adversarial loss: lsgan or nonsaturating",
    "adversary": "weight of being taken for a painting",
    "colour": "weight of keeping the photo's colours",
    "paired": "weight of painting photos like the pictures of the same name; 0 for folders without "
    "pairs",
    "cycle": "weight of a second network finding the photo back; 0 trains none",
    "first_steps": "part of the run in which the network learns to give the photo back, 0 to 1",
}

_AUGMENTATION_HELP = {
    "zoom": "the photo's short side over the crop's, range",
    "rotation": "degrees a photo is turned by at most",
    "flip": "share of photos that are mirrored, 0 to 1",
    "brightness": "factor on light, range",
    "contrast": "factor on contrast, range",
    "hue": "degrees hues are turned by at most",
    "noise": "deviation of added noise at most, of 255",
    "jpeg": "lowest JPEG quality a photo is passed through, 1 to 100; 0 for none",
    "flat_share": "share of pictures with almost nothing in them, 0 to 1",
}


def add_settings(parser: argparse.ArgumentParser, method: str) -> None:
    """The flags of a method's settings; left out, a setting is None and keeps its default."""
    group = parser.add_argument_group("what is learned")
    for field in dataclasses.fields(CONFIGS[method]):
        if field.name not in _HELP:
            continue
        flags = [f"--{field.name.replace('_', '-')}"]
        text = f"{_HELP[field.name]} (default: {_shown(field.default)})"
        if field.name == "features":
            group.add_argument(*flags, action="append", help=text)
            continue
        if field.name == "start":
            flags.insert(0, "--from")
        # defaults stay those of the settings, so that --resume can tell what was given
        group.add_argument(
            *flags, dest=field.name, type=type(field.default), default=None, metavar="X", help=text
        )
    group = parser.add_argument_group("how photos are varied")
    default = CONFIGS[method]("", "").augmentation
    for field in dataclasses.fields(Augmentation):
        standard = getattr(default, field.name)
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=f"augment_{field.name}",
            type=_range if isinstance(standard, tuple) else float,
            default=None,
            metavar="LOW..HIGH" if isinstance(standard, tuple) else "X",
            help=f"{_AUGMENTATION_HELP[field.name]} (default: {_shown_range(standard)})",
        )


def settings_of(options: argparse.Namespace, method: str) -> Any:
    """The settings that were given, with defaults for the rest. Raises `TrainingError`."""
    kind = CONFIGS[method]
    given = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(kind)
        if getattr(options, field.name, None) is not None
    }
    for needed in ("painting", "photos"):
        if needed not in given:
            raise TrainingError(
                f"a new run needs {'a painting' if needed == 'painting' else '--photos DIR'}"
            )
    if "features" in given:
        given["features"] = tuple(given["features"])
    if varied := _augmentation(options):
        given["augmentation"] = dataclasses.replace(kind("", "").augmentation, **varied)
    return kind(**given)


def refuse_changes(options: argparse.Namespace, config: Any) -> None:
    """A resumed run goes on as it began: a setting given anew must be the same."""
    pairs = [
        (field.name, getattr(options, field.name, None), getattr(config, field.name))
        for field in dataclasses.fields(config)
        if field.name != "augmentation"
    ]
    pairs += [(n, v, getattr(config.augmentation, n)) for n, v in _augmentation(options).items()]
    for name, given, before in pairs:
        if given is None:
            continue
        if (tuple(given) if name == "features" else given) != before:
            raise TrainingError(
                f"--{name.replace('_', '-')} {given} differs from the run's {before}: resume "
                "without it, or begin a new run"
            )


def _augmentation(options: argparse.Namespace) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(Augmentation)]
    given = {name: getattr(options, f"augment_{name}", None) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def _range(text: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    try:
        pair = float(low), float(high if dots else low)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a range such as 0.8..1.2") from None
    if pair[0] > pair[1]:
        raise argparse.ArgumentTypeError(f"the range {text!r} falls: give the lower number first")
    return pair


def _shown_range(value: Any) -> str:
    return f"{value[0]:g}..{value[1]:g}" if isinstance(value, tuple) else f"{value:g}"


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


class TrainingBar:
    """Progress of a run with its losses, speed and time left; lines instead where there is no
    terminal.
    """

    def __init__(self, console: Console, steps: int, *, quiet: bool) -> None:
        self._console, self._steps, self._quiet = console, steps, quiet
        self._lines = not console.is_terminal
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or self._lines,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "TrainingBar":
        self._progress.start()
        self._task = self._progress.add_task("", total=self._steps, losses="", speed="")
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def step(self, step: Step) -> None:
        losses = " ".join(f"{name} {value:.3f}" for name, value in step.losses.items() if value)
        speed = f"{step.images_per_second:.1f} images/s"
        assert self._task is not None
        self._progress.update(self._task, completed=step.step, losses=losses, speed=speed)
        if step.preview:
            self._console.print(f"step {step.step}: {step.preview}")
        elif self._lines and not self._quiet and step.step % min(50, self._steps) == 0:
            minutes = step.seconds_left / 60
            self._console.print(
                f"step {step.step}/{step.steps} {losses} {speed}, {minutes:.0f} min left"
            )
