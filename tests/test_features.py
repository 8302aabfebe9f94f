"""Loss networks: recognised by their weights, fed as they were trained, fetched only when sound."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stylize_video.export import features
from stylize_video.export._encoders import VGG16_BLOCKS, VGG19_BLOCKS, Encoder, Vgg
from stylize_video.export.data import list_photos, read_picture, to_tensor
from stylize_video.export.errors import FeaturesError

FILES = {
    "vgg19_conv1_1-conv3_4_caffe_rgb.fp16.safetensors": ("relu1_1", "relu3_4", 256),
    "vgg19_distilled_4SE_16x.safetensors": ("relu1_1", "relu4_1", 128),
    "vgg19_distilled_5SE_16x.safetensors": ("relu1_1", "relu5_1", 128),
    "squeezenet1_1_rgb.fp16.safetensors": ("conv1", "fire9", 512),
    "googlenet_bvlc_rgb.fp16.safetensors": ("conv1", "inception_5b", 1024),
}
Data = Callable[[str], Path]


def photo(data: Data, index: int = 0) -> torch.Tensor:
    return to_tensor(read_picture(list_photos(data("photos"))[index])[:224, :224])[None]


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_recognised(name: str, data: Data) -> None:
    first, last, channels = FILES[name]
    encoder = features.load_features(str(data(f"vgg/{name}")))
    assert (encoder.layers[0], encoder.layers[-1]) == (first, last)
    found = encoder(photo(data), {first, last})
    assert set(found) == {first, last}
    assert found[last].shape[1] == channels
    for value in found.values():
        assert torch.isfinite(value).all()
        assert float(value.min()) >= 0
        active = float((value > 0).float().mean())
        assert 0.05 < active < 0.95  # a wrong input convention kills or floods ReLUs
    assert not list(encoder.parameters())


def test_the_distilled_network_sees_what_the_real_one_sees(data: Data) -> None:
    """Its published maps to the real widths agree, and less so with red and blue exchanged."""
    from safetensors.torch import load_file

    weights = load_file(data("vgg/vgg19_distilled_5SE_16x.safetensors"))
    small = features.load_features(str(data("vgg/vgg19_distilled_5SE_16x.safetensors")))
    real = features.load_features(str(data("vgg/vgg19_conv1_1-conv3_4_caffe_rgb.fp16.safetensors")))
    picture = photo(data, 7)
    agreement = []
    for shown in (picture, picture.flip(1)):
        layer = "relu2_1"
        low = small(picture, {layer})[layer]
        kernel, bias = (weights[f"conv2_1_aux.{k}"].float() for k in ("weight", "bias"))
        mapped = torch.conv2d(low, kernel, bias)
        mapped = mapped.clamp_min(0)
        target = real(shown, {layer})[layer]
        rows = torch.stack([mapped.flatten(2)[0], target.flatten(2)[0]])
        rows = rows - rows.mean(2, keepdim=True)
        norms = rows.norm(dim=2).clamp_min(1e-6)
        agreement.append(float(((rows[0] * rows[1]).sum(1) / norms[0] / norms[1]).median()))
    assert agreement[0] > 0.8
    assert agreement[0] > agreement[1]


def torchvision_weights(blocks: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Random weights under the names of torchvision's ``vgg16().state_dict()``."""
    torch.manual_seed(0)
    weights, number, inputs = {}, 0, 3
    for block, count in enumerate(blocks):
        outputs = 4 * min(8, 2**block)
        for _ in range(count):
            weights[f"features.{number}.weight"] = torch.randn(outputs, inputs, 3, 3) * 0.2
            weights[f"features.{number}.bias"] = torch.randn(outputs) * 0.1
            number, inputs = number + 2, outputs
        number += 1
    weights["classifier.0.weight"] = torch.zeros(1)
    return weights


@pytest.mark.parametrize("blocks", [VGG16_BLOCKS, VGG19_BLOCKS], ids=["vgg16", "vgg19"])
def test_torchvisions_names_are_understood(blocks: tuple[int, ...], tmp_path: Path) -> None:
    weights = torchvision_weights(blocks)
    torch.save(weights, tmp_path / "vgg.pth")
    encoder = features.load_features(str(tmp_path / "vgg.pth"))
    assert isinstance(encoder, Vgg)
    assert not encoder.untrained
    assert len(encoder.layers) == sum(blocks)
    assert encoder.layers[-1] == f"relu5_{blocks[-1]}"
    # the same by hand, as torchvision chains its layers
    picture = torch.rand(1, 3, 32, 32)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    x = (picture - mean) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    number = 0
    for block, count in enumerate(blocks[:3]):
        for _ in range(count):
            weight, bias = (weights[f"features.{number}.{k}"] for k in ("weight", "bias"))
            x = torch.relu(torch.conv2d(x, weight, bias, padding=1))
            number += 2
        name = f"relu{block + 1}_{count}"
        torch.testing.assert_close(encoder(picture, {name})[name], x)
        x, number = torch.max_pool2d(x, 2), number + 1


def resnet_weights(blocks: int, *, bottleneck: bool) -> dict[str, torch.Tensor]:
    """Random weights under the names of torchvision's ``resnet18`` or ``resnet50``, thinner."""
    random = torch.Generator().manual_seed(0)
    weights: dict[str, torch.Tensor] = {}

    def add(conv: str, norm: str, outputs: int, inputs: int, kernel: int) -> None:
        shape = outputs, inputs, kernel, kernel
        weights[f"{conv}.weight"] = torch.randn(shape, generator=random) * 0.2
        for kind in ("weight", "bias", "running_mean"):
            weights[f"{norm}.{kind}"] = torch.randn(outputs, generator=random) * 0.3
        weights[f"{norm}.running_var"] = torch.rand(outputs, generator=random) + 0.5

    add("conv1", "bn1", 8, 3, 7)
    inputs = 8
    for group in range(1, 5):
        width = 8 * 2 ** (group - 1)
        outputs = 4 * width if bottleneck else width
        for index in range(blocks):
            key = f"layer{group}.{index}"
            kernels = (1, 3, 1) if bottleneck else (3, 3)
            widths = (width, width, outputs) if bottleneck else (width, outputs)
            before = inputs
            for n, (kernel, out) in enumerate(zip(kernels, widths, strict=True), 1):
                add(f"{key}.conv{n}", f"{key}.bn{n}", out, before, kernel)
                before = out
            if index == 0 and (group > 1 or outputs != inputs):
                add(f"{key}.downsample.0", f"{key}.downsample.1", outputs, inputs, 1)
            inputs = outputs
    weights["fc.weight"] = torch.zeros(2, inputs)
    return weights


def resnet_by_hand(
    weights: dict[str, torch.Tensor], picture: torch.Tensor, *, bottleneck: bool
) -> torch.Tensor:
    """The first block of the second group, as torchvision computes it."""

    def conv_norm(x: torch.Tensor, conv: str, norm: str, stride: int, padding: int) -> torch.Tensor:
        x = torch.conv2d(x, weights[f"{conv}.weight"], None, stride, padding)
        kinds = ("running_mean", "running_var", "weight", "bias")
        return torch.nn.functional.batch_norm(x, *(weights[f"{norm}.{k}"] for k in kinds))

    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    x = (picture - mean) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    x = torch.relu(conv_norm(x, "conv1", "bn1", 2, 3))
    x = torch.nn.functional.max_pool2d(x, 3, 2, 1)
    for key, stride in (("layer1.0", 1), ("layer2.0", 2)):
        y = x
        steps = ((1, 0), (stride, 1), (1, 0)) if bottleneck else ((stride, 1), (1, 1))
        for n, (step, padding) in enumerate(steps, 1):
            y = conv_norm(y, f"{key}.conv{n}", f"{key}.bn{n}", step, padding)
            y = torch.relu(y) if n < len(steps) else y
        if f"{key}.downsample.0.weight" in weights:
            x = conv_norm(x, f"{key}.downsample.0", f"{key}.downsample.1", stride, 0)
        x = torch.relu(x + y)
    return x


@pytest.mark.parametrize("bottleneck", [False, True], ids=["like18", "like50"])
def test_resnets_are_understood_with_their_norms_folded(bottleneck: bool, tmp_path: Path) -> None:
    weights = resnet_weights(1, bottleneck=bottleneck)
    torch.save(weights, tmp_path / "resnet.pth")
    encoder = features.load_features(str(tmp_path / "resnet.pth"))
    assert encoder.layers == ("conv1", "layer1_1", "layer2_1", "layer3_1", "layer4_1")
    picture = torch.rand(1, 3, 64, 48)
    expected = resnet_by_hand(weights, picture, bottleneck=bottleneck)
    found = encoder(picture, {"layer2_1"})["layer2_1"]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    del weights["layer1.0.bn1.running_mean"]
    torch.save(weights, tmp_path / "resnet.pth")
    with pytest.raises(FeaturesError, match=r"a ResNet without 'layer1.0.bn1.running_mean'"):
        features.load_features(str(tmp_path / "resnet.pth"))


def test_random_weights_are_asked_for_and_always_the_same() -> None:
    one, two = (features.load_features("random") for _ in range(2))
    assert "untrained" in one.name
    assert one.untrained
    assert "untrained" in features.RANDOM_NOTICE
    picture = torch.rand(1, 3, 32, 32)
    layer = {"relu3_1"}
    assert torch.equal(one(picture, layer)["relu3_1"], two(picture, layer)["relu3_1"])


def test_nothing_deeper_than_asked_is_computed(tmp_path: Path) -> None:
    class Explosive(Encoder):
        def normalise(self, x: torch.Tensor) -> torch.Tensor:
            return x

        def stages(self) -> list:  # type: ignore[type-arg]
            return [("one", lambda x: x + 1), ("two", self.explode)]

        def explode(self, x: torch.Tensor) -> torch.Tensor:
            raise AssertionError("computed too far")

    encoder = Explosive({"w": torch.zeros(1)}, "explosive")
    assert float(encoder(torch.zeros(1), {"one"})["one"]) == 1
    with pytest.raises(KeyError, match="explosive has no layer three: it has one, two"):
        encoder(torch.zeros(1), {"three"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"something.weight": torch.zeros(1)}, "belongs to no network known here"),
        ({"features.0.weight": torch.zeros(4, 3, 3, 3)}, "neither VGG-16 nor VGG-19"),
    ],
)
def test_unknown_weights(content: dict[str, torch.Tensor], said: str, tmp_path: Path) -> None:
    save_file(content, tmp_path / "odd.safetensors")
    with pytest.raises(FeaturesError, match=said):
        features.load_features(str(tmp_path / "odd.safetensors"))


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04cos\nsystem\n", b"\x00" * 64])
def test_files_that_are_no_weights(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FeaturesError, match="is not a weights file"):
        features.load_features(str(tmp_path / name))


def test_weights_can_not_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "touched",))  # type: ignore[return-value]

    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(FeaturesError):
        features.load_features(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "touched").exists()


def test_a_missing_file_tells_the_names_there_are() -> None:
    with pytest.raises(FeaturesError, match="give a file or one of vgg16, vgg19"):
        features.load_features("nowhere.pth")


# --- downloads
