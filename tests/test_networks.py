"""The style networks: sizes, folding, and what each trick claims."""

import pytest
import torch
from torch.nn import functional as F

from stylize_video.export.growth import grown, unfolded
from stylize_video.export.johnson import JohnsonNet
from stylize_video.export.networks import (
    MARGIN,
    STRIDE,
    TIERS,
    ConvNorm,
    Head,
    Norm,
    Shape,
    StyleNet,
    UpConvNorm,
    crop_painting,
    pad_picture,
)

SMALL = Shape(half=4, quarter=8, body=8, quarter_blocks=1, body_blocks=2)


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def frozen(shape: Shape) -> StyleNet:
    """A network with random weights whose norms were frozen on random pictures."""
    torch.manual_seed(0)
    network = StyleNet(shape)
    with torch.no_grad():
        for _ in range(100):
            network(torch.rand(2, 3, 64, 64))
    for norm in network.norms():
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.uniform_(-0.2, 0.2)
        norm.freeze()
    return network


@pytest.mark.parametrize(("tier", "millions"), [("fast", 0.12), ("balanced", 0.8), ("fine", 1.65)])
def test_tiers_have_their_size(tier: str, millions: float) -> None:
    assert parameters(StyleNet(TIERS[tier])) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("size", [(8, 8), (64, 40), (16, 128)])
def test_pictures_keep_their_size(size: tuple[int, int]) -> None:
    network = frozen(SMALL)
    assert network(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_folding_changes_nothing() -> None:
    network = frozen(SMALL).double()  # in float32, processors differ in more than is allowed here
    folded = network.folded()
    pictures = torch.rand(2, 3, 40, 56, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(folded(pictures), network(pictures), atol=1e-5, rtol=1e-4)
    assert not list(folded.norms())
    with torch.no_grad():
        torch.testing.assert_close(folded.folded()(pictures), folded(pictures))


def test_nothing_depends_on_the_rest_of_a_frame_once_frozen() -> None:
    """What enters a frame far away leaves the paint here as it is, bit for bit."""
    network = frozen(SMALL).folded()
    frame = torch.rand(1, 3, 64, 512)
    other = frame.clone()
    other[..., 256:] = torch.rand(1, 3, 64, 256)
    with torch.no_grad():
        assert torch.equal(network(frame)[..., :128], network(other)[..., :128])
        assert not torch.equal(network(frame), network(other))


def test_norms_that_are_not_frozen_do_not_fold() -> None:
    with pytest.raises(RuntimeError, match="freeze it first"):
        StyleNet(SMALL).folded()


def test_a_frozen_norm_computes_what_it_did_when_blended_over() -> None:
    norm = Norm(5)
    batch = torch.randn(4, 5, 16, 16) * torch.arange(1, 6)[:, None, None] + 3
    for _ in range(300):
        norm(batch)
    own, norm.blend = norm(batch), 1.0
    blended = norm(batch)
    # pictures of one kind: their mean statistics are nearly those of each
    torch.testing.assert_close(blended, own, atol=0.5, rtol=0)
    assert not torch.equal(blended, own)
    norm.eval()
    before = norm(batch)
    norm.freeze()
    torch.testing.assert_close(norm(batch), before, atol=1e-4, rtol=1e-4)


def test_norms_blend_halfway() -> None:
    norm = Norm(3).eval()
    batch = 2 * torch.randn(2, 3, 8, 8) + 1
    own = norm(batch)
    norm.blend = 1.0
    constant = norm(batch)
    norm.blend = 0.25
    torch.testing.assert_close(norm(batch), 0.75 * own + 0.25 * constant)


def test_unfolding_gives_a_network_that_goes_on_from_there() -> None:
    """Blended over wholly, it paints what the folded one paints; so it does after freezing."""
    folded = frozen(SMALL).folded()
    photos = torch.rand(4, 3, 64, 64)
    network = unfolded(folded, photos).eval()
    assert not network.frozen
    for norm in network.norms():
        norm.blend = 1.0
    with torch.no_grad():
        torch.testing.assert_close(network(photos), folded(photos), atol=1e-3, rtol=1e-3)
        for norm in network.norms():
            norm.freeze()
        torch.testing.assert_close(network.folded()(photos), folded(photos), atol=1e-3, rtol=1e-3)


def test_a_channel_asleep_while_unfolding_is_not_turned_up_by_small_steps() -> None:
    """Dark photos wake few channels; a bright one must not come out a thousand times as bright."""
    folded = frozen(SMALL).folded()
    with torch.no_grad():
        folded.stem.bias[:2] -= 0.9  # type: ignore[union-attr,operator]
    network = unfolded(folded, 0.02 * torch.rand(4, 3, 64, 64)).eval()
    for norm in network.norms():
        assert float(norm.weight.detach().min()) >= 0.1


def test_up_convolution_is_bilinear_doubling_and_a_convolution() -> None:
    torch.manual_seed(0)
    up = UpConvNorm(4, 3)
    z = torch.randn(1, 4, 9, 11)
    doubled = F.interpolate(z, scale_factor=2, mode="bilinear", align_corners=False)
    expected = F.conv2d(doubled, up.weight, None, 1, 1)
    polyphase = F.pixel_shuffle(F.conv2d(z, up.kernel(), None, 1, 1), 2)
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(polyphase[inside], expected[inside], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("module", [Head(6), UpConvNorm(6, 4)], ids=["head", "up"])
def test_flat_input_gives_no_lattice_to_begin_with(module: torch.nn.Module) -> None:
    """Inside, every pixel of an untrained layer's output on a flat input is the same."""
    if isinstance(module, UpConvNorm):
        module.norm.frozen = torch.ones((), dtype=torch.bool)
    flat = torch.rand(1, 6, 1, 1).expand(1, 6, 12, 12)
    inner = module(flat).detach()[..., 4:-4, 4:-4]
    assert float((inner - inner[..., :1, :1]).abs().max()) < 1e-5


def test_strided_kernels_are_centred() -> None:
    """A left-right mirrored kernel on a mirrored picture gives the mirrored result."""
    conv = ConvNorm(3, 4, stride=2)
    conv.norm.frozen = torch.ones((), dtype=torch.bool)
    picture = torch.rand(1, 3, 16, 16)
    straight = conv(picture)
    conv.weight.data = conv.weight.data.flip(3)
    torch.testing.assert_close(conv(picture.flip(3)).flip(3), straight)


def test_a_grown_network_paints_the_same() -> None:
    small = frozen(SMALL).folded()
    large = grown(small, Shape(half=4, quarter=8, body=12, quarter_blocks=2, body_blocks=3))
    pictures = torch.rand(2, 3, 40, 56)
    with torch.no_grad():
        torch.testing.assert_close(large(pictures), small(pictures), atol=1e-4, rtol=1e-4)
    assert parameters(large) > parameters(small)
    large(pictures).sum().backward()  # what is new can learn
    assert float(large.get_submodule("body.2.second").weight.grad.abs().sum()) > 0
    assert float(large.get_submodule("body.0.second").weight.grad[:, 8:].abs().sum()) > 0
    with pytest.raises(ValueError, match="does not fit into"):
        grown(large, SMALL)


@pytest.mark.parametrize("size", [(2, 2), (1, 9), (8, 8), (17, 24), (33, 40), (720, 1280)])
def test_padding_reaches_the_stride_and_crops_back(size: tuple[int, int]) -> None:
    picture = torch.rand(1, 3, *size)
    padded = pad_picture(picture)
    assert all(side % STRIDE == 0 for side in padded.shape[2:])
    assert all(p >= s + 2 * MARGIN for p, s in zip(padded.shape[2:], size, strict=True))
    assert torch.equal(crop_painting(padded, *size), picture)


def test_borders_are_not_painted() -> None:
    """One colour all over the frame is painted as one colour, up to its borders."""
    network = frozen(SMALL).folded()
    flat = torch.rand(1, 3, 1, 1).expand(1, 3, 50, 70)
    with torch.no_grad():
        painted = crop_painting(network(pad_picture(flat)), 50, 70)
    assert float((painted - painted[..., :1, :1]).abs().max()) < 1e-5


def test_johnsons_network_is_that_of_the_paper() -> None:
    network = JohnsonNet().eval()
    kinds = [type(m).__name__ for m in network.layers]
    assert kinds.count("JohnsonBlock") == 5
    assert kinds[0] == "ReflectionPad2d"
    # table 1 of the supplement, weights and biases, and two numbers a channel of each norm
    convolutions = [(3, 32, 9), (32, 64, 3), (64, 128, 3), *[(128, 128, 3)] * 10]
    convolutions += [(128, 64, 3), (64, 32, 3), (32, 3, 9)]
    weights = sum(i * o * k * k + o for i, o, k in convolutions)
    norms = 2 * (32 + 64 + 128 + 10 * 128 + 64 + 32)
    assert parameters(network) == weights + norms
    with torch.no_grad():
        painted = network(torch.rand(1, 3, 64, 96))
    assert painted.shape == (1, 3, 64, 96)
    assert 0 <= float(painted.min()) <= float(painted.max()) <= 1
